"""Client processes: each makes requests through a limiter, then prints one line of JSON.

    python -m tests.ratelimit.worker http://127.0.0.1:PORT --requests 100 --processes 3

With `--redis` they share the quota through Redis. With `--hold` a process acquires permits,
says so, and keeps them until it is killed. Further processes are forked, to import only once.
"""

import argparse
import asyncio
import json
import os
import sys
from itertools import pairwise

import aiohttp

from iottly_async.clock import SystemClock
from iottly_async.ratelimit import Limiter, RateLimiter


class WrongClock(SystemClock):
    """A clock whose wall time is `ahead` seconds ahead."""

    __slots__ = ("ahead",)

    def __init__(self, ahead: float) -> None:
        self.ahead = ahead

    def time(self) -> float:
        return super().time() + self.ahead


async def request(session: aiohttp.ClientSession, base: str) -> tuple[int, dict[str, str]]:
    """Make one request; repermits its status, and its headers by lower-case names."""
    async with session.get(base + "/x") as response:
        await response.read()
        fields = {name.lower(): value for name, value in response.headers.items()}
        return response.status, fields


async def work(given: argparse.Namespace, limiter: Limiter) -> dict[str, object]:
    """Make all requests."""
    unsent, asked = given.requests, 0
    permits: list[tuple[int, int]] = []
    statuses: list[int] = []

    async def worker(session: aiohttp.ClientSession) -> None:
        nonlocal unsent, asked
        while unsent > 0:
            unsent -= 1
            refused, status = False, 429
            while status == 429:
                asked += 1
                place = asked
                permit = await limiter.acquire(refused=refused)
                permits.append((place, permit.number))
                try:
                    status, fields = await request(session, given.base)
                except BaseException:
                    limiter.lost(permit)
                    raise
                limiter.answered(permit, status, fields)
                statuses.append(status)
                refused = True

    connector = aiohttp.TCPConnector(limit=0)
    async with (
        aiohttp.ClientSession(connector=connector) as session,
        asyncio.TaskGroup() as group,
    ):
        for _ in range(given.workers):
            group.create_task(worker(session))
    numbers = [number for _, number in sorted(permits)]
    quota = limiter.quota()
    return {
        "done": statuses.count(200),
        "refused": statuses.count(429),
        "in_order": all(sooner < later for sooner, later in pairwise(numbers)),
        "in_flight": quota.in_flight,
        "source": quota.source,
    }


async def main(given: argparse.Namespace) -> None:
    """Work, or hold, and tell."""
    clock = WrongClock(given.ahead)
    if given.redis is None:
        told = await work(given, RateLimiter(clock=clock, mode=given.mode))
    else:
        from iottly_async.ratelimit.distributed.limiter import RedisLimiter

        shared = RedisLimiter(given.redis, key=given.key, clock=clock, mode=given.mode, timeout=5)
        if given.hold:
            for _ in range(given.requests):
                await shared.acquire()
            sys.stdout.write("holding\n")
            sys.stdout.flush()
            await asyncio.get_running_loop().create_future()
        told = await work(given, shared)
        told["calls"] = shared.calls
        await shared.aclose()
    sys.stdout.write(json.dumps(told) + "\n")
    sys.stdout.flush()


def arguments(argv: list[str]) -> argparse.Namespace:
    """The arguments of the process."""
    parser = argparse.ArgumentParser()
    parser.add_argument("base")
    parser.add_argument("--requests", type=int, default=100)
    parser.add_argument("--workers", type=int, default=20)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--redis")
    parser.add_argument("--key", default="test")
    parser.add_argument("--ahead", type=float, default=0.0)
    parser.add_argument("--mode", default="burst")
    parser.add_argument("--hold", action="store_true")
    return parser.parse_args(argv)


def fork(given: argparse.Namespace) -> None:
    """Run all processes but one as children, and wait for them."""
    children = []
    for _ in range(given.processes - 1):
        child = os.fork()
        if child == 0:
            asyncio.run(main(given))
            return
        children.append(child)
    asyncio.run(main(given))
    for child in children:
        _, status = os.waitpid(child, 0)
        if status:
            sys.exit(1)


if __name__ == "__main__":
    fork(arguments(sys.argv[1:]))
