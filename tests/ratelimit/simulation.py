"""A server with a quota, simulated in virtual time, and clients that use up the quota.

The server shares no code with the limiter. It counts a request when it arrives, answers
after a latency, and keeps what it admitted and refused, so a test can compare.
"""

import asyncio
import math
import random
from collections.abc import Callable, Coroutine
from contextvars import Context
from dataclasses import dataclass, field
from email.utils import formatdate
from typing import Any, TypeVar, TypeVarTuple

from benchmarks.limiter_quota import quota
from iottly_async.ratelimit import Limiter
from tests.support.virtual_time import START, WALL_START, VirtualLoop

_T = TypeVar("_T")
_Ts = TypeVarTuple("_Ts")

LATE = (0.0003, 0.004)
"""Seconds by which timers of a real loop are late, about."""


class LateLoop(VirtualLoop):
    """A loop in virtual time whose timers are late by a little, as those of real loops are."""

    def __init__(self, seed: int = 0) -> None:
        self._random = random.Random(seed)
        super().__init__()

    def call_at(
        self,
        when: float,
        callback: Callable[[*_Ts], object],
        *args: *_Ts,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        late = self._random.uniform(*LATE)
        return super().call_at(when + late, callback, *args, context=context)


def run_late(main: Callable[[], Coroutine[Any, Any, _T]], seed: int = 0) -> _T:
    """Run `main()` to its end on a fresh `LateLoop`."""
    with asyncio.Runner(loop_factory=lambda: LateLoop(seed)) as runner:
        return runner.run(main())


@dataclass
class SimulatedServer:
    """One key's quota. `skew` is the server's clock over the true one, in seconds.

    `refusal` is the status of a refusal: 429, or a proxy's 503.
    """

    algorithm: str = "fixed"
    limit: int = 200
    window: float = 2.0
    skew: float = 0.0
    rounding: str = "up"
    latency: tuple[float, float] = (0.02, 0.05)
    retry_after: bool = False
    style: str = "x"  # x, x-before, x-refused, ietf, older, none
    seed: int = 0
    burst: int = 0
    refusal: int = 429
    admitted: list[float] = field(default_factory=list)
    refused: list[float] = field(default_factory=list)
    others_admitted: int = 0
    others_refused: int = 0

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)
        self._quota = quota(self.algorithm, self.limit, self.window, self.burst)

    def now(self) -> float:
        """The time by the server's clock."""
        return WALL_START + asyncio.get_running_loop().time() - START + self.skew

    def _fields(self, admitted: bool, remaining: int, reset: float, now: float) -> dict[str, str]:
        whole = math.floor if self.rounding == "down" else math.ceil
        if self.style == "x-before":  # Remaining as it was before this request
            remaining += admitted
        if self.style in ("x", "x-before") or (self.style == "x-refused" and not admitted):
            return {
                "x-ratelimit-limit": str(self.limit),
                "x-ratelimit-remaining": str(remaining),
                "x-ratelimit-reset": str(whole(reset)),
            }
        if self.style == "ietf":
            return {
                "ratelimit-policy": f'"default";q={self.limit};w={self.window:g}',
                "ratelimit": f'"default";r={remaining};t={whole(reset - now)}',
            }
        if self.style == "older":
            return {
                "ratelimit-limit": str(self.limit),
                "ratelimit-remaining": str(remaining),
                "ratelimit-reset": str(whole(reset - now)),
            }
        return {}

    async def request(self) -> tuple[int, dict[str, str]]:
        """Send one request: the status and the header fields of the answer."""
        now = self.now()
        admitted, remaining, reset = self._quota.take(now)
        (self.admitted if admitted else self.refused).append(now)
        headers = self._fields(admitted, remaining, reset, now)
        headers["date"] = formatdate(math.floor(now), usegmt=True)
        if not admitted and self.retry_after:
            headers["retry-after"] = str(max(1, math.ceil(reset - now)))
        await asyncio.sleep(self._random.uniform(*self.latency))
        return (200 if admitted else self.refusal), headers

    async def other_client(self, share: float) -> None:
        """Send as another client on the same key, evenly, for `share` of the quota."""
        gap = self.window / (share * self.limit)
        while True:
            await asyncio.sleep(gap * self._random.uniform(0.5, 1.5))
            if self._quota.take(self.now()).admitted:
                self.others_admitted += 1
            else:
                self.others_refused += 1


async def call(limiter: Limiter, server: SimulatedServer) -> None:
    """One request through the limiter, sent again as long as it is refused.

    After a 503 there is a pause that grows with each, as a call's retries have it.
    """
    refused, failures = False, 0
    while True:
        permit = await limiter.acquire(refused=refused)
        try:
            status, headers = await server.request()
        except BaseException:
            limiter.lost(permit)
            raise
        limiter.answered(permit, status, headers)
        if status == 503:
            failures += 1
            await asyncio.sleep(random.random() * min(0.25 * 2**failures, 8.0))
        elif status != 429:
            return
        refused = status == 429


async def use_up(limiter: Limiter, server: SimulatedServer, requests: int, workers: int) -> float:
    """Make `requests` requests by `workers` workers; returns the seconds that they took."""
    unsent = requests

    async def work() -> None:
        nonlocal unsent
        while unsent > 0:
            unsent -= 1
            await call(limiter, server)

    loop = asyncio.get_running_loop()
    began = loop.time()
    async with asyncio.TaskGroup() as group:
        for _ in range(workers):
            group.create_task(work())
    return loop.time() - began
