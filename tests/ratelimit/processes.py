"""Worker processes against a server process, and the outcome."""

import asyncio
import json
import sys
import urllib.request
from dataclasses import dataclass
from typing import Any

from benchmarks.limiter_server import quota_server

LIMIT, WINDOW = 80, 2


@dataclass
class Outcome:
    """What the workers and the server report."""

    workers: list[dict[str, Any]]
    admitted: int
    refused: int

    @property
    def done(self) -> int:
        """Requests that were done, as the workers report."""
        return sum(worker["done"] for worker in self.workers)


async def start_worker(base: str, *options: str) -> asyncio.subprocess.Process:
    """Start a worker with these options."""
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.ratelimit.worker", base, *options),
        stdout=asyncio.subprocess.PIPE,
    )


def counts(base: str) -> dict[str, Any]:
    """The counts of the server."""
    with urllib.request.urlopen(base + "/_counts") as answer:
        told: dict[str, Any] = json.load(answer)
    return told


async def compete(
    processes: int, *worker: str, requests: int, server: tuple[str, ...] = ()
) -> Outcome:
    """Let `processes` processes share a server's quota for `requests` requests in all."""
    options = ("--limit", str(LIMIT), "--window", str(WINDOW), *server)
    with quota_server(*options) as base:
        mine = ("--processes", str(processes), "--requests", str(requests // processes))
        started = await start_worker(base, *mine, *worker)
        printed, _ = await started.communicate()
        assert started.returncode == 0
        told = [json.loads(line) for line in printed.splitlines()]
        assert len(told) == processes
        counted = await asyncio.to_thread(counts, base)
    return Outcome(told, len(counted["admitted"]), len(counted["refused"]))
