"""Times as texts and numbers: every form that the service emits or takes (D2, D5, D7)."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import lru_cache
from typing import Any, Final

import msgspec

from .config import TimestampFormat
from .errors import ConfigurationError, DecodeError

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
# By the difference to this a naive time becomes aware in a tenth of what replace() takes.
_NAIVE: Final = datetime(1970, 1, 1)  # noqa: DTZ001 - it stands for UTC (D5)
_MILLISECOND: Final = timedelta(milliseconds=1)
_TO_MICROSECONDS: Final = len("2018-07-27T17:50:04.968000")


def read_time(value: Any, path: str) -> datetime:
    """A time of the wire, aware and in UTC.

    Args:
        value: an ISO text (naive is UTC), epoch milliseconds, ``{"$date": …}`` around
            either, or around ``{"$numberLong": "…"}``; or such a text already read.
        path: its JSON path, for the error.

    Raises:
        DecodeError: it is none of these.
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
        # fromisoformat cuts off what is finer than a microsecond, and the reader of whole
        # pages rounds it: the two must agree, or one message has two times.
        with suppress(msgspec.ValidationError):
            return msgspec.convert(text, datetime)
    if text.isdecimal():
        raise ValueError("a number in a text: a date without dashes, or an epoch")
    return datetime.fromisoformat(text)


def _whole(text: str) -> int | None:
    digits = text.removeprefix("-")
    return int(text) if digits.isascii() and digits.isdecimal() and len(digits) < 20 else None


def aware(time: object, *, name: str) -> datetime:
    """`time`, given by a caller, in UTC.

    Raises:
        ConfigurationError: it is no datetime, or a naive one (D5).
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
    """Milliseconds since the epoch as the text that the service takes (D2)."""
    if form == "epoch-ms":
        return str(ms)
    if form == "epoch-s":
        # Whole where it is whole, with milliseconds where it is not: never another instant.
        whole, rest = divmod(ms, 1000)
        return f"{whole}.{rest:03d}" if rest else str(whole)
    text = (_NAIVE + ms * _MILLISECOND).isoformat("T", "milliseconds")
    return text + "Z" if form == "iso-z" else text


@lru_cache(maxsize=64)
def http_date(text: str) -> float | None:
    """Seconds since the epoch of an HTTP date (RFC 9110, section 5.6.7); None if it is none."""
    try:
        date = parsedate_to_datetime(text)
        # One of the three forms names no zone; an HTTP date is always in GMT.
        return (date if date.tzinfo is not None else date.replace(tzinfo=UTC)).timestamp()
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
