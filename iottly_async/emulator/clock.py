"""The server's clock: real time plus an offset, or a pinned time.

Everything that the emulator dates uses this clock: the ``Date`` header, the windows of the rate
limit, and the progress of commands. The timestamps of appended messages may come from a clock that
differs from it by ``stamp_offset``.
"""

import time
from collections.abc import Callable
from datetime import datetime, timedelta
from math import ceil
from typing import Any

from .settings import MAX_SECONDS, check_number
from .times import to_datetime, to_ms

_LATEST = 250_278_000_000  # in the year 9901


class EmulatorClock:
    """The server's clock: real time plus an offset.

    A pinned clock stands still until ``advance`` or ``unpin``; the offset does not apply to it.

    Args:
        offset: How many seconds the server is ahead of real time. 0 by default.
        stamp_offset: How many seconds the clock that gives messages their timestamps is ahead of
            the server's clock. 0 by default.
        real: Where real time comes from, in epoch seconds. ``time.time`` by default.

    Offsets are at most some 31 years (10^9 s) either way, and a pinned clock shows a time from 1970
    to 9900; anything else is a ``ValueError``.
    """

    def __init__(
        self,
        offset: float = 0.0,
        *,
        stamp_offset: float = 0.0,
        real: Callable[[], float] = time.time,
    ) -> None:
        self._offset = _seconds(offset)
        self._stamp_offset = _seconds(stamp_offset)
        self._pinned: float | None = None
        self._real = real

    @property
    def offset(self) -> float:
        """How many seconds the server is ahead of real time; negative if it is behind.

        It can be set to seconds or to a ``timedelta``.
        """
        return self._offset

    @offset.setter
    def offset(self, value: float | timedelta) -> None:
        self._offset = _seconds(value)

    @property
    def stamp_offset(self) -> float:
        """How many seconds the clock that gives timestamps is ahead of the server's clock (D11).

        Negative if it is behind. It can be set to seconds or to a ``timedelta``.
        """
        return self._stamp_offset

    @stamp_offset.setter
    def stamp_offset(self, value: float | timedelta) -> None:
        self._stamp_offset = _seconds(value)

    @property
    def pinned(self) -> bool:
        """Whether the clock stands still."""
        return self._pinned is not None

    def pin(self, at: datetime | int | None = None) -> None:
        """Make the clock stand still.

        Args:
            at: The time that it shows: aware, or epoch milliseconds. None: its present time.

        Raises:
            ValueError: ``at`` is a naive ``datetime``, or a time before 1970 or after 9900.
        """
        self._pinned = _pinned(self.time() if at is None else to_ms(at) / 1000)

    def unpin(self) -> None:
        """Let the clock run again, at real time plus the offset."""
        self._pinned = None

    def advance(self, seconds: float) -> None:
        """Move the clock forward: a pinned clock itself, or the offset of a running one.

        Args:
            seconds: How far; negative moves it back.

        Raises:
            ValueError: The clock would be too far from real time, or before 1970 or after 9900.
        """
        if self._pinned is None:
            self.offset = self._offset + seconds
        else:
            self._pinned = _pinned(self._pinned + seconds)

    def time(self) -> float:
        """The server's time.

        Returns:
            Epoch seconds.
        """
        return self._real() + self._offset if self._pinned is None else self._pinned

    def now_ms(self) -> int:
        """The server's time in whole milliseconds.

        Returns:
            Epoch milliseconds, rounded down.
        """
        return int(
            self.time() * 1000 + 1e-3
        )  # so that a pinned millisecond is not rounded down to the one before

    def stamp_ms(self) -> int:
        """The timestamp that a message gets now, in whole milliseconds.

        Returns:
            Epoch milliseconds: the server's time plus ``stamp_offset``. A running clock is rounded
            up, so that a message is not stamped before a time that a test has just read.
        """
        now = self.now_ms() if self.pinned else ceil(self.time() * 1000)
        return now + round(1000 * self._stamp_offset)

    def now(self) -> datetime:
        """The server's time as a ``datetime``.

        Returns:
            An aware ``datetime`` in UTC, in whole milliseconds.
        """
        return to_datetime(self.now_ms())

    def as_json(self) -> dict[str, Any]:
        """The clock as the control address shows it.

        Returns:
            ``now`` (ISO text), ``offset`` and ``stamp_offset`` (seconds), and ``pinned``.
        """
        return {
            "now": self.now().isoformat(),
            "offset": self.offset,
            "stamp_offset": self.stamp_offset,
            "pinned": self.pinned,
        }


def _seconds(value: float | timedelta) -> float:
    seconds = value.total_seconds() if isinstance(value, timedelta) else float(value)
    check_number("offset", seconds, -MAX_SECONDS)
    return seconds


def _pinned(seconds: float) -> float:
    check_number("pinned time", seconds, 0, _LATEST)
    return seconds
