"""The cost of a permit without waiters, and of ten thousand waiters."""

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


def _headers(remaining: int, now: float) -> dict[str, str]:
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
    """A limiter that knows a quota that is never used up, and the headers of an answer."""
    limiter = RateLimiter()
    headers = _headers(_LIMIT - 1, time.time())
    limiter.answered(await limiter.acquire(), 200, headers)
    limiter.answered(await limiter.acquire(), 200, headers)
    return limiter, headers


async def _race(loops: Mapping[str, Loop], rounds: int, count: int) -> list[dict[str, float]]:
    """Seconds of CPU that each loop takes for `count` iterations, round by round."""
    found = []
    for _ in range(rounds):
        seconds = {}
        for name, loop in loops.items():
            began = time.process_time()
            await loop(count)
            seconds[name] = time.process_time() - began
        found.append(seconds)
    return found


def _figure(text: str, found: list[dict[str, float]], name: str, bound: float | None) -> Figure:
    ratios = [one[name] / one["base"] for one in found]
    low, _, high = quantiles(ratios, n=4)
    return Figure(text, median(ratios), bound, spread=(low, high))


async def uncontended(rounds: int) -> list[Figure]:
    """Acquire and give back, beside `asyncio.Semaphore`."""
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
    found = await _race(loops, rounds, 5000)
    least = {name: min(one[name] for one in found) / 5000 * 1e6 for name in loops}
    return [
        Figure("asyncio.Semaphore, acquire and release", least["base"], unit="µs"),
        Figure("a permit, acquired and given back unused", least["unused"], 5, unit="µs"),
        Figure("a permit, acquired and answered", least["answered"], 15, unit="µs"),
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
    limiter.answered(probe, 200, _headers(_LIMIT - 1, time.time()))
    await asyncio.gather(*tasks)


async def waiting(rounds: int, count: int = 10_000) -> list[Figure]:
    """`count` waiters, against bare futures and tasks; their order; cancellations."""
    gc.collect()
    found = await _race({"base": _bare, "ours": _waiters}, rounds, count)
    least = min(one["base"] for one in found) / count * 1e6
    print(f"a bare future and task: {least:.1f} µs")
    inversions, left_over = await _order_and_cancellations(count)
    return [
        _figure(f"{count} waiters, CPU each / a bare future and task", found, "ours", 1.6),
        Figure("inversions among them", inversions, 0, unit=""),
        Figure("permits lost or made up after half were cancelled", left_over, 0, unit=""),
    ]


async def _order_and_cancellations(count: int) -> tuple[int, int]:
    """How many were served out of order, and how many permits were lost or made up."""
    limiter = RateLimiter()
    probe = await limiter.acquire()
    served: list[int] = []

    async def wait(number: int) -> None:
        permit = await limiter.acquire()
        served.append(number)
        limiter.lost(permit)

    tasks = [asyncio.create_task(wait(number)) for number in range(count)]
    await asyncio.sleep(0)
    for task in tasks[::4]:
        task.cancel()
    remaining = count // 2
    headers = _headers(remaining, time.time()) | {"x-ratelimit-limit": str(remaining + 1)}
    limiter.answered(probe, 200, headers)
    for task in tasks[2::4]:
        task.cancel()  # in the tick in which many of them were granted their permit
    for _ in range(10):
        await asyncio.sleep(0)
    inversions = sum(sooner > later for sooner, later in pairwise(served))
    quota = limiter.quota()
    # There are as many permits as waiters that have not left: each of them has had one.
    amiss = abs(remaining - len(served)) + quota.waiting + quota.in_flight
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    return inversions, amiss


def micro(rounds: int) -> list[Figure]:
    """All figures of this file."""
    return [*asyncio.run(uncontended(rounds)), *asyncio.run(waiting(max(rounds // 3, 3)))]
