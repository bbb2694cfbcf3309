"""A server with a quota, simulated in virtual time, and clients that use it up.

The server shares no code with the limiter. It counts a request when it arrives, answers
after a latency, and keeps what it admitted and refused, so a test can compare.
"""

import asyncio
import math
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from email.utils import formatdate

from iottly_async.ratelimit.limiter import Limiter
from tests.support.virtual_time import START, WALL_START


@dataclass
class SimulatedServer:
    """One key's quota. `skew` is the server's clock over the true one, in seconds."""

    algorithm: str = "fixed"  # fixed, sliding, bucket
    limit: int = 200
    window: float = 2.0
    skew: float = 0.0
    rounding: Callable[[float], int] = math.ceil
    latency: tuple[float, float] = (0.02, 0.05)
    retry_after: bool = False
    style: str = "x"  # x, ietf, older, none
    seed: int = 0
    admitted: list[float] = field(default_factory=list)
    refused: list[float] = field(default_factory=list)
    others_admitted: int = 0
    others_refused: int = 0

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)
        self._log: deque[float] = deque()
        self._window_number = -1
        self._used = 0
        self._tokens, self._seen = float(self.limit), 0.0

    def _now(self) -> float:
        return WALL_START + asyncio.get_running_loop().time() - START

    def _take(self, now: float) -> tuple[bool, int, float]:
        if self.algorithm == "fixed":
            number = math.floor((now + self.skew) / self.window)
            if number != self._window_number:
                self._window_number, self._used = number, 0
            admitted = self._used < self.limit
            self._used += admitted
            return admitted, self.limit - self._used, (number + 1) * self.window - self.skew
        if self.algorithm in ("sliding", "sliding-newest"):
            while self._log and self._log[0] <= now - self.window:
                self._log.popleft()
            admitted = len(self._log) < self.limit
            if admitted:
                self._log.append(now)
            oldest = self._log[0] if self.algorithm == "sliding" else now
            return admitted, self.limit - len(self._log), oldest + self.window
        rate = self.limit / self.window
        self._tokens = min(self.limit, self._tokens + (now - self._seen) * rate)
        self._seen = now
        admitted = self._tokens >= 1
        self._tokens -= admitted
        return admitted, int(self._tokens), now + (self.limit - self._tokens) / rate

    async def request(self) -> tuple[int, dict[str, str]]:
        """Send one request: the status and the header fields of the answer."""
        now = self._now()
        admitted, remaining, reset = self._take(now)
        (self.admitted if admitted else self.refused).append(now)
        headers = {"date": formatdate(math.floor(now + self.skew), usegmt=True)}
        if self.style == "x":
            headers["x-ratelimit-limit"] = str(self.limit)
            headers["x-ratelimit-remaining"] = str(remaining)
            headers["x-ratelimit-reset"] = str(self.rounding(reset + self.skew))
        elif self.style == "ietf":
            headers["ratelimit-policy"] = f'"default";q={self.limit};w={self.window:g}'
            headers["ratelimit"] = f'"default";r={remaining};t={self.rounding(reset - now)}'
        elif self.style == "older":
            headers["ratelimit-limit"] = str(self.limit)
            headers["ratelimit-remaining"] = str(remaining)
            headers["ratelimit-reset"] = str(self.rounding(reset - now))
        if not admitted and self.retry_after:
            headers["retry-after"] = str(max(1, math.ceil(reset - now)))
        await asyncio.sleep(self._random.uniform(*self.latency))
        return (200 if admitted else 429), headers

    async def other_client(self, share: float) -> None:
        """Somebody else on the same key, who wishes for `share` of the quota, evenly."""
        gap = self.window / (share * self.limit)
        while True:
            await asyncio.sleep(gap * self._random.uniform(0.5, 1.5))
            if self._take(self._now())[0]:
                self.others_admitted += 1
            else:
                self.others_refused += 1


async def call(limiter: Limiter, server: SimulatedServer) -> None:
    """One request through the limiter, sent again as long as it is refused."""
    refused = False
    while True:
        ticket = await limiter.acquire(refused=refused)
        try:
            status, headers = await server.request()
        except BaseException:
            limiter.lost(ticket)
            raise
        limiter.answered(ticket, status, headers)
        if status != 429:
            return
        refused = True


async def use_up(limiter: Limiter, server: SimulatedServer, requests: int, workers: int) -> float:
    """`requests` requests by so many workers; returns the seconds that they took."""
    left = requests

    async def work() -> None:
        nonlocal left
        while left > 0:
            left -= 1
            await call(limiter, server)

    loop = asyncio.get_running_loop()
    began = loop.time()
    async with asyncio.TaskGroup() as group:
        for _ in range(workers):
            group.create_task(work())
    return loop.time() - began


def ideal(server: SimulatedServer, requests: int, phase: float) -> float:
    """The least seconds in which the server admits so many, begun `phase` windows after a turn."""
    if server.algorithm == "bucket":
        return max(0.0, (requests - server.limit) * server.window / server.limit)
    windows = math.ceil(requests / server.limit) - 1
    if server.algorithm == "fixed":
        phase = (phase + server.skew / server.window) % 1.0
        return max(0.0, (windows - phase) * server.window)
    return windows * server.window
