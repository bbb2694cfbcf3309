"""How long one call waits out failures that pass. Pure."""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import Final

from ..config import RetryPolicy
from ..errors import IottlyError
from ..retry import is_passing, is_unreadable, retry_delay
from .outage import LONGEST_RETRY_AFTER, OPENS_AFTER, probe_pause

MOST_UNREADABLE: Final = 3
"""Unreadable answers in a row that are waited out. They pass, or they are a difference between
the service and its documents, which no patience helps against."""

_UNREADABLE_PAUSE: Final = 4
"""After an unreadable answer, the pause is as long as after so many more failed probes."""


class Patience:
    """The patience of one call.

    It counts from the first failure. Waits for quota do not count.

    Args:
        seconds: how long it lasts; inf has no end.
    """

    __slots__ = ("_refused_at", "_unreadable", "ends_at", "seconds")

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.ends_at = inf
        self._refused_at: float | None = None
        self._unreadable = 0

    def begin(self, now: float) -> None:
        """Start counting, if it does not count yet."""
        self.ends_at = min(self.ends_at, now + self.seconds)

    def remaining(self, now: float) -> float:
        """Seconds that are left of it; it counts from now on, if it did not."""
        self.begin(now)
        return self.ends_at - now

    def add_quota_wait(self, seconds: float) -> None:
        """Leave out a wait for quota."""
        self.ends_at += seconds

    def accepts_refusal(self, now: float, refusals: int, most: int) -> bool:
        """Whether a call goes on after an answer of 429.

        A service that only ever refuses is given up, but not before both the number of
        refusals and the time of the patience are used up; here waits for quota count.

        Args:
            now: seconds of the monotonic clock.
            refusals: answers of 429 to this call.
            most: that a call accepts in any case.
        """
        if self._refused_at is None:
            self._refused_at = now
        return refusals <= most or now < self._refused_at + self.seconds

    def delay(
        self,
        error: IottlyError,
        failures: int,
        now: float,
        *,
        outage: bool,
        policy: RetryPolicy,
        random: Callable[[], float],
    ) -> float | None:
        """Decide whether a failure is waited out, and how long the pause is.

        Args:
            error: the failure; not a 429.
            failures: of this call so far, this one included.
            now: seconds of the monotonic clock.
            outage: whether the session's circuit is open, and paces the call.
            policy: gives the bounds of the first pauses.
            random: draws a number in [0, 1).

        Returns:
            Seconds, to the end of the patience at most; None to give up.
        """
        unreadable = is_unreadable(error)
        self._unreadable = self._unreadable + 1 if unreadable else 0
        if self._unreadable > MOST_UNREADABLE or not (unreadable or is_passing(error)):
            return None
        left = self.remaining(now)
        if left <= 0:
            return None
        if outage:
            return 0.0
        if unreadable:
            pause = probe_pause(self._unreadable - 1 + _UNREADABLE_PAUSE, random)
        elif failures < OPENS_AFTER:
            pause = retry_delay(failures, policy, random)
        else:
            pause = probe_pause(failures - OPENS_AFTER, random)
        asked = min(error.retry_after or 0.0, LONGEST_RETRY_AFTER)
        return min(asked + pause, left) if asked <= left else None
