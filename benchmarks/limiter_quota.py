"""Ways in which a server counts the requests of a key. Time is passed in.

This is the server's side. It shares no code with the limiter, nor with the emulator.
"""

from __future__ import annotations

import math
from collections import deque
from typing import NamedTuple, Protocol

ALGORITHMS = ("fixed", "sliding", "sliding-newest", "bucket")
"""Those of services that tell what is left."""


class Verdict(NamedTuple):
    """The server's decision; `reset` is by its own clock, not rounded."""

    admitted: bool
    remaining: int
    reset: float


class Quota(Protocol):
    """The count of one key."""

    def take(self, now: float) -> Verdict:
        """Count a request that arrives at `now` of the server's clock, or refuse it."""


class FixedWindows:
    """So many requests between two multiples of the window's length."""

    def __init__(self, limit: int, window: float) -> None:
        self._limit, self._window = limit, window
        self._number, self._used = -1, 0

    def take(self, now: float) -> Verdict:
        """Count or refuse."""
        number = math.floor(now / self._window)
        if number != self._number:
            self._number, self._used = number, 0
        admitted = self._used < self._limit
        self._used += admitted
        return Verdict(admitted, self._limit - self._used, (number + 1) * self._window)


class SlidingLog:
    """So many requests within any window; Reset is when the oldest leaves it.

    With `newest`, Reset is when the log will be empty, as some servers have it.
    """

    def __init__(self, limit: int, window: float, *, newest: bool = False) -> None:
        self._limit, self._window, self._newest = limit, window, newest
        self._log: deque[float] = deque()

    def take(self, now: float) -> Verdict:
        """Count or refuse."""
        log = self._log
        while log and log[0] <= now - self._window:
            log.popleft()
        admitted = len(log) < self._limit
        if admitted:
            log.append(now)
        return Verdict(
            admitted, self._limit - len(log), (now if self._newest else log[0]) + self._window
        )


class TokenBucket:
    """A window's requests at most, refilled evenly; Reset is when it is full again."""

    def __init__(self, limit: int, window: float) -> None:
        self._limit, self._rate = limit, limit / window
        self._tokens, self._at = float(limit), 0.0

    def take(self, now: float) -> Verdict:
        """Count or refuse."""
        self._tokens = min(self._limit, self._tokens + (now - self._at) * self._rate)
        self._at = now
        admitted = self._tokens >= 1
        self._tokens -= admitted
        full = now + (self._limit - self._tokens) / self._rate
        return Verdict(admitted, int(self._tokens), full)


class LimitReq:
    """nginx's `limit_req` with `nodelay`: at a steady rate, and `burst` requests at once beyond.

    It counts in milliseconds and thousandths of a request, as nginx does, and tells nothing of
    what is left.
    """

    def __init__(self, rate: float, burst: int) -> None:
        self._rate, self._burst = 1000 * rate, 1000 * burst
        self._excess, self._last = -1000.0, 0

    def take(self, now: float) -> Verdict:
        """Count or refuse."""
        now_ms = int(now * 1000)
        excess = self._excess - self._rate * (now_ms - self._last) / 1000 + 1000
        admitted = excess <= self._burst
        if admitted:
            self._excess, self._last = max(excess, 0.0), now_ms
        return Verdict(admitted, 0, now)


def quota(algorithm: str, limit: int, window: float, burst: int = 0) -> Quota:
    """A fresh count of that kind.

    Args:
        algorithm: one of `ALGORITHMS`, or "limit_req", nginx's, which tells of no quota.
        limit: requests a window.
        window: seconds.
        burst: of "limit_req".

    Raises:
        ValueError: there is no such algorithm.
    """
    if algorithm == "limit_req":
        return LimitReq(limit / window, burst)
    if algorithm == "fixed":
        return FixedWindows(limit, window)
    if algorithm in ("sliding", "sliding-newest"):
        return SlidingLog(limit, window, newest=algorithm == "sliding-newest")
    if algorithm == "bucket":
        return TokenBucket(limit, window)
    raise ValueError(f"no algorithm {algorithm!r}; there are: {', '.join(ALGORITHMS)}")


def ideal(
    algorithm: str, limit: int, window: float, requests: int, began: float, burst: int = 0
) -> float:
    """The least seconds in which so many are admitted, all else being infinitely quick.

    Args:
        algorithm: as above.
        limit: requests a window.
        window: seconds.
        requests: how many.
        began: the server's time at the beginning, with its quota unused.
        burst: of "limit_req".
    """
    if algorithm == "limit_req":
        return max(0.0, (requests - burst - 1) * window / limit)
    if algorithm == "bucket":
        return max(0.0, (requests - limit) * window / limit)
    turns = math.ceil(requests / limit) - 1
    if algorithm == "fixed" and turns:
        return turns * window - began % window
    return turns * window
