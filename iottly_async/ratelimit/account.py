"""Two ways in which spent requests come back bit by bit, pure; `now` is monotonic.

An account's level is what the server surely has left, not counting what is in flight. A
request is charged when it has ended, which is later than the server charged it, so the
level is never above the truth.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from math import inf
from typing import Protocol

__all__ = ["Account", "SlidingLog", "SteadyRefill"]

_GRAIN = 512
"""Charges within this part of a window share one entry of the log, at the later time."""


class Account(Protocol):
    """A level that falls by charges and rises by itself."""

    limit: int

    def level(self, now: float) -> float:
        """What is left."""

    def charge(self, now: float, count: int = 1) -> None:
        """Take `count` off; the level may fall below 0."""

    def lower(self, level: float, now: float) -> None:
        """Believe no more than `level`: somebody else spent the difference."""

    def lift(self, level: float, now: float) -> None:
        """Believe at least `level`: the server has given back more than was expected."""

    def next_at(self, missing: float, now: float) -> float:
        """When `missing` more will have come back; inf where nothing is known to come."""


class SlidingLog:
    """Each request comes back `window` seconds after it was charged.

    No server's algorithm is stricter: what a sliding log admits, a fixed window and a
    token bucket of the same limit admit too.
    """

    __slots__ = ("_entries", "_logged", "limit", "window")

    def __init__(
        self, limit: int, window: float, entries: Iterable[tuple[float, int]] = ()
    ) -> None:
        self.limit = limit
        self.window = window
        self._entries = deque(entries)
        self._logged = sum(count for _, count in self._entries)

    def level(self, now: float) -> float:
        """The limit less what was charged within the window."""
        entries, gone = self._entries, now - self.window
        while entries and entries[0][0] <= gone:
            self._logged -= entries.popleft()[1]
        return self.limit - self._logged

    def charge(self, now: float, count: int = 1) -> None:
        """Log `count` requests."""
        self._logged += count
        entries = self._entries
        if entries and now - entries[-1][0] < self.window / _GRAIN:
            count += entries.pop()[1]
        entries.append((now, count))

    def lower(self, level: float, now: float) -> None:
        """Log what others spent, as if it were spent now."""
        unexplained = int(self.level(now) - level)
        if unexplained > 0:
            self.charge(now, unexplained)

    def lift(self, level: float, now: float) -> None:
        """Forget the oldest entries: they have left the server's log."""
        back = int(level - self.level(now))
        while back > 0 and self._entries:
            time, count = self._entries.popleft()
            gone = min(count, back)
            self._logged -= gone
            back -= gone
            if gone < count:
                self._entries.appendleft((time, count - gone))

    def next_at(self, missing: float, now: float) -> float:
        """When so many of the oldest entries will have left."""
        for time, count in self._entries:
            if missing <= 0:
                break
            missing -= count
            if missing <= 0:
                return time + self.window
        return now if missing <= 0 else inf

    def oldest(self) -> float | None:
        """When the request was charged that comes back next; None where nothing is logged."""
        return self._entries[0][0] if self._entries else None


class SteadyRefill:
    """`rate` requests a second come back, up to the limit: a token bucket."""

    __slots__ = ("_at", "_level", "limit", "rate")

    def __init__(self, limit: int, rate: float, *, level: float, now: float) -> None:
        self.limit = limit
        self.rate = rate
        self._level = min(level, float(limit))
        self._at = now

    def level(self, now: float) -> float:
        """The level with what has come back since it was last looked at."""
        if now > self._at:
            self._level = min(float(self.limit), self._level + (now - self._at) * self.rate)
            self._at = now
        return self._level

    def charge(self, now: float, count: int = 1) -> None:
        """Take `count` off."""
        self._level = self.level(now) - count

    def lower(self, level: float, now: float) -> None:
        """Fall to `level`."""
        self._level = min(self.level(now), level)

    def lift(self, level: float, now: float) -> None:
        """Rise to `level`."""
        self._level = max(self.level(now), level)

    def next_at(self, missing: float, now: float) -> float:
        """When `missing` more have come back at the rate."""
        return now + max(missing, 0.0) / self.rate
