"""The server's clock, known from the `Date` of its answers, pure.

`Reset` is a time of the server's clock; a client whose clock is five seconds off would
open five seconds late, or early and be refused. `Date` has whole seconds, so an answer
sent at `sent` and received at `received` (monotonic) bounds the offset of the server's
clock over the monotonic one::

    Date - received  <=  offset  <  Date + 1 - sent

Bounds of many answers are intersected. The local wall clock is used where it lies inside
them, since a synchronised one is exact; else the lower bound is: never early, and late by
a second at most until answers around a tick of the server's second have tightened it.
"""

from __future__ import annotations

from math import ceil

from .times import http_date

__all__ = ["ServerClock"]

_DRIFT = 1e-4
"""Bounds widen by 100 parts in a million, more than two clocks drift apart."""

_TESTED = 0.001
"""A bound this close to an offset was found when that was tested."""

_LATE = 0.015
"""Seconds by which a test may come late."""

_STEP = 2.0
"""Bounds that miss each other by more than this many seconds are no rounding."""

_NEAR = 0.05
"""A wall clock this little above the bounds is right, and the bounds sharper than it."""

_STEP_SAMPLES = 5
"""So many answers in a row must agree before a step back is believed."""


class ServerClock:
    """Bounds on the offset of the server's wall clock over the local monotonic clock."""

    __slots__ = ("_at", "_back", "_back_lower", "_date", "date_text", "lower", "upper")

    def __init__(self) -> None:
        self.lower: float | None = None
        """The least offset that the answers allow; None before the first `Date`."""
        self.upper = 0.0
        """The offset lies below this (meaningful once `lower` is)."""
        self._at = 0.0
        self._back = 0
        self._back_lower = 0.0
        self.date_text: str | None = None
        """The `Date` of the last answer."""
        self._date: float | None = None

    def sample(self, date_text: str | None, sent: float, received: float) -> None:
        """Learn from an answer's `Date`; `sent` may be earlier than the truth, never later."""
        if date_text != self.date_text:
            self.date_text = date_text
            self._date = None if date_text is None else http_date(date_text)
        date = self._date
        if date is None:
            return
        lower, upper = date - received, date + 1.0 - sent
        if self.lower is None:
            self.lower, self.upper, self._at = lower, upper, received
            return
        drift = (received - self._at) * _DRIFT
        self._at = received
        self.lower -= drift
        self.upper += drift
        if upper < self.lower - _STEP:
            self._stepped_back(lower, upper)
            return
        self._back = 0
        if lower > self.upper + _STEP:  # stepped forward: later bounds are the safe ones
            self.upper = upper
        if lower > self.lower:
            self.lower = lower
        if upper < self.upper:
            self.upper = upper

    def sent_by(self, sent: float) -> None:
        """Learn from another answer with the last one's `Date`: it was made after `sent`."""
        if self._date is not None:
            upper = self._date + 1.0 - sent
            if upper < self.upper:
                self.upper = upper

    def _stepped_back(self, lower: float, upper: float) -> None:
        """One old answer, or one node of many, must not move the clock; several in a row do."""
        self._back_lower = max(self._back_lower, lower) if self._back else lower
        self._back += 1
        if self._back >= _STEP_SAMPLES:
            self.lower, self.upper, self._back = self._back_lower, upper, 0

    def not_yet(self, moment: float, at: float) -> bool:
        """Learn that the server's clock had not reached `moment` at monotonic time `at`.

        A request that was still counted in the old window says so.

        Returns:
            False where that contradicts a `Date`, and is not believed.
        """
        upper = moment - at
        if self.lower is None or upper < self.lower:
            return False
        if upper < self.upper:
            self.upper = upper
        return True

    def now(self, monotonic: float, wall: float) -> float:
        """The server's time at `monotonic`, where the local wall clock says `wall`.

        Never later than the truth, as far as the answers tell.
        """
        if self.lower is None:
            return wall
        offset = wall - monotonic
        if offset < self.lower or offset > self.upper + _NEAR:
            return monotonic + self.lower
        return monotonic + min(offset, self.upper)

    def latest(self, monotonic: float, wall: float) -> float:
        """The latest that the server's time can be at `monotonic`."""
        return wall if self.lower is None else monotonic + self.upper

    def test_at(self, monotonic: float, wall: float, tests: int) -> float:
        """When to send a request whose `Date` tells most: around a tick of the server's second.

        Put to the test is the offset of the wall clock, from either side, where that is
        possible; else the middle of what is, or, where so many `tests` fit into one tick,
        the first of as many points. Call it once `lower` is known. A moment that has only
        just passed is returned as well, for timers are late.
        """
        lower, upper = self.lower or 0.0, self.upper
        offset = wall - monotonic
        if lower + _NEAR < offset < upper - _TESTED:
            tested = offset  # has the second ticked when the wall clock says so?
        elif lower <= offset < upper - _NEAR:
            tested = offset + _NEAR  # it had; and had it not just before?
        else:
            tested = upper - (upper - lower) / (tests + 1)
        return ceil(monotonic - _LATE + tested) - tested
