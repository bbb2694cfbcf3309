"""What a turn costs where nobody waits, and what ten thousand waiters cost."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Awaitable, Callable, Mapping
from email.utils import formatdate
from itertools import pairwise
from statistics import median, quantiles

from iottly_async.ratelimit import RateLimiter

from .table import Figure

_LIMIT = 10**9

Loop = Callable[[int], Awaitable[None]]


def _notice(remaining: int, now: float) -> dict[str, str]:
    return {
        "date": formatdate(int(now), usegmt=True),
        "server": "quota",
        "content-type": "application/json",
        "content-length": "12",
        "x-ratelimit-limit": str(_LIMIT),
        "x-ratelimit-remaining": str(remaining),
        "x-ratelimit-reset": str(int(now) + 3600),
    }


async def _opened() -> tuple[RateLimiter, dict[str, str]]:
    """A limiter that knows a quota that is never used up, and the header fields it was told."""
    limiter = RateLimiter()
    headers = _notice(_LIMIT - 1, time.time())
    limiter.answered(await limiter.acquire(), 200, headers)
    limiter.answered(await limiter.acquire(), 200, headers)
    return limiter, headers


async def _race(loops: Mapping[str, Loop], turns: int, count: int) -> list[dict[str, float]]:
    """Seconds of CPU that each loop takes for `count`, turn by turn."""
    found = []
    for _ in range(turns):
        turn = {}
        for name, loop in loops.items():
            began = time.process_time()
            await loop(count)
            turn[name] = time.process_time() - began
        found.append(turn)
    return found


def _figure(text: str, turns: list[dict[str, float]], name: str, bound: float | None) -> Figure:
    ratios = [turn[name] / turn["base"] for turn in turns]
    low, _, high = quantiles(ratios, n=4)
    return Figure(text, median(ratios), bound, spread=(low, high))


async def uncontended(turns: int) -> list[Figure]:
    """Acquire and release, against `asyncio.Semaphore`."""
    semaphore = asyncio.Semaphore(10)
    limiter, headers = await _opened()

    async def base(count: int) -> None:
        acquire, release = semaphore.acquire, semaphore.release
        for _ in range(count):
            await acquire()
            release()

    async def unused(count: int) -> None:
        acquire, release = limiter.acquire, limiter.unused
        for _ in range(count):
            release(await acquire())

    async def answered(count: int) -> None:
        acquire, end = limiter.acquire, limiter.answered
        for _ in range(count):
            end(await acquire(), 200, headers)

    loops = {"base": base, "unused": unused, "answered": answered}
    found = await _race(loops, turns, 5000)
    least = min(turn["base"] for turn in found) / 5000 * 1e9
    print(f"asyncio.Semaphore, acquire and release: {least:.0f} ns")
    return [
        _figure("acquire and release / asyncio.Semaphore", found, "unused", 1.0),
        _figure("acquire, and an answer's headers / the same", found, "answered", 3.0),
    ]


async def _bare(count: int) -> None:
    loop = asyncio.get_running_loop()
    futures: list[asyncio.Future[None]] = []

    async def wait() -> None:
        future: asyncio.Future[None] = loop.create_future()
        futures.append(future)
        await future

    tasks = [asyncio.create_task(wait()) for _ in range(count)]
    await asyncio.sleep(0)
    for future in futures:
        future.set_result(None)
    await asyncio.gather(*tasks)


async def _waiters(count: int) -> None:
    limiter = RateLimiter()
    probe = await limiter.acquire()

    async def wait() -> None:
        limiter.unused(await limiter.acquire())

    tasks = [asyncio.create_task(wait()) for _ in range(count)]
    await asyncio.sleep(0)
    limiter.answered(probe, 200, _notice(_LIMIT - 1, time.time()))
    await asyncio.gather(*tasks)


async def waiting(turns: int, count: int = 10_000) -> list[Figure]:
    """So many waiters, against bare futures and tasks; their order; cancellations."""
    gc.collect()
    found = await _race({"base": _bare, "ours": _waiters}, turns, count)
    least = min(turn["base"] for turn in found) / count * 1e6
    print(f"a bare future and task: {least:.1f} µs")
    inversions, left_over = await _order_and_cancellations(count)
    return [
        _figure(f"{count} waiters, CPU each / a bare future and task", found, "ours", 1.3),
        Figure("inversions among them", inversions, 0, unit=""),
        Figure("turns amiss after half were cancelled", left_over, 0, unit=""),
    ]


async def _order_and_cancellations(count: int) -> tuple[int, int]:
    """How many were served out of order; how many turns were lost or made up."""
    limiter = RateLimiter()
    probe = await limiter.acquire()
    served: list[int] = []

    async def wait(number: int) -> None:
        ticket = await limiter.acquire()
        served.append(number)
        limiter.lost(ticket)

    tasks = [asyncio.create_task(wait(number)) for number in range(count)]
    await asyncio.sleep(0)
    for task in tasks[::4]:
        task.cancel()
    remaining = count // 2
    notice = _notice(remaining, time.time()) | {"x-ratelimit-limit": str(remaining + 1)}
    limiter.answered(probe, 200, notice)
    for task in tasks[2::4]:
        task.cancel()  # in the tick in which many of them were granted their turn
    for _ in range(10):
        await asyncio.sleep(0)
    inversions = sum(sooner > later for sooner, later in pairwise(served))
    quota = limiter.quota()
    # As many turns as there are who have not given up: each of them has had one.
    amiss = abs(remaining - len(served)) + quota.waiting + quota.in_flight
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    return inversions, amiss


def micro(turns: int) -> list[Figure]:
    """All figures of this module."""
    return [*asyncio.run(uncontended(turns)), *asyncio.run(waiting(max(turns // 3, 3)))]
