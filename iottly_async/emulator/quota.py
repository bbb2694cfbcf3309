"""The rate limit: how many requests an API key has left, by one of three algorithms.

A refused request uses no quota. Time is the server's, in epoch seconds, and is passed in.
"""

import math
from collections import deque
from typing import Protocol

import attrs

from .settings import Algorithm, EmulatorSettings, Rounding


@attrs.frozen
class QuotaDecision:
    """What the rate limit decides about one request, and the quota after it.

    Attributes:
        admitted: Whether the request may go on; otherwise it is refused.
        limit: How many requests fit into one window.
        remaining: How many requests are left.
        reset: When there is more quota, in epoch seconds of the server's clock.
    """

    admitted: bool
    limit: int
    remaining: int
    reset: float

    def headers(self, rounding: Rounding) -> dict[str, str]:
        """The limit headers of the answer.

        Args:
            rounding: How the reset is rounded to whole seconds: ``up`` or ``down``.

        Returns:
            The three limit headers.
        """
        reset = math.ceil(self.reset) if rounding == "up" else math.floor(self.reset)
        return {
            "X-RateLimit-Limit": str(self.limit),
            "X-RateLimit-Remaining": str(self.remaining),
            "X-RateLimit-Reset": str(reset),
        }

    def retry_after(self, now: float) -> str:
        """The ``Retry-After`` header of a refusal.

        Args:
            now: The server's time in epoch seconds.

        Returns:
            Whole seconds, at least 1.
        """
        return str(max(1, math.ceil(self.reset - now)))


class Quota(Protocol):
    """The quota of one API key."""

    def take(self, now: float) -> QuotaDecision:
        """Use one request of the quota, or refuse it."""


class FixedWindow:
    """A limit for each window; windows begin at multiples of their length."""

    def __init__(self, limit: int, window: float) -> None:
        self._limit, self._window = limit, window
        self._current, self._used = -1, 0

    def take(self, now: float) -> QuotaDecision:
        """Use one request of the quota, or refuse it."""
        current = math.floor(now / self._window)
        if current != self._current:
            self._current, self._used = current, 0
        admitted = self._used < self._limit
        self._used += admitted
        reset = (current + 1) * self._window
        return QuotaDecision(admitted, self._limit, self._limit - self._used, reset)


class SlidingLog:
    """A limit for any interval of a window's length; reset is when the oldest request leaves it."""

    def __init__(self, limit: int, window: float) -> None:
        self._limit, self._window = limit, window
        self._log: deque[float] = deque()

    def take(self, now: float) -> QuotaDecision:
        """Use one request of the quota, or refuse it."""
        while self._log and self._log[0] <= now - self._window:
            self._log.popleft()
        admitted = len(self._log) < self._limit
        if admitted:
            self._log.append(now)
        reset = self._log[0] + self._window
        return QuotaDecision(admitted, self._limit, self._limit - len(self._log), reset)


class TokenBucket:
    """A bucket that holds one window's requests and refills evenly; reset is when it is full."""

    def __init__(self, limit: int, window: float) -> None:
        self._limit, self._rate = limit, limit / window
        self._tokens, self._seen = float(limit), -math.inf

    def take(self, now: float) -> QuotaDecision:
        """Use one request of the quota, or refuse it."""
        gained = max(0.0, now - self._seen) * self._rate
        self._tokens, self._seen = min(self._limit, self._tokens + gained), now
        # Rounding errors may leave a refilled token slightly below 1.
        admitted = self._tokens >= 1 - 1e-6
        if admitted:
            self._tokens = max(0.0, self._tokens - 1)
        reset = now + (self._limit - self._tokens) / self._rate
        return QuotaDecision(admitted, self._limit, int(self._tokens + 1e-6), reset)


_ALGORITHMS: dict[Algorithm, type[FixedWindow | SlidingLog | TokenBucket]] = {
    "fixed": FixedWindow,
    "sliding": SlidingLog,
    "bucket": TokenBucket,
}


class Quotas:
    """The quota of each API key; both generations share it (D1)."""

    def __init__(self, settings: EmulatorSettings) -> None:
        self._limit = settings.requests_a_window
        self._window = settings.rate_window
        self._kind = _ALGORITHMS[settings.rate_algorithm]
        self._keys: dict[str, Quota] = {}

    def take(self, key: str, now: float) -> QuotaDecision | None:
        """Use one request of a key's quota, or refuse it; None if the rate is not limited."""
        if self._limit is None:
            return None
        quota = self._keys.get(key)
        if quota is None:
            quota = self._keys[key] = self._kind(self._limit, self._window)
        return quota.take(now)
