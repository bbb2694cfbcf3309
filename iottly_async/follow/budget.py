"""When the next poll may be sent, from the remaining quota. Pure.

The remaining requests of the window are spread over the rest of it, so that the last second
gets as many as the first. A share is reserved for other users of the key, and a part for
polls that answer wake-ups.
"""

from __future__ import annotations

from math import exp, inf
from typing import Final

from ..models import Quota

_WINDOW: Final = 60.0
"""Seconds of the documented window, which are assumed until the limiter has learned it."""


class PollBudget:
    """Spreads one quota over the polls of all devices.

    Args:
        share: part of the quota that may be used, above 0 and up to 1.
    """

    __slots__ = ("_last_poll", "_share", "_wakeup_rate", "_wakeup_rate_at")

    def __init__(self, share: float) -> None:
        self._share = share
        self._last_poll = -inf
        self._wakeup_rate = 0.0
        self._wakeup_rate_at = -inf

    def spend(self, now: float, *, wakeup: bool = False) -> None:
        """Record a poll.

        Args:
            now: monotonic.
            wakeup: whether it answers a wake-up, and so did not wait for its pace.
        """
        self._last_poll = now
        if wakeup:
            self._wakeup_rate = self._recent_wakeups(now) + 1.0 / _WINDOW
            self._wakeup_rate_at = now

    def _recent_wakeups(self, now: float) -> float:
        """Polls a second for wake-ups, averaged over about the last minute."""
        return self._wakeup_rate * exp((self._wakeup_rate_at - now) / _WINDOW)

    def next_at(self, quota: Quota, now: float, wall: float) -> float:
        """When the next poll may be sent.

        Args:
            quota: as it is known now.
            now: monotonic.
            wall: the local wall clock, to which `quota.resets_at` refers.

        Returns:
            A time of the monotonic clock; one that is past means at once.
        """
        if quota.limit is None or quota.remaining is None or quota.resets_at is None:
            return now
        seconds = max(quota.resets_at.timestamp() - wall, 0.0)
        free = quota.remaining - quota.limit * (1.0 - self._share) - quota.waiting
        # Wake-ups do not wait for the pace. What they used recently is kept for them.
        free -= self._recent_wakeups(now) * seconds
        if free < 1.0:
            return now + seconds
        return self._last_poll + seconds / free

    def round_time(self, quota: Quota, devices: int) -> float:
        """Seconds that one poll of every device takes at the quota; 0 without a limit."""
        if not quota.limit:
            return 0.0
        window = quota.window or _WINDOW
        return devices * window / (quota.limit * self._share)
