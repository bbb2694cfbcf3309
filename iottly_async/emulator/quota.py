"""The rate limit: how many requests a key has left, by one of three algorithms.

A refused request costs nothing. Time is the server's and is passed in, in epoch seconds.
"""

import math
from collections import deque
from typing import Protocol

import attrs

from .settings import Algorithm, EmulatorSettings, Rounding


@attrs.frozen
class QuotaDecision:
    """What the limit says to one request: whether it was ``admitted``, and what ``remaining`` is.

    ``limit`` is in requests a window; ``reset`` in epoch seconds of the server's clock.
    """

    admitted: bool
    limit: int
    remaining: int
    reset: float

    def headers(self, now: float, *, rounding: Rounding, retry_after: bool) -> dict[str, str]:
        """The three headers, the reset rounded as ``rounding`` says.

        And ``Retry-After`` on a refusal where ``retry_after`` asks for it, counted from ``now``.
        """
        reset = math.ceil(self.reset) if rounding == "up" else math.floor(self.reset)
        named = {
            "X-RateLimit-Limit": str(self.limit),
            "X-RateLimit-Remaining": str(self.remaining),
            "X-RateLimit-Reset": str(reset),
        }
        if retry_after and not self.admitted:
            named["Retry-After"] = str(max(1, math.ceil(self.reset - now)))
        return named


class Quota(Protocol):
    """One key's quota."""

    def take(self, now: float) -> QuotaDecision:
        """Spend one request, or refuse it."""


class FixedWindow:
    """So many requests in each window; windows lie at multiples of their length."""

    def __init__(self, limit: int, window: float) -> None:
        self._limit, self._window = limit, window
        self._current, self._used = -1, 0

    def take(self, now: float) -> QuotaDecision:
        """Spend one request, or refuse it."""
        current = math.floor(now / self._window)
        if current != self._current:
            self._current, self._used = current, 0
        admitted = self._used < self._limit
        self._used += admitted
        reset = (current + 1) * self._window
        return QuotaDecision(admitted, self._limit, self._limit - self._used, reset)


class SlidingLog:
    """So many requests within any stretch of a window's length; reset is when the oldest leaves."""

    def __init__(self, limit: int, window: float) -> None:
        self._limit, self._window = limit, window
        self._log: deque[float] = deque()

    def take(self, now: float) -> QuotaDecision:
        """Spend one request, or refuse it."""
        while self._log and self._log[0] <= now - self._window:
            self._log.popleft()
        admitted = len(self._log) < self._limit
        if admitted:
            self._log.append(now)
        reset = self._log[0] + self._window
        return QuotaDecision(admitted, self._limit, self._limit - len(self._log), reset)


class TokenBucket:
    """A bucket that holds a window's requests and refills evenly; reset is when it is full."""

    def __init__(self, limit: int, window: float) -> None:
        self._limit, self._rate = limit, limit / window
        self._tokens, self._seen = float(limit), -math.inf

    def take(self, now: float) -> QuotaDecision:
        """Spend one request, or refuse it."""
        gained = max(0.0, now - self._seen) * self._rate
        self._tokens, self._seen = min(self._limit, self._tokens + gained), now
        # A refill computed to the nanosecond may end a hair below the whole token it stands for.
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
    """The quota of each key (D1: one for both generations)."""

    def __init__(self, settings: EmulatorSettings) -> None:
        self._limit = settings.requests_a_window
        self._window = settings.rate_window
        self._kind = _ALGORITHMS[settings.rate_algorithm]
        self._keys: dict[str, Quota] = {}

    def take(self, key: str, now: float) -> QuotaDecision | None:
        """Spend one request of this key, or refuse it; None where there is no limit."""
        if self._limit is None:
            return None
        quota = self._keys.get(key)
        if quota is None:
            quota = self._keys[key] = self._kind(self._limit, self._window)
        return quota.take(now)
