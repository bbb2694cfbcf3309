"""Parses arguments: times, name=value pairs, JSON objects."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Literal

from ..errors import ConfigurationError

TypeOption = Literal["all", "userdefined", "iottlyagent"]
"""Which messages to fetch: `TypeFilter` of the API, without loading it."""


def time_of(text: str | None, *, name: str) -> datetime | None:
    """Parse an ISO time into an aware datetime.

    Args:
        text: The time, or None if the option is absent.
        name: The option's name, for the error's text.

    Returns:
        The time, or None for None.

    Raises:
        ConfigurationError: The text is not an ISO time, or has no time zone (D5).
    """
    if text is None:
        return None
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        time = None
    if time is None:
        raise ConfigurationError(
            f"{name} must be an ISO time with a time zone, such as 2026-01-01T00:00Z, not {text!r}"
        )
    from ..times import aware

    if time.tzinfo is None:
        raise ConfigurationError(
            f"{name} needs a time zone, and {text!r} has none; write {time.isoformat()}Z for UTC"
        )
    return aware(time, name=name)


def named_values(texts: Sequence[str]) -> dict[str, Any]:
    """Parse texts such as `level=3` into values by name.

    Args:
        texts: The arguments.

    Returns:
        For each name its value: decoded if it is JSON, else the text itself.

    Raises:
        ConfigurationError: A text has no `=`, or a name is repeated.
    """
    values: dict[str, Any] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise ConfigurationError(f"a parameter must be name=value, not {text!r}")
        if name in values:
            raise ConfigurationError(f"the parameter {name!r} is given twice")
        values[name] = _json_or_text(value)
    return values


def json_object(text: str | None, *, name: str) -> Mapping[str, Any] | None:
    """Parse a JSON object.

    Args:
        text: The object, or None if the option is absent.
        name: The option's name, for the error's text.

    Returns:
        The object, or None for None.

    Raises:
        ConfigurationError: The text is not a JSON object.
    """
    if text is None:
        return None
    from msgspec.json import decode

    try:
        return decode(text, type=dict[str, Any])
    except (ValueError, RecursionError):
        pass
    raise ConfigurationError(f"{name} must be a JSON object, not {text[:80]!r}")


def _json_or_text(text: str) -> Any:
    from msgspec.json import decode

    try:
        return decode(text)
    except (ValueError, RecursionError):
        return text
