"""Times as the API writes and reads them, in integer milliseconds since 1970 (UTC).

The store and every handler count in milliseconds; only this file makes and reads texts. Naive
texts are UTC (D5).
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import lru_cache

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
DAY_MS = 86_400_000
_MILLISECOND = timedelta(milliseconds=1)
_FIRST = (datetime.min.replace(tzinfo=UTC) - EPOCH) // _MILLISECOND
_LAST = (datetime.max.replace(tzinfo=UTC) - EPOCH) // _MILLISECOND

_ISO = re.compile(
    r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,6}))?(Z|[+-]\d\d:\d\d)?",
    re.ASCII,
)
_EPOCH = re.compile(r"(\d{1,15})(?:\.(\d{1,6}))?", re.ASCII)
# An integer below this counts seconds (to the year 5138), above it milliseconds (from 1973 on).
_SECONDS_BELOW = 100_000_000_000

_TWO = tuple(f"{n:02d}" for n in range(60))
_HOURS = tuple(f"{h:02d}:{m:02d}:" for h in range(24) for m in range(60))
_FRACTION = ("", *(f".{n:03d}" for n in range(1, 1000)))


@lru_cache(maxsize=4096)
def _day_text(day: int) -> str:
    return f"{(EPOCH + timedelta(days=day)):%Y-%m-%dT}"


def naive_text(ms: int) -> str:
    """``2018-07-27T17:50:04.968``, without the fraction if the milliseconds are zero."""
    seconds, milli = divmod(ms, 1000)
    day, second = divmod(seconds, 86_400)
    minute, second = divmod(second, 60)
    return f"{_day_text(day)}{_HOURS[minute]}{_TWO[second]}{_FRACTION[milli]}"


def date_text(ms: int) -> str:
    """``2017-09-20T00:33:27.230Z``, the text in ``$date``: always three digits and a Z."""
    text = naive_text(ms)
    return f"{text}Z" if ms % 1000 else f"{text}.000Z"


def second_text(ms: int) -> str:
    """``2026-05-06T14:22:00Z``, the form of generation v1: whole seconds and a Z."""
    return f"{naive_text(ms - ms % 1000)}Z"


def to_datetime(ms: int) -> datetime:
    """The aware UTC ``datetime`` of epoch milliseconds."""
    return EPOCH + timedelta(milliseconds=ms)


def read_text(text: str) -> int:
    """The milliseconds of a time text in any accepted form (D2).

    Accepted are ISO 8601 with ``T``, up to six digits of fraction, and no timezone (UTC), ``Z`` or
    an offset; epoch milliseconds; and epoch seconds. The epoch forms may have a fraction. A
    fraction finer than a millisecond is rounded up, so that an inclusive start and an exclusive end
    keep their meaning in whole milliseconds. Raises ``ValueError`` for anything else.
    """
    epoch = _EPOCH.fullmatch(text)
    if epoch is not None:
        number, part = int(epoch[1]), int((epoch[2] or "").ljust(6, "0"))
        if number < _SECONDS_BELOW:
            return number * 1000 + -(-part // 1000)
        return number + (part > 0)
    found = _ISO.fullmatch(text)
    if found is None:
        raise ValueError("not a time")
    clock, fraction, zone = found.groups()
    moment = datetime.fromisoformat(f"{clock}{'+00:00' if zone in (None, 'Z') else zone}")
    micro = int((fraction or "").ljust(6, "0"))
    return (moment - EPOCH) // _MILLISECOND + -(-micro // 1000)


def read_date(value: object) -> int:
    """The milliseconds of the value in ``$date``: a text, a number or ``$numberLong`` (D7)."""
    if isinstance(value, str):
        return read_text(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, Mapping) and set(value) == {"$numberLong"}:
        return int(str(value["$numberLong"]))
    raise ValueError("not a date")


def to_ms(value: object) -> int:
    """The milliseconds of a time that a Python caller or a JSON line gives.

    Accepted are an aware ``datetime``, integer epoch milliseconds, a text as for ``read_text``, and
    a mapping ``{"$date": …}``. Raises ``ValueError`` for anything else, a naive ``datetime`` (D5)
    and a time that no ``datetime`` can hold included.
    """
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise ValueError("a naive datetime says no instant: give it a timezone")
        return (value - EPOCH) // _MILLISECOND
    if isinstance(value, Mapping) and set(value) == {"$date"}:
        value = value["$date"]
    ms = read_date(value)
    if not _FIRST <= ms <= _LAST:
        raise ValueError(f"{ms} ms since 1970 lies in no year from 1 to 9999")
    return ms
