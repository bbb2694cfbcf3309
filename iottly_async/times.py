"""Reads and writes times in every form that the service uses (D2, D5, D7)."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import lru_cache
from math import isfinite
from typing import Any, Final

import msgspec

from .config import TimestampFormat
from .errors import ConfigurationError, DecodeError

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
# Adding the difference to this makes a naive time aware ten times faster than replace().
_NAIVE: Final = datetime(1970, 1, 1)  # noqa: DTZ001 - it stands for UTC (D5)
_MILLISECOND: Final = timedelta(milliseconds=1)
_TO_MICROSECONDS: Final = len("2018-07-27T17:50:04.968000")


def read_time(value: Any, path: str) -> datetime:
    """Read a time of an answer.

    Args:
        value: an ISO text (naive means UTC), epoch milliseconds, ``{"$date": …}`` around
            either or around ``{"$numberLong": "…"}``, or a datetime.
        path: its JSON path, for the error.

    Returns:
        An aware datetime in UTC.

    Raises:
        DecodeError: the value is none of these.
    """
    if type(value) is dict and len(value) == 1:
        if "$date" in value:
            value, path = value["$date"], f"{path}.$date"
        if type(value) is dict and type(value.get("$numberLong")) is str:
            value, path = _whole(value["$numberLong"]), f"{path}.$numberLong"
    try:
        if type(value) is datetime:
            return _EPOCH + (value - _NAIVE) if value.tzinfo is None else value.astimezone(UTC)
        if type(value) is str:
            return read_time(_iso(value), path)
        if type(value) is int or (type(value) is float and value.is_integer()):
            return _EPOCH + timedelta(milliseconds=value)
    except (ValueError, OverflowError):
        pass
    raise DecodeError("expected a time", path=path)


def _iso(text: str) -> datetime:
    if len(text) > _TO_MICROSECONDS:
        # fromisoformat cuts digits below a microsecond off, and msgspec, which reads whole
        # pages, rounds them. Both must agree, or one message would have two times.
        with suppress(msgspec.ValidationError):
            return msgspec.convert(text, datetime)
    if text.isdecimal():
        raise ValueError("a number in a text: a date without dashes, or an epoch")
    return datetime.fromisoformat(text)


def _whole(text: str) -> int | None:
    digits = text.removeprefix("-")
    return int(text) if digits.isascii() and digits.isdecimal() and len(digits) < 20 else None


def aware(time: object, *, name: str) -> datetime:
    """Check a datetime that a caller gave, and convert it to UTC.

    Args:
        time: what the caller gave.
        name: of the argument, for the error.

    Returns:
        The same instant in UTC.

    Raises:
        ConfigurationError: `time` is not a datetime, or is naive (D5).
    """
    if not isinstance(time, datetime):
        raise ConfigurationError(f"{name} must be an aware datetime, not {time!r}")
    if time.tzinfo is None or time.utcoffset() is None:
        raise ConfigurationError(
            f"{name} must be an aware datetime, and {time.isoformat()} is naive; "
            "give it a zone, such as tzinfo=datetime.UTC"
        )
    return time.astimezone(UTC)


def write_time(ms: int, form: TimestampFormat) -> str:
    """Write milliseconds since the epoch as a text that the service takes (D2)."""
    if form == "epoch-ms":
        return str(ms)
    if form == "epoch-s":
        # Milliseconds are written where there are any: the text is never another instant.
        whole, rest = divmod(ms, 1000)
        return f"{whole}.{rest:03d}" if rest else str(whole)
    text = (_NAIVE + ms * _MILLISECOND).isoformat("T", "milliseconds")
    return text + "Z" if form == "iso-z" else text


@lru_cache(maxsize=64)
def http_date(text: str) -> float | None:
    """Read an HTTP date (RFC 9110, section 5.6.7) as seconds since the epoch; None if invalid."""
    try:
        date = parsedate_to_datetime(text)
        # One of the three forms has no zone; an HTTP date is always in GMT.
        return (date if date.tzinfo is not None else date.replace(tzinfo=UTC)).timestamp()
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


def retry_after(headers: Mapping[str, str], server_now: float | None = None) -> float | None:
    """Seconds to wait by an answer's `Retry-After`, which holds whole seconds or a date.

    Args:
        headers: lower-case names. A date is compared with the answer's own `Date`.
        server_now: the server's time, used if the answer has no `Date`; None if not known.

    Returns:
        0 or more; None if the header is absent or invalid (RFC 9110, section 10.2.3).
    """
    text = headers.get("retry-after", "").strip()
    if text.isascii() and text.isdecimal():
        seconds = float(text)
        return seconds if isfinite(seconds) else None
    moment, own = http_date(text), headers.get("date")
    now = server_now if own is None else http_date(own)
    return None if moment is None or now is None else max(moment - now, 0.0)
