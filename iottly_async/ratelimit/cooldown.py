"""The pause after a 429, for all requests of a key. Pure.

One episode has one pause: refusals of requests that were granted before the pause belong to
the same episode. The pause ends at a time and not by an event, so no cancelled task can make
it last for ever. When the time has come, one probe is sent; its answer ends the pause or
begins the next one.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import Final

from ..retry import backoff_delay

__all__ = ["Cooldown"]

_INITIAL: Final = 0.2
_MOST: Final = 30.0
"""Seconds: bounds of the first and of the longest pause if the server asks for none."""

_LONGEST: Final = 3600.0
"""Whatever the server says, a probe is sent after this many seconds."""


class Cooldown:
    """Active from the start (nothing is known, so a probe is sent), and after each 429.

    Args:
        random: draws a number in [0, 1), for jitter.
        active: whether it begins active.

    Attributes:
        active: whether only a probe may go.
        until: monotonic time at which the probe may go.
        refusals: answers of 429 so far.
    """

    __slots__ = ("_ended_at", "_failures", "_last", "_random", "_wait", "active", "refusals",
                 "until")  # fmt: skip

    def __init__(self, random: Callable[[], float], *, active: bool) -> None:
        self.active = active
        self.until = -inf
        self.refusals = 0
        self._last = 0  # answers to permits up to this number belong to the same episode
        self._random = random
        self._failures = 0
        self._ended_at = -inf
        self._wait = 0.0

    def refused(self, number: int, granted: int, now: float, wait: float | None) -> bool:
        """Take a 429 into account.

        Args:
            number: of the permit.
            granted: the highest permit granted so far.
            now: monotonic.
            wait: seconds that the server asks for; None if it does not.

        Returns:
            True if this begins a new episode.
        """
        self.refusals += 1
        if number <= self._last:
            return False
        if wait is None:
            wait = self._back_off(now)
        else:
            self._failures = 0
        self._wait = min(wait, _LONGEST)
        self.active, self.until, self._last = True, now + self._wait, granted
        return True

    def _back_off(self, now: float) -> float:
        # Refusals right after a pause are the same trouble going on. After twice the last
        # pause without one, it is a new trouble.
        if not self.active and now - self._ended_at > 2 * self._wait + 1.0:
            self._failures = 0
        self._failures += 1
        return backoff_delay(self._failures, initial=_INITIAL, most=_MOST, random=self._random)

    def answered(self, number: int, now: float) -> bool:
        """Take an answer other than 429 into account; True if it ended the pause."""
        if not self.active or number <= self._last:
            return False
        self.active = False
        self._ended_at = now
        return True
