"""How soon the next request may go, by what the quota has left: pure.

What is left of the window is spread over the rest of it, so that the last second of a
window is as well served as the first, and a share is left to others on the key, another to
the rings of a doorbell.
"""

from __future__ import annotations

from math import exp, inf

from ..models import Quota

_WINDOW = 60.0
"""Seconds of the documented window, until a longer or shorter one has been seen."""


class Pace:
    """One budget for all devices.

    Args:
        share: of the quota that may be used, above 0 and up to 1.
    """

    __slots__ = ("_last", "_longest", "_rung", "_rung_at", "_share")

    def __init__(self, share: float) -> None:
        self._share = share
        self._last = -inf
        self._longest = 0.0
        self._rung = 0.0
        self._rung_at = -inf

    def spent(self, now: float, *, rung: bool = False) -> None:
        """A request goes now (monotonic); `rung`: for a ring, which asked for no pace."""
        self._last = now
        if rung:
            self._rung = self._rings(now) + 1.0 / _WINDOW
            self._rung_at = now

    def _rings(self, now: float) -> float:
        """Requests a second that rings have taken of late."""
        return self._rung * exp((self._rung_at - now) / _WINDOW)

    def next_at(self, quota: Quota, now: float, wall: float) -> float:
        """When the next request may go, monotonic; in the past where it may go at once.

        Args:
            quota: as it stands.
            now: monotonic.
            wall: the local wall clock, which `quota.resets_at` is of.
        """
        if quota.limit is None or quota.remaining is None or quota.resets_at is None:
            return now
        left = max(quota.resets_at.timestamp() - wall, 0.0)
        self._longest = max(self._longest, left)
        free = quota.remaining - quota.limit * (1.0 - self._share) - quota.waiting
        # Rings come as they come: what they have taken of late is left to them.
        free -= self._rings(now) * left
        if free < 1.0:
            return now + left
        return self._last + left / free

    def round(self, quota: Quota, devices: int) -> float:
        """Seconds that a look at every device in turn takes; 0 where nothing limits it."""
        if not quota.limit:
            return 0.0
        window = self._longest or _WINDOW
        return devices * window / (quota.limit * self._share)
