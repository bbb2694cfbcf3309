"""Checks values that a caller gave: durations, whole numbers, flags."""

from __future__ import annotations

from datetime import timedelta
from math import inf, isfinite

from .errors import ConfigurationError

Seconds = float | timedelta


def seconds(value: object, *, name: str, zero: bool = False, endless: bool = False) -> float:
    """Check a duration that a caller gave.

    Args:
        value: a number of seconds, or a timedelta.
        name: of the argument, for the error.
        zero: whether 0 is accepted.
        endless: whether `math.inf` is accepted.

    Returns:
        Seconds.

    Raises:
        ConfigurationError: the value is not a number of seconds, or is out of range.
    """
    if isinstance(value, timedelta):
        value = value.total_seconds()
    if endless and isinstance(value, float) and value == inf:
        return value
    if isinstance(value, bool) or not isinstance(value, int | float) or not isfinite(value):
        raise ConfigurationError(
            f"{name} must be a finite number of seconds or a timedelta, not {value!r}"
        )
    if value < 0 or (value == 0 and not zero):
        least = "0 or more" if zero else "more than 0"
        raise ConfigurationError(f"{name} must be {least} seconds, not {value!r}")
    return float(value)


def whole(value: object, *, name: str, least: int, most: int | None = None) -> int:
    """Check a whole number that a caller gave.

    Args:
        value: what the caller gave.
        name: of the argument, for the error.
        least: the smallest number that is accepted.
        most: the largest number that is accepted; None sets no limit.

    Returns:
        The number.

    Raises:
        ConfigurationError: the value is not an int, or is out of range.
    """
    if isinstance(value, bool) or not isinstance(value, int):
        raise ConfigurationError(f"{name} must be a whole number, not {value!r}")
    if value < least or (most is not None and value > most):
        bounds = f"{least} or more" if most is None else f"{least} to {most}"
        raise ConfigurationError(f"{name} must be {bounds}, not {value}")
    return value


def flag(value: object, *, name: str) -> bool:
    """Check a bool that a caller gave.

    Args:
        value: what the caller gave.
        name: of the argument, for the error.

    Returns:
        The bool.

    Raises:
        ConfigurationError: the value is not a bool.
    """
    if not isinstance(value, bool):
        raise ConfigurationError(f"{name} must be True or False, not {value!r}")
    return value
