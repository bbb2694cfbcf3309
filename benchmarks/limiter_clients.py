"""A client process that makes requests through one limiter or another.

    python -m benchmarks.limiter_clients burst http://127.0.0.1:PORT --requests 950

It begins at a given part of the server's window, with an unused quota, and prints a line
of JSON. All limiters are used as their documentation shows, told the quota where they
cannot learn it, and back off with full jitter on a 429 where they do not do so themselves.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import aiohttp

from iottly_async.ratelimit import Limiter, RateLimiter

Work = Callable[[], Awaitable[None]]

OURS = ("burst", "spread", "redis")
OTHERS = ("backoff", "aiolimiter", "pyrate-limiter", "aiohttp-retry", "throttled-py")
CLIENTS = (*OURS, *OTHERS)

_PATIENCE = 600.0
_START = 1.0
"""Seconds that the processes have for what they do before they begin."""
_RESET_BEFORE = 0.05


class _RefusedError(Exception):
    """A 429, for a library that retries on exceptions."""


async def _send(session: aiohttp.ClientSession, base: str) -> tuple[int, dict[str, str]]:
    async with session.get(base + "/x") as response:
        await response.read()
        return response.status, {name.lower(): value for name, value in response.headers.items()}


@asynccontextmanager
async def _session() -> AsyncIterator[aiohttp.ClientSession]:
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector) as session:
        yield session


@asynccontextmanager
async def _ours(given: argparse.Namespace) -> AsyncIterator[Work]:
    limiter: Limiter
    if given.client == "redis":
        from iottly_async.ratelimit.distributed.limiter import RedisLimiter

        limiter = shared = RedisLimiter(given.redis, key="benchmark", timeout=5)
    else:
        shared = None
        limiter = RateLimiter(mode=given.client)

    async with _session() as session:

        async def work() -> None:
            refused = False
            while True:
                permit = await limiter.acquire(refused=refused)
                try:
                    status, headers = await _send(session, given.base)
                except BaseException:
                    limiter.lost(permit)
                    raise
                limiter.answered(permit, status, headers)
                if status != 429:
                    return
                refused = True

        yield work
    if shared is not None:
        given.calls = shared.calls
        await shared.aclose()


@asynccontextmanager
async def _backoff(given: argparse.Namespace) -> AsyncIterator[Work]:
    """What the vendor advises: no limiter, exponential back-off with full jitter."""
    import backoff

    async with _session() as session:

        @backoff.on_exception(
            backoff.expo, _RefusedError, jitter=backoff.full_jitter, factor=0.25, max_value=30
        )
        async def work() -> None:
            if (await _send(session, given.base))[0] == 429:
                raise _RefusedError

        yield work


@asynccontextmanager
async def _retrying(given: argparse.Namespace) -> AsyncIterator[Work]:
    from aiohttp_retry import ExponentialRetry, RetryClient

    options = ExponentialRetry(attempts=60, start_timeout=0.1, max_timeout=30, statuses={429})
    async with _session() as session:
        client = RetryClient(client_session=session, retry_options=options)

        async def work() -> None:
            async with client.get(given.base + "/x") as response:
                await response.read()
                if response.status != 200:
                    raise RuntimeError(f"aiohttp-retry gave up: {response.status}")

        yield work


@asynccontextmanager
async def _limited(given: argparse.Namespace) -> AsyncIterator[Work]:
    """A limiter that is told the quota, and full jitter where it is refused all the same."""
    acquire = _acquire_of(given.client, given.limit, given.window)
    async with _session() as session:

        async def work() -> None:
            attempt = 0
            while True:
                await acquire()
                if (await _send(session, given.base))[0] != 429:
                    return
                await asyncio.sleep(random.uniform(0, min(30, 0.25 * 2**attempt)))
                attempt += 1

        yield work


def _acquire_of(client: str, limit: int, window: float) -> Callable[[], Awaitable[Any]]:
    if client == "aiolimiter":
        from aiolimiter import AsyncLimiter

        acquire: Callable[[], Awaitable[Any]] = AsyncLimiter(limit, window).acquire
        return acquire
    if client == "pyrate-limiter":
        from pyrate_limiter import InMemoryBucket, Rate
        from pyrate_limiter import Limiter as Pyrate

        pyrate = Pyrate(InMemoryBucket([Rate(limit, int(window * 1000))]))
        return lambda: pyrate.try_acquire_async("key")
    from throttled.asyncio import RateLimiterType, Throttled, per_duration

    throttled = Throttled(
        key="key",
        timeout=_PATIENCE,
        using=RateLimiterType.TOKEN_BUCKET.value,
        quota=per_duration(timedelta(seconds=window), limit, burst=limit),
    )
    limited: Callable[[], Awaitable[Any]] = throttled.limit
    return limited


def _client(given: argparse.Namespace) -> Any:
    if given.client in OURS:
        return _ours(given)
    if given.client == "backoff":
        return _backoff(given)
    return _retrying(given) if given.client == "aiohttp-retry" else _limited(given)


async def _run(given: argparse.Namespace) -> dict[str, Any]:
    """All requests by so many workers; seconds on the wall and of CPU."""
    unsent = given.requests
    async with _client(given) as work:

        async def worker() -> None:
            nonlocal unsent
            while unsent > 0:
                unsent -= 1
                await work()

        await _begin(given)
        began, cpu = time.time(), time.process_time()
        await asyncio.gather(*(worker() for _ in range(given.workers)))
        told = {"began": began, "wall": time.time() - began, "cpu": time.process_time() - cpu}
    return told | {"calls": getattr(given, "calls", 0)}


async def _begin(given: argparse.Namespace) -> None:
    """Wait for the time at which to begin; who resets does so just before, for all."""
    if given.resets:
        await asyncio.sleep(given.begin - _RESET_BEFORE - time.time())
        async with _session() as session, session.get(given.base + "/_reset") as response:
            await response.read()
    await asyncio.sleep(given.begin - time.time())


def _next_phase(given: argparse.Namespace) -> float:
    """The next time at which the server's window is at the part at which to begin."""
    soonest = time.time() + _START
    wait: float = (given.phase * given.window - soonest - given.skew) % given.window
    return soonest + wait


def arguments(argv: list[str]) -> argparse.Namespace:
    """What the process is told."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("client", choices=CLIENTS)
    parser.add_argument("base")
    parser.add_argument("--requests", type=int, default=950)
    parser.add_argument("--workers", type=int, default=50)
    parser.add_argument("--limit", type=int, default=200)
    parser.add_argument("--window", type=float, default=2.0)
    parser.add_argument("--phase", type=float, default=0.35)
    parser.add_argument("--skew", type=float, default=0.0)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--redis")
    parser.set_defaults(resets=True)
    return parser.parse_args(argv)


def main_process(given: argparse.Namespace) -> None:
    """Run, and print what became of it; several processes are forked."""
    given.begin = _next_phase(given)
    children = []
    for _ in range(given.processes - 1):
        child = os.fork()
        if child == 0:
            given.resets = False
            _tell(given)
            os._exit(0)
        children.append(child)
    _tell(given)
    for child in children:
        os.waitpid(child, 0)


def _tell(given: argparse.Namespace) -> None:
    sys.stdout.write(json.dumps(asyncio.run(_run(given))) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main_process(arguments(sys.argv[1:]))
