"""Reads profiles: TOML files that hold settings, and never a key.

A profile file holds settings by the names of `Config`, and may name the project:

```toml
base_url = "https://api.cloud.iottly.com"
project = "59c19cacecc01400075f3bc9"
timeout = 30

[plant]  # a named profile; its settings come before those above
first_page = 0
retry.max_attempts = 2
```

The key comes from elsewhere, so that the file can be shared and committed.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Collection, Mapping
from difflib import get_close_matches
from typing import Any, Final

from .errors import ConfigurationError

PROJECT: Final = "project"
"""The one name of a profile that is not a setting of `Config`."""

_SECRETS: Final = ("key", "token", "password", "passwd", "secret", "credential", "authori")
_KEY_BEGINS: Final = "ik_"
_OBJECTS: Final[Mapping[str, str]] = {
    "ssl": "an ssl.SSLContext, which no file can hold; add it with attrs.evolve(config, ssl=...)"
}


def read_profile(
    path: str | os.PathLike[str],
    profile: str | None,
    *,
    settings: Collection[str],
    tables: Mapping[str, Collection[str]],
) -> dict[str, Any]:
    """Read one profile of a file; its names are checked, its values are not.

    Args:
        path: of the file.
        profile: the name of a table, whose settings come before those at the top of the file;
            None reads the top alone.
        settings: names that may stand in a profile, beside `project`.
        tables: those of them that are tables, with the names that each may have.

    Returns:
        The values by name; a setting that is a table is a dict.

    Raises:
        ConfigurationError: the file cannot be read or is not TOML, has no such profile, has
            an unknown name, or holds a key. The text names the file and the place, and never
            shows what may be a key.
    """
    shown = os.fspath(path)
    document = _read(path, shown)
    _refuse_secrets(document, shown)
    top = {
        name: value
        for name, value in document.items()
        if name in tables or not isinstance(value, dict)
    }
    found = _checked(top, settings, tables, shown)
    if profile is None:
        return found
    named = document.get(profile)
    if profile in tables or not isinstance(named, dict):
        profiles = [n for n, v in document.items() if isinstance(v, dict) and n not in tables]
        there = f"its profiles are {', '.join(profiles)}" if profiles else "it has no profile"
        raise ConfigurationError(f"{shown} has no profile {profile!r}; {there}")
    for name, value in _checked(named, settings, tables, f"{shown} [{profile}]").items():
        found[name] = {**found.get(name, {}), **value} if name in tables else value
    return found


def _read(path: str | os.PathLike[str], shown: str) -> dict[str, Any]:
    try:
        with open(path, "rb") as file:
            return tomllib.load(file)
    except OSError as error:
        reason = error.strerror or "it cannot be read"
    except ValueError as error:  # no TOML, or no UTF-8
        where = str(error) if isinstance(error, tomllib.TOMLDecodeError) else "it is not UTF-8"
        reason = f"it is not TOML: {where}"
    raise ConfigurationError(f"{shown} cannot be used as a profile: {reason}")


def _refuse_secrets(table: Mapping[str, Any], where: str) -> None:
    for name, value in table.items():
        plain = name.casefold().replace("_", "").replace("-", "")
        is_key = isinstance(value, str) and value.startswith(_KEY_BEGINS)
        if is_key or any(word in plain for word in _SECRETS):
            raise ConfigurationError(
                f"{where}: a profile never holds a key or a password; remove {name!r}, and set "
                "the environment variable IOTTLY_API_KEY"
            )
        if isinstance(value, dict):
            _refuse_secrets(value, f"{where} [{name}]")


def _checked(
    table: Mapping[str, Any],
    settings: Collection[str],
    tables: Mapping[str, Collection[str]],
    where: str,
) -> dict[str, Any]:
    """The values of a profile, if all of its names are known."""
    for name, value in table.items():
        if name not in settings and name != PROJECT:
            raise _unknown(name, [*settings, PROJECT], where)
        if name in tables:
            if not isinstance(value, dict):
                raise ConfigurationError(
                    f"{where}: {name} must be a table, such as "
                    f"{name}.{next(iter(tables[name]))} = …"
                )
            for inner in value:
                if inner not in tables[name]:
                    raise _unknown(inner, tables[name], f"{where}: {name}")
    project = table.get(PROJECT)
    if project is not None and not isinstance(project, str):
        raise ConfigurationError(f"{where}: {PROJECT} must be the project's id, a text")
    return dict(table)


def _unknown(name: str, known: Collection[str], where: str) -> ConfigurationError:
    if name in _OBJECTS:
        return ConfigurationError(f"{where}: {name} is {_OBJECTS[name]}")
    near = get_close_matches(name, known, n=1)
    advice = f"did you mean {near[0]!r}?" if near else f"the settings are {', '.join(known)}"
    return ConfigurationError(f"{where}: there is no setting {name!r}; {advice}")
