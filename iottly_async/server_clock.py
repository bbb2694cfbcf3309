"""The server's clock, as far as its answers tell it. Pure: times are passed in.

Two things need the server's time. The rate limiter must not send before `Reset`, which is
a time of the server's clock. A walk ends at the server's present, and the local clock may
be minutes off.

The answer's `Date` field has whole seconds. An answer whose request was sent at `sent` and
which arrived at `received`, both by the local monotonic clock, bounds the offset of the
server's clock over the monotonic clock:

    Date - received  <=  offset  <  Date + 1 s - sent

The bounds of many answers are intersected. A message bounds the offset too, and to the
millisecond: its timestamp was past when it arrived (D11).

Three readings follow from the bounds: `earliest` is never later than the truth, `latest`
never earlier, and `now` is the best guess. `now` is the local wall clock where that lies
within the bounds, because a synchronised clock is more precise than whole seconds.
"""

from __future__ import annotations

from math import inf
from typing import Final

__all__ = ["ServerClock", "is_ahead"]

_DATE_STEP: Final = 1.0
"""`Date` has whole seconds: the truth lies less than this many seconds after it."""

_DRIFT: Final = 2e-4
"""Bounds widen by 200 parts in a million, which is more than two clocks drift apart."""

_JUMP: Final = 2.0
"""Bounds that miss each other by more than this many seconds mean that a clock was set."""

_NEAR: Final = 0.05
"""A wall clock at most this many seconds above the upper bound is believed to be right."""

_BACKWARD_SAMPLES: Final = 5
"""This many answers in a row must agree before a jump backwards is believed."""

_AHEAD: Final = 60.0
"""A time this many seconds ahead of the server's clock comes from another clock."""


class ServerClock:
    """Bounds on the offset of the server's wall clock over the local monotonic clock.

    Attributes:
        lower: the smallest possible offset in seconds; None before the first `Date`.
        upper: the offset is smaller than this; meaningless while `lower` is None.
    """

    __slots__ = (
        "_backward", "_backward_lower", "_date", "_message_lower", "_observed_at", "lower",
        "upper",
    )  # fmt: skip

    def __init__(self) -> None:
        self.lower: float | None = None
        self.upper = 0.0
        self._observed_at = 0.0
        self._message_lower = -inf
        self._date = 0.0
        self._backward = 0
        self._backward_lower = 0.0

    def observe_date(self, date: float | None, sent: float, received: float) -> None:
        """Narrow the bounds by the `Date` of an answer.

        Args:
            date: seconds since the epoch, whole; None if the answer has no `Date`.
            sent: monotonic; the request was sent at this time or later.
            received: monotonic.
        """
        if date is None or (date == self._date and date + _DATE_STEP - sent >= self.upper):
            return  # of this second, only a request that was sent later tells more
        self._date = date
        lower, upper = date - received, date + _DATE_STEP - sent
        if self.lower is None:
            self.lower, self.upper, self._observed_at = lower, upper, received
            return
        drift = (received - self._observed_at) * _DRIFT
        self._observed_at = received
        self.lower -= drift
        self.upper += drift
        self._message_lower -= drift
        if upper < self.lower - _JUMP:
            self._jump_backward(lower, upper)
            return
        self._backward = 0
        if lower > self.upper + _JUMP:  # a jump forward; the later time is the safe one
            self.upper = upper
        self.lower = max(self.lower, lower)
        self.upper = min(self.upper, upper)

    def _jump_backward(self, lower: float, upper: float) -> None:
        """Believe a jump backwards only if several answers in a row agree.

        A single answer may come from a cache, or from one node of many.
        """
        self._backward_lower = max(self._backward_lower, lower) if self._backward else lower
        self._backward += 1
        if self._backward >= _BACKWARD_SAMPLES:
            self.lower, self.upper, self._backward = self._backward_lower, upper, 0

    def observe_message(self, timestamp: float, received: float) -> None:
        """Narrow the lower bound by a message: its timestamp was past when it arrived.

        Call it after `observe_date` of the same answer. A timestamp that is later than the
        answer's `Date` allows is of another clock, and is ignored.

        Args:
            timestamp: of the message, in seconds since the epoch.
            received: monotonic.
        """
        if timestamp < self._date + _DATE_STEP:
            self._message_lower = max(self._message_lower, timestamp - received)

    def not_reached(self, moment: float, at: float) -> bool:
        """Narrow the upper bound: the server's clock had not reached `moment`.

        Args:
            moment: seconds since the epoch on the server's clock.
            at: monotonic.

        Returns:
            False if that contradicts a `Date`; the bounds stay as they are then.
        """
        upper = moment - at
        if self.lower is None or upper < self.lower:
            return False
        self.upper = min(self.upper, upper)
        return True

    def now(self, monotonic: float, wall: float) -> float:
        """The best guess of the server's time.

        Args:
            monotonic: the local monotonic clock.
            wall: the local wall clock at the same moment.

        Returns:
            Seconds since the epoch: the wall clock if it lies within the bounds, else the
            earliest time that they allow.
        """
        if self.lower is None:
            return wall
        offset = wall - monotonic
        if offset < self.lower or offset > self.upper + _NEAR:
            return monotonic + self.lower
        return monotonic + min(offset, self.upper)

    def earliest(self, monotonic: float, wall: float) -> float:
        """The server's time, never later than the truth; `wall` before the first `Date`."""
        if self.lower is None:
            return wall
        return monotonic + max(self.lower, min(self._message_lower, self.upper))

    def latest(self, monotonic: float, wall: float) -> float:
        """The server's time, never earlier than the truth; `wall` before the first `Date`."""
        return wall if self.lower is None else monotonic + self.upper


def is_ahead(moment: float, server_now: float) -> bool:
    """Whether a time is so far ahead of the server's clock that it is of another clock.

    Args:
        moment: seconds since the epoch.
        server_now: the server's time, in seconds since the epoch.
    """
    return moment > server_now + _AHEAD
