"""Times as the service counts them: whole milliseconds since the epoch, in UTC."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)


def epoch_ms(time: datetime) -> int:
    """Whole milliseconds since the epoch of an aware `time`, rounded down."""
    return (time - _EPOCH) // _MILLISECOND


def from_epoch_ms(ms: int) -> datetime:
    """The aware UTC time so many milliseconds after the epoch."""
    return _EPOCH + ms * _MILLISECOND
