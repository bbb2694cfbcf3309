"""The clients that patience is compared with: hand-written back-off, and botocore's adaptive rule.

Both are written from published descriptions: the README of `backoff`, and the guides to the
retries of the AWS SDKs, whose adaptive mode is a token bucket with a rate by CUBIC (RFC 8312).
"""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import Awaitable, Callable
from typing import Any, Final, Protocol

import aiohttp
import backoff

_PASSING: Final = frozenset({408, 429, 500, 502, 503, 504})
_REFUSED: Final = frozenset({429, 503})


class GaveUpError(Exception):
    """A request was given up."""


class Peer(Protocol):
    """A client that requests pages.

    Attributes:
        sent: when each request was sent, in seconds of the loop.
        refused: answers of 429 and 503.
    """

    sent: list[float]
    refused: int

    async def get(self, url: str) -> Any:
        """Request a page until it is there.

        Raises:
            GaveUpError: it was given up.
        """


Send = Callable[[str], Awaitable[tuple[int | None, Any]]]
"""Makes one attempt: the status, None if no answer arrived, and what the answer holds."""


def sender(session: aiohttp.ClientSession, limit: float = 20.0) -> Send:
    """Make attempts over an aiohttp session, of `limit` seconds each."""
    timeout = aiohttp.ClientTimeout(total=limit)

    async def send(url: str) -> tuple[int | None, Any]:
        try:
            async with session.get(url, timeout=timeout) as response:
                if response.status != 200:
                    await response.read()
                    return response.status, None
                return 200, await response.json()
        except (aiohttp.ClientError, TimeoutError):
            return None, None

    return send


class _Attempts:
    """Makes attempts, and counts them."""

    def __init__(self, send: Send) -> None:
        self.sent: list[float] = []
        self.refused = 0
        self._send = send

    async def attempt(self, url: str) -> tuple[int | None, Any]:
        """Make one attempt, as `Send` does."""
        self.sent.append(asyncio.get_running_loop().time())
        status, found = await self._send(url)
        self.refused += status in _REFUSED
        return status, found


class ExpoClient(_Attempts):
    """Exponential back-off with full jitter, given up after five minutes."""

    async def get(self, url: str) -> Any:
        """Request a page until it is there; `Peer` says more."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        waits = backoff.expo(max_value=60)
        next(waits)  # its first value is None
        while True:
            status, found = await self.attempt(url)
            if status == 200:
                return found
            if (status is not None and status not in _PASSING) or loop.time() - began > 300:
                raise GaveUpError(status)
            await asyncio.sleep(random.uniform(0, next(waits)))


class AdaptiveClient(_Attempts):
    """botocore's adaptive mode: pauses of up to 20 s, and a rate by CUBIC once throttled.

    Args:
        send: makes one attempt.
        attempts: of one request; the SDKs' default is 3. None makes as many as it takes.
    """

    def __init__(self, send: Send, *, attempts: int | None = 3) -> None:
        super().__init__(send)
        self._most = attempts
        self._rate = AdaptiveRate(asyncio.get_running_loop().time)

    async def get(self, url: str) -> Any:
        """Request a page until it is there; `Peer` says more."""
        failures = 0
        while True:
            await self._rate.acquire()
            status, found = await self.attempt(url)
            self._rate.answered(throttled=status in _REFUSED)
            if status == 200:
                return found
            failures += 1
            passing = status is None or status in _PASSING
            if not passing or (self._most is not None and failures >= self._most):
                raise GaveUpError(status)
            await asyncio.sleep(min(random.random() * 2 ** (failures - 1), 20.0))


class AdaptiveRate:
    """The client-side rate of the adaptive mode: none until the first throttled answer.

    Args:
        now: seconds of a clock.
    """

    _BETA: Final = 0.7
    """What a throttled answer leaves of the rate."""
    _SCALE: Final = 0.4
    _SMOOTHING: Final = 0.8
    _LEAST: Final = 0.5

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._enabled = False
        self._most = 1.0
        self._tokens, self._capacity, self._filled = 0.0, 1.0, now()
        self._measured, self._count, self._bucket = 0.0, 0, math.floor(now() * 2) / 2
        self._before, self._inflection, self._throttled = 0.0, 0.0, now()

    @property
    def rate(self) -> float:
        """Requests a second."""
        return self._most

    async def acquire(self) -> None:
        """Wait for a token."""
        if not self._enabled:
            return
        self._refill()
        while self._tokens < 1.0 - 1e-6:  # virtual time does not move by less
            await asyncio.sleep((1.0 - self._tokens) / self._most)
            self._refill()
        self._tokens -= 1.0

    def answered(self, *, throttled: bool) -> None:
        """Take an answer into the rate."""
        now = self._now()
        self._measure(now)
        if throttled:
            used = min(self._measured, self._most) if self._enabled else self._measured
            self._before, self._throttled = used, now
            self._inflection = (used * (1 - self._BETA) / self._SCALE) ** (1 / 3)
            self._enabled = True
            rate = used * self._BETA
        else:
            since = now - self._throttled - self._inflection
            rate = self._SCALE * since**3 + self._before
        self._refill()
        self._most = max(min(rate, 2 * self._measured), self._LEAST)
        self._capacity = max(self._most, 1.0)
        self._tokens = min(self._tokens, self._capacity)

    def _measure(self, now: float) -> None:
        self._count += 1
        bucket = math.floor(now * 2) / 2
        if bucket > self._bucket:
            rate = self._count / (bucket - self._bucket)
            self._measured += self._SMOOTHING * (rate - self._measured)
            self._count, self._bucket = 0, bucket

    def _refill(self) -> None:
        now = self._now()
        self._tokens = min(self._capacity, self._tokens + (now - self._filled) * self._most)
        self._filled = now
