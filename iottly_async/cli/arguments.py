"""Arguments that are more than texts: times, values, JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec

from ..errors import ConfigurationError
from ..times import aware


def time_of(text: str | None, *, name: str) -> datetime | None:
    """An aware time from its ISO text; None stays None.

    Raises:
        ConfigurationError: it is no ISO time, or has no zone (D5).
    """
    if text is None:
        return None
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        time = None
    if time is None:
        raise ConfigurationError(
            f"{name} must be an ISO time with a zone, such as 2026-01-01T00:00Z, not {text!r}"
        )
    if time.tzinfo is None:
        raise ConfigurationError(
            f"{name} must say its zone, and {text!r} has none; write {time.isoformat()}Z for UTC"
        )
    return aware(time, name=name)


def pairs(texts: Sequence[str]) -> dict[str, Any]:
    """Values by name from texts such as ``level=3``: JSON where it is, else the text itself.

    Raises:
        ConfigurationError: a text without ``=``, or a name twice.
    """
    values: dict[str, Any] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise ConfigurationError(f"a value must be written name=value, not {text!r}")
        if name in values:
            raise ConfigurationError(f"the value {name!r} is given twice")
        values[name] = _json_or_text(value)
    return values


def mapping(text: str | None, *, name: str) -> Mapping[str, Any] | None:
    """A JSON object from its text; None stays None.

    Raises:
        ConfigurationError: it is no JSON object.
    """
    if text is None:
        return None
    try:
        return msgspec.json.decode(text, type=dict[str, Any])
    except (ValueError, RecursionError):
        pass
    raise ConfigurationError(f"{name} must be a JSON object, not {text[:80]!r}")


def _json_or_text(text: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except (ValueError, RecursionError):
        return text
