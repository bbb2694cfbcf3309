"""Times as people write and read them: "yesterday", "2026-04-01", "7d", in a time zone. Pure."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Final
from zoneinfo import ZoneInfo

from ..errors import ConfigurationError
from .console import iso

_DURATION: Final = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)([smhdw])")
_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}  # seconds
_DAYS: Final = {"today": 0, "yesterday": 1}  # days back


def zone_of(name: str) -> tzinfo:
    """Find a time zone.

    Args:
        name: Such as "UTC" or "Europe/Rome".

    Raises:
        ConfigurationError: There is no such time zone on this machine.
    """
    if name.upper() == "UTC":
        return UTC
    try:
        return ZoneInfo(name)
    except (ValueError, OSError, KeyError):  # ZoneInfoNotFoundError is a KeyError
        pass
    raise ConfigurationError(
        f"--tz must be UTC or the name of a time zone, such as Europe/Rome, not {name!r}"
    )


def moment(text: str | None, *, name: str, zone: tzinfo, now: datetime) -> datetime | None:
    """Parse a time.

    Args:
        text: An ISO time or date, "today" or "yesterday"; None if the option is absent. A day
            means its beginning.
        name: The option's name, for the error's text.
        zone: The zone of a time that names none.
        now: The present, aware.

    Returns:
        The time in UTC, or None for None.

    Raises:
        ConfigurationError: The text is no such time.
    """
    if text is None:
        return None
    try:
        if (back := _DAYS.get(text.casefold())) is not None:
            day = now.astimezone(zone) - timedelta(days=back)
            time = day.replace(hour=0, minute=0, second=0, microsecond=0, fold=0)
        else:
            time = datetime.fromisoformat(text)
        return (time if time.tzinfo else time.replace(tzinfo=zone)).astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    raise ConfigurationError(
        f"{name} must be an ISO time, such as 2026-01-01 or 2026-01-01T12:00Z, or today or "
        f"yesterday, not {text!r}"
    )


def ago(text: str, *, name: str, now: datetime) -> datetime:
    """Parse how long ago a time is.

    Args:
        text: A number and a unit: s, m, h, d or w, such as "7d".
        name: The option's name, for the error's text.
        now: The present, aware.

    Returns:
        The time.

    Raises:
        ConfigurationError: The text is no such duration, or begins before the year 1.
    """
    if found := _DURATION.fullmatch(text):
        try:
            return now - timedelta(seconds=float(found[1]) * _UNITS[found[2]])
        except OverflowError:
            pass
    raise ConfigurationError(
        f"{name} must be a number with s, m, h, d or w, such as 90m or 7d, not {text!r}"
    )


def iso_in(time: datetime, zone: tzinfo) -> str:
    """Format a time with milliseconds and its offset, which is Z in UTC."""
    if zone is UTC:
        return iso(time)
    try:
        return time.astimezone(zone).isoformat(timespec="milliseconds")
    except OverflowError:  # at an end of the calendar, where only UTC can say the time
        return iso(time)
