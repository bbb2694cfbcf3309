"""When the server's window turns, to better than the whole seconds that it speaks in, pure.

To send into the new window too early is to be refused, too late is to waste it, and two
things blur the moment: the server's clock is known by `Date` to within a second, and Reset
is rounded up by up to a second where windows do not begin on whole seconds. So while
somebody has to wait for the next window in any case, the last few requests of this one
are kept back and spent as scouts: first around a tick of the server's second, each halving
what is not known of its clock; then in the last second before Reset, to see whether the
turn comes early. Once turns come when they are expected, nothing is kept back any more.
"""

from __future__ import annotations

from math import ceil, inf

from ..server_clock import ServerClock
from .window import ROUNDING, ServerWindow

__all__ = ["TurnWatch"]

_SCOUTS = 3
_SCOUTS_ONE_IN = 10
"""Scouts a window, and at most one in so many of its requests."""

_CLOCK_TESTS = 8
"""Scouts spent on the clock at most: the way there and back bounds what they can tell."""

_SHARP = 0.1
"""A clock known to within so many seconds, and a request's way, is known."""

_TESTED = 0.6
"""A turn is on time if a scout found, at most so many seconds earlier, that it had not come."""

_WAY = 0.1
"""Seconds that a request's way there and back takes, before the first scout has shown it."""

_WORTH = 5
"""Requests that could be sent in the time in doubt, from which on it is worth a few scouts."""

_TRUST_AFTER = 2
"""Turns on time in a row that end the watch."""


class TurnWatch:
    """Watches for the turn of `window` by `clock`; times are monotonic."""

    __slots__ = (
        "_clock",
        "_clock_tests",
        "_not_before",
        "_on_time",
        "_rounds_down",
        "_way",
        "_window",
    )

    def __init__(self, clock: ServerClock, window: ServerWindow) -> None:
        self._clock = clock
        self._window = window
        self._clock_tests = 0
        self._way = _WAY
        self._not_before = -inf
        self._on_time = 0
        self._rounds_down = False

    @property
    def _trusted(self) -> bool:
        return self._on_time >= _TRUST_AFTER

    @property
    def kept(self) -> int:
        """How many requests of a window to keep back as scouts."""
        if self._trusted:
            return 0
        return min(_SCOUTS, self._window.limit // _SCOUTS_ONE_IN)

    def latest(self, now: float, wall: float) -> float:
        """The latest that the window can end; may lie in the past."""
        clock, window = self._clock, self._window
        known = clock.now(now, wall)
        if not self._trusted and self._blurred():
            known = now + (clock.lower or 0.0)
        ends = window.ends(now, known)
        return ends + ROUNDING if self._rounds_down else ends

    def _blurred(self) -> bool:
        """Whether the server's clock is known to no better than it should be."""
        clock = self._clock
        if self._window.relative or clock.lower is None:
            return False
        return clock.upper - clock.lower > _SHARP + self._way

    def scout_at(self, spare: float, now: float, wall: float) -> float | None:
        """When the next of the `spare` requests that are kept back may go to look.

        None where no more looking is of use in this window: then they need not be kept.
        """
        latest = self.latest(now, wall)
        earliest = latest - ROUNDING
        if self._blurred():
            clock = self._clock
            blur = clock.upper - (clock.lower or 0.0)
            points = int(spare) if latest - now < spare else 1
            tick = _test_at(clock, now, wall, points)
            if tick < latest and self._clock_tests < _CLOCK_TESTS:
                return tick
            earliest = latest - blur
        earliest = max(earliest, self._not_before)
        if (latest - max(earliest, now)) * self._rate() < _WORTH:
            return None
        return earliest + (latest - earliest) / (int(spare) + 1)

    def _rate(self) -> float:
        window = self._window
        return window.limit / max(window.longest, 1.0)

    def not_turned(self, sent: float, now: float, wall: float) -> None:
        """A scout sent at `sent` was still counted in this window; its answer is here."""
        self._clock_tests += 1
        self._way = min(self._way, now - sent)
        self._not_before = max(self._not_before, sent)
        if self._window.relative:
            contradicts = True
        else:
            contradicts = not self._clock.not_reached(self._window.reset, sent)
        if sent >= self.latest(now, wall):
            self._on_time = 0
            self._rounds_down = self._rounds_down or contradicts

    def turned(self, sent: float, now: float, wall: float) -> bool:
        """A scout sent at `sent` was counted in the next window; its answer is here.

        To be told before the window's successor is taken over.

        Returns:
            False where the turn came before its time.
        """
        latest, tested = self.latest(now, wall), self._not_before
        self._not_before = -inf
        if self._blurred():
            return True
        if sent < latest - _SHARP:
            self._on_time = 0
            return self._window.relative
        if sent - tested <= _TESTED or ROUNDING * self._rate() < _WORTH:
            self._on_time += 1
        return True

    def next_window(self) -> None:
        """A window began that no scout was needed to find."""
        self._not_before = -inf


_TESTED_OFFSET, _NEAR, _LATE = 0.001, 0.05, 0.015


def _test_at(clock: ServerClock, monotonic: float, wall: float, tests: int) -> float:
    lower, upper = clock.lower or 0.0, clock.upper
    offset = wall - monotonic
    if lower + _NEAR < offset < upper - _TESTED_OFFSET:
        tested = offset
    elif lower <= offset < upper - _NEAR:
        tested = offset + _NEAR
    else:
        tested = upper - (upper - lower) / (tests + 1)
    return ceil(monotonic - _LATE + tested) - tested
