"""Reads profiles: TOML files that hold settings, and never a key.

A profile file holds settings by the names of `Config`. It may name the project, and a command
that prints the key, for the command line:

```toml
base_url = "https://api.cloud.iottly.com"
project = "59c19cacecc01400075f3bc9"
key_command = "pass show iottly"
proxy = "env"
timeout = 30

[plant]  # a named profile; its settings come before those above
first_page = 0
retry.max_attempts = 2
```

The key comes from elsewhere, so that the file can be shared and committed.
"""

from __future__ import annotations

import os
import shlex
import tomllib
from collections.abc import Collection, Mapping
from contextlib import suppress
from difflib import get_close_matches
from typing import Any, Final

from attrs import field, frozen

from .errors import ConfigurationError
from .texts import holds_key

_PROJECT: Final = "project"
_KEY_COMMAND: Final = "key_command"
_PROXY: Final = "proxy"
PROXY_WORDS: Final[Mapping[str, bool]] = {"env": True, "none": False}
"""How `trust_env` is written: proxies are those of the environment, or there is none."""

_MORE: Final = (_PROJECT, _KEY_COMMAND, _PROXY)
"""The names of a profile that are not settings of `Config`."""

_SECRETS: Final = ("key", "token", "password", "passwd", "secret", "credential", "authori")
_OBJECTS: Final[Mapping[str, str]] = {
    "ssl": "an ssl.SSLContext, which no file can hold; add it with attrs.evolve(config, ssl=...)"
}


@frozen(kw_only=True)
class Profile:
    """One profile of a file.

    Attributes:
        path: of the file; "" if there is none.
        values: settings by the names of `Config`, not checked yet. A table is a dict.
        project: the project's id; None if the profile has none.
        key_command: the words of a command that prints the key; None if the profile has none.
    """

    path: str = ""
    values: Mapping[str, Any] = field(factory=dict)
    project: str | None = None
    key_command: tuple[str, ...] | None = None


def read_profile(
    path: str | os.PathLike[str],
    profile: str | None,
    *,
    settings: Collection[str],
    tables: Mapping[str, Collection[str]],
) -> Profile:
    """Read one profile of a file; its names are checked, the values of settings are not.

    Args:
        path: of the file.
        profile: the name of a table, whose settings come before those at the top of the file;
            None reads the top alone.
        settings: names that may stand in a profile, beside those of the command line.
        tables: those of them that are tables, with the names that each may have.

    Returns:
        The profile.

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
    if profile is not None:
        named = document.get(profile)
        if profile in tables or not isinstance(named, dict):
            profiles = [n for n, v in document.items() if isinstance(v, dict) and n not in tables]
            there = f"its profiles are {', '.join(profiles)}" if profiles else "it has no profile"
            raise ConfigurationError(f"{shown} has no profile {profile!r}; {there}")
        for name, value in _checked(named, settings, tables, f"{shown} [{profile}]").items():
            found[name] = {**found.get(name, {}), **value} if name in tables else value
    return Profile(
        path=shown,
        project=found.pop(_PROJECT, None),
        key_command=found.pop(_KEY_COMMAND, None),
        values=found,
    )


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


def _refuse_secrets(value: object, where: str, name: str = "") -> None:
    if isinstance(value, str) and holds_key(value):
        raise _secret(name, where)
    if isinstance(value, list):
        for each in value:
            _refuse_secrets(each, where, name)
    if isinstance(value, dict):
        for inner, each in value.items():
            plain = inner.casefold().replace("_", "").replace("-", "")
            if inner != _KEY_COMMAND and any(word in plain for word in _SECRETS):
                raise _secret(inner, where)
            _refuse_secrets(each, f"{where} [{inner}]" if isinstance(each, dict) else where, inner)


def _secret(name: str, where: str) -> ConfigurationError:
    return ConfigurationError(
        f"{where}: a profile never holds a key or a password; remove {name!r}, and set the "
        'environment variable IOTTLY_API_KEY or key_command = "pass show iottly"'
    )


def _checked(
    table: Mapping[str, Any],
    settings: Collection[str],
    tables: Mapping[str, Collection[str]],
    where: str,
) -> dict[str, Any]:
    """The values of a table, if all of its names are known."""
    for name, value in table.items():
        if name not in settings and name not in _MORE:
            raise _unknown(name, [*settings, *_MORE], where)
        if name in tables:
            if not isinstance(value, dict):
                raise ConfigurationError(
                    f"{where}: {name} must be a table, such as "
                    f"{name}.{next(iter(tables[name]))} = …"
                )
            for inner in value:
                if inner not in tables[name]:
                    raise _unknown(inner, tables[name], f"{where}: {name}")
    found = dict(table)
    if not isinstance(found.get(_PROJECT, ""), str):
        raise ConfigurationError(f"{where}: {_PROJECT} must be the project's id, a text")
    if _KEY_COMMAND in found:
        found[_KEY_COMMAND] = _words(found[_KEY_COMMAND], where)
    if _PROXY in found:
        _put_proxy(found, where)
    return found


def _words(command: object, where: str) -> tuple[str, ...]:
    """Split a command into words as a shell does, without running one."""
    words: list[str] = []
    with suppress(ValueError):  # a quotation mark without its other one
        words = shlex.split(command) if isinstance(command, str) else []
    if not words or "\0" in "".join(words):
        raise ConfigurationError(
            f"{where}: {_KEY_COMMAND} must be a text with a program and its arguments, such as "
            '"pass show iottly"; no shell runs it'
        )
    return tuple(words)


def _put_proxy(found: dict[str, Any], where: str) -> None:
    """Replace `proxy` by the setting that it is a word for."""
    word = found.pop(_PROXY)
    if not isinstance(word, str) or word not in PROXY_WORDS:
        raise ConfigurationError(
            f'{where}: {_PROXY} must be "env" or "none"; with "env", the proxy is that of the '
            "environment, such as https_proxy=http://host:port"
        )
    if "trust_env" in found:
        raise ConfigurationError(f"{where}: {_PROXY} and trust_env are the same; remove one")
    found["trust_env"] = PROXY_WORDS[word]


def _unknown(name: str, known: Collection[str], where: str) -> ConfigurationError:
    if name in _OBJECTS:
        return ConfigurationError(f"{where}: {name} is {_OBJECTS[name]}")
    near = get_close_matches(name, known, n=1)
    advice = f"did you mean {near[0]!r}?" if near else f"the settings are {', '.join(known)}"
    return ConfigurationError(f"{where}: there is no setting {name!r}; {advice}")
