"""The limiter at the quotas that exist, in virtual time: windows of 60 s, in seconds of CPU.

Each figure is the worst of several runs, which begin at different parts of the window. The
server is simulated and shares no code with the limiter. For the processes that share a quota
the script runs in a real Redis, with the virtual time as its clock.
"""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any, Final, NamedTuple

from iottly_async.ratelimit import Limiter, RateLimiter
from iottly_async.ratelimit.distributed.script import SCRIPT, Lease
from tests.ratelimit.simulation import SimulatedServer, run_late, use_up
from tests.support.virtual_time import VirtualClock

from .limiter_quota import ideal
from .table import Figure

__all__ = ["VirtualResult", "run_virtual", "virtual"]

WINDOW: Final = 60.0
PRO: Final = 600
STARTER: Final = 60
PHASES: Final = (0.35, 0.5125, 0.9)
"""Parts of the window that are over when the client begins; one is not on a whole second."""

_WORKERS: Final = 50
_REDIS_WAY: Final = 0.001
"""Seconds that a call to Redis takes."""


class VirtualResult(NamedTuple):
    """What became of one run.

    Attributes:
        time: seconds over the least seconds that the quota allows.
        refusals: refusals a request.
        share: of the quota that was used in the windows between the first and the last.
    """

    time: float
    refusals: float
    share: float


def run_virtual(
    server: SimulatedServer, *, phase: float, other: float = 0.0, wall: float = 0.0, seed: int = 0
) -> VirtualResult:
    """Use up four windows and three quarters by one limiter.

    Args:
        server: a fresh one.
        phase: the part of the window that is over at the beginning.
        other: the share of the quota that another client wishes for.
        wall: seconds by which the local wall clock is wrong.
        seed: of the latencies.
    """

    async def main() -> VirtualResult:
        limiter = RateLimiter(clock=VirtualClock(seed=seed, offset=wall))
        return await _measure([limiter], server, phase=phase, other=other)

    return run_late(main, seed)


async def _measure(
    limiters: Sequence[Limiter], server: SimulatedServer, *, phase: float, other: float = 0.0
) -> VirtualResult:
    count = len(limiters)
    requests = server.limit * 19 // 4 // count * count
    await asyncio.sleep((phase * server.window - server.now()) % server.window)
    competitor = asyncio.create_task(server.other_client(other)) if other else None
    began, before = server.now(), asyncio.get_running_loop().time()
    async with asyncio.TaskGroup() as group:
        for limiter in limiters:
            group.create_task(use_up(limiter, server, requests // count, _WORKERS // count))
    seconds = asyncio.get_running_loop().time() - before
    if competitor is not None:
        competitor.cancel()
    windows = [int(at // server.window) for at in server.admitted]
    whole = range(windows[0] + 1, windows[-1])
    used = sum(window in whole for window in windows)
    return VirtualResult(
        time=seconds / ideal(server.algorithm, server.limit, server.window, requests, began),
        refusals=len(server.refused) / (requests + len(server.refused)),
        share=used / (server.limit * len(whole)),
    )


class _VirtualRedis:
    """Calls the script in a real Redis with the virtual time; stands for `RedisConnection`."""

    gone, due = False, True

    def __init__(self, url: str) -> None:
        from redis import Redis

        self.name, self.calls = "iottly:quota:virtual", 0
        self._client = Redis.from_url(url)
        text = SCRIPT.replace("redis.call('TIME')", "{ARGV[18], ARGV[19]}")
        self._script = self._client.register_script(text)

    async def lease(self, arguments: Sequence[str]) -> Lease:
        await asyncio.sleep(_REDIS_WAY / 2)
        now = asyncio.get_running_loop().time()
        time = [str(int(now)), str(int(now % 1 * 1e6))]
        lease = Lease.read(self._script(keys=[self.name], args=[*arguments, *time]))
        self.calls += 1
        await asyncio.sleep(_REDIS_WAY / 2)
        return lease

    def forget(self) -> None:
        """Keep the connection: it belongs to no event loop."""

    async def aclose(self) -> None:
        self._client.close()


def _run_redis(url: str, processes: int, phase: float, seed: int) -> VirtualResult:
    from redis import Redis

    from iottly_async.ratelimit.distributed.limiter import RedisLimiter

    with Redis.from_url(url) as client:
        client.flushdb()

    async def main() -> VirtualResult:
        limiters = []
        for number in range(processes):
            one = RedisLimiter(url, key="virtual", clock=VirtualClock(seed=seed + number))
            one._connection = one._leases._connection = _VirtualRedis(url)  # type: ignore[assignment]
            limiters.append(one)
        result = await _measure(limiters, SimulatedServer(limit=PRO, window=WINDOW), phase=phase)
        for one in limiters:
            await one.aclose()
        return result

    return run_late(main, seed)


CASES: Final[Sequence[tuple[str, dict[str, Any], dict[str, Any], dict[str, float]]]] = (
    ("fixed, Pro", {"limit": PRO}, {}, {"refusals": 0, "share": 0.9995, "time": 1.01}),
    ("fixed, Starter", {"limit": STARTER}, {}, {"refusals": 0, "share": 0.9995, "time": 1.01}),
    ("fixed, Pro, clock 5 s ahead", {"skew": 5.0}, {}, {"refusals": 0, "time": 1.02}),
    ("fixed, Pro, clock 5 s behind", {"skew": -5.0}, {}, {"refusals": 0, "time": 1.02}),
    (
        "fixed, Starter, clock 5 s ahead",
        {"limit": STARTER, "skew": 5.0},
        {},
        {"refusals": 0, "time": 1.02},
    ),
    ("fixed, Pro, another client at 30 %", {}, {"other": 0.3}, {"refusals": 0.001}),
    ("sliding log, Pro", {"algorithm": "sliding"}, {}, {"refusals": 0, "time": 1.03}),
    (
        "sliding log, Starter",
        {"algorithm": "sliding", "limit": STARTER},
        {},
        {"refusals": 0, "time": 1.03},
    ),
    ("token bucket, Pro", {"algorithm": "bucket"}, {}, {"refusals": 0, "time": 1.05}),
    (
        "token bucket, Starter",
        {"algorithm": "bucket", "limit": STARTER},
        {},
        {"refusals": 0, "time": 1.05},
    ),
)
"""Name, the server's and the run's options, and the bounds of the figures."""

_TEXTS: Final = {
    "refusals": "refusals a request",
    "share": "share of the quota",
    "time": "time / ideal",
}


def _figures(name: str, results: Sequence[VirtualResult], bounds: dict[str, float]) -> list[Figure]:
    figures = []
    for what, bound in bounds.items():
        values = [getattr(one, what) for one in results]
        worst = min(values) if what == "share" else max(values)
        sense, unit = (">=" if what == "share" else "<="), ("x" if what == "time" else "")
        text = f"60 s, {name}: {_TEXTS[what]}"
        figures.append(Figure(text, worst, bound, sense, unit, digits=4))  # type: ignore[arg-type]
    return figures


def virtual(_: argparse.Namespace) -> list[Figure]:
    """Run every case from every phase."""
    figures = []
    for name, server, options, bounds in CASES:
        results = [
            run_virtual(
                SimulatedServer(**{"limit": PRO, "window": WINDOW, "seed": seed} | server),
                phase=phase,
                seed=seed,
                **options,
            )
            for seed, phase in enumerate(PHASES)
        ]
        figures += _figures(name, results, bounds)
    with ExitStack() as stack:
        from tests.support.redis_server import running_redis

        url = stack.enter_context(running_redis()).url
        results = [_run_redis(url, 3, phase, seed) for seed, phase in enumerate(PHASES)]
    return figures + _figures("3 processes, Redis", results, {"refusals": 0, "time": 1.03})
