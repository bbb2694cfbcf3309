"""What an answer means for the quota. Pure.

Every answer is read here, by the local limiter and by the reports to Redis: its `Date` sets
the server's clock, its limit headers are compared with the window known so far, and a 429's
`Retry-After` is read.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from ..server_clock import ServerClock
from ..times import http_date, retry_after
from .headers import ObservationReader
from .window import ROUNDING, Place, ServerWindow

__all__ = ["QuotaObserver", "Reading", "SettledPermit"]

_WAY_MOST: Final = 1.0
"""Seconds that an answer takes at most to be worth learning from."""


class SettledPermit(NamedTuple):
    """A permit whose request was answered.

    Attributes:
        number: of the permit, in the order of granting.
        sent: monotonic; the request was sent at this time or later.
        now: monotonic, when the answer arrived.
        wall: the local wall clock at `now`.
        status: the HTTP status.
        granted: the highest permit granted so far.
        ended: how many permits are over, including this one.
        overlap: permits that ended since this one was granted, not counting itself.
        probe: whether the request was a probe.
    """

    number: int
    sent: float
    now: float
    wall: float
    status: int
    granted: int
    ended: int
    overlap: int
    probe: bool

    @property
    def in_flight(self) -> int:
        """Permits that were granted and are not over."""
        return self.granted - self.ended

    @property
    def way(self) -> float:
        """Seconds between the request and its answer, at most."""
        return min(self.now - self.sent, _WAY_MOST)


class Reading(NamedTuple):
    """What one answer means.

    Attributes:
        remaining: requests left when the answer was made, as its limit headers say; None if it
            has none, or nonsense.
        place: where its window lies; None like `remaining`.
        early: whether a newer window came before the end of the older one.
        resized: whether the limit is another one than before.
        wait: seconds that a refusal asks for by `Retry-After`; None if it does not, and for
            any other answer.
    """

    remaining: int | None
    place: Place | None = None
    early: bool = False
    resized: bool = False
    wait: float | None = None


class QuotaObserver:
    """Reads the answers of one key.

    Attributes:
        clock: the server's, as far as the answers tell it.
        window: the server's current window.
    """

    __slots__ = ("_reader", "_rounds_down", "_trusts_wall", "_usual", "clock", "window")

    def __init__(self) -> None:
        self.clock = ServerClock()
        self.window = ServerWindow()
        self._reader = ObservationReader()
        self._usual = Reading(None, Place.SAME)  # the last one of an answer that told no more
        self._trusts_wall = True
        self._rounds_down = False

    def ends(self, now: float, wall: float) -> float:
        """When the next window has begun, monotonic; may lie in the past.

        Args:
            now: monotonic.
            wall: the local wall clock.
        """
        clock = self.clock
        server = clock.now(now, wall) if self._trusts_wall else clock.earliest(now, wall)
        ends = self.window.ends(now, server)
        return ends + ROUNDING if self._rounds_down else ends

    def observe(
        self,
        status: int,
        headers: Mapping[str, str],
        sent: float,
        now: float,
        wall: float,
        probe: bool,
    ) -> Reading:
        """Read one answer.

        Args:
            status: the HTTP status.
            headers: lower-case names.
            sent: monotonic; the request was sent at this time or later.
            now: monotonic.
            wall: the local wall clock.
            probe: whether the request was a probe.
        """
        clock, window = self.clock, self.window
        date = headers.get("date")
        if date is not None:
            clock.observe_date(http_date(date), sent, now)
        observation = self._reader.read(status, headers)
        if (
            observation is not None
            and window.is_current(observation, now)
            and not probe
            and status != 429
        ):
            usual = self._usual  # as most are
            if usual.remaining != observation.remaining:
                usual = self._usual = Reading(observation.remaining, Place.SAME)
            return usual
        server_now = clock.now(now, wall)
        wait = retry_after(headers, server_now) if status == 429 else None
        if observation is None:
            return Reading(None, wait=wait)
        place = window.place(observation, now, server_now)
        if place is None:
            return Reading(None, wait=wait)
        early, resized = False, False
        if place is not Place.OLDER:
            resized = window.known and observation.limit not in (None, window.limit)
        if place is Place.NEWER:
            latest = clock.latest(now, wall)
            early = window.known and window.moved_early(now, latest)
            window.take_over(observation, min(now - sent, _WAY_MOST), now, server_now, latest)
        elif place is Place.SAME:
            if probe:
                self._not_ended(sent, wall - (now - sent))
            window.refine(observation, now)
        return Reading(observation.remaining, place, early, resized, wait)

    def _not_ended(self, sent: float, wall: float) -> None:
        """A probe was still counted in the window known so far.

        If it was sent after the window's expected end, then the local wall clock is ahead of
        the server's, or Reset is rounded down if a `Date` contradicts that. Either is believed
        from now on, so that it happens once.
        """
        reset = self.window.reset
        if self.window.relative:
            self._rounds_down = self._rounds_down or sent >= reset
        elif not self.clock.not_reached(reset, sent):
            self._rounds_down = True
        elif wall >= reset:
            self._trusts_wall = False
