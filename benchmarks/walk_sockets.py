"""The walk over real sockets, in real time, to confirm the results of virtual time.

The whole library walks over the emulator, which runs in its own process and takes 50 ms a
request and some milliseconds of CPU time. Both share the machine, so the speed-up ends where the
machine is fully used. This part covers what virtual time does not: sockets, limiter, codec.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter, process_time
from typing import Final, NamedTuple

from iottly_async import Config, IottlySession, RateLimiter
from iottly_async.models import Message

from .table import Figure

LATENCY: Final = 0.05
RATE: Final = 100
"""Requests a second under a quota: 600 a minute, ten times as fast."""

FORMS: Final = [(1, True), (8, False), (8, True), (32, False), (32, True)]


class Served(NamedTuple):
    """A running emulator: its address, its key and its project."""

    url: str
    key: str
    project: str


class Run(NamedTuple):
    """What a walk took.

    Attributes:
        requests: made.
        seconds: of real time.
        cpu: seconds of this process's CPU time.
        refused: requests that the quota refused.
        wrong: messages lost, repeated or out of order.
    """

    requests: int
    seconds: float
    cpu: float
    refused: int
    wrong: int


@contextmanager
def served(*arguments: str) -> Iterator[Served]:
    """Run an emulator of one device in its own process."""
    command = [sys.executable, "-m", "iottly_async.emulator", "--devices", "1", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            lines = [process.stdout.readline().strip().partition("=")[2] for _ in range(3)]
            yield Served(*lines)
        finally:
            process.terminate()


async def walked(server: Served, rows: int, concurrency: int, ordered: bool) -> Run:
    """Walk over all messages, in a new session."""
    config = Config(base_url=server.url)
    async with IottlySession(server.key, config=config, limiter=RateLimiter()) as session:
        project = session.project(server.project)
        [device] = await project.devices.list()
        messages: list[Message] = []
        before, begun, cpu = session.stats.attempts, perf_counter(), process_time()
        async for batch in project.messages.batches(
            device.id, concurrency=concurrency, ordered=ordered
        ):
            messages += batch.messages
        spent, cpu = perf_counter() - begun, process_time() - cpu
        stats = session.stats
        times = [message.timestamp for message in messages]
        wrong = abs(rows - len({message.key for message in messages})) + abs(rows - len(messages))
        wrong += ordered and times != sorted(times)
        return Run(stats.attempts - before, spent, cpu, stats.refusals, wrong)


def confirm(rows: int) -> list[Figure]:
    """Walk over `rows` messages in each form, and under a quota; print a row for each."""
    print(f"\nover real sockets, {rows:,} messages, {LATENCY * 1000:.0f} ms a request")
    print(f"{'way':<22} {'at once':>7} {'requests':>9} {'seconds':>9} {'x ideal':>8} {'CPU':>6}")
    ideal = -(-rows // 100)
    figures: list[Figure] = []
    wrong, alone = 0, 0.0
    with served("--messages", str(rows), "--latency", str(LATENCY)) as server:
        for concurrency, ordered in FORMS:
            run = asyncio.run(walked(server, rows, concurrency, ordered))
            way = "in order" if ordered else "any order"
            _line(way, concurrency, run, ideal * LATENCY / concurrency)
            wrong, alone = wrong + run.wrong, alone or run.seconds
            if concurrency > 1:
                name = f"walk over sockets, {way}, {concurrency} at once: times as fast as one"
                figures.append(Figure(name, alone / run.seconds))
    quota = ["--rate-limit", str(2 * RATE), "--rate-window", "2"]
    with served("--messages", str(rows), "--latency", str(LATENCY), *quota) as server:
        for ordered in (False, True):
            run = asyncio.run(walked(server, rows, 32, ordered))
            way = "in order" if ordered else "any order"
            _line(f"{way}, {RATE}/s", 32, run, run.requests / RATE)
            name = f"walk over sockets, {way}, {RATE} requests a second"
            figures += [
                Figure(f"{name}: time / quota", run.seconds / (run.requests / RATE), 1.03),
                Figure(f"{name}: refused", run.refused, 0, unit=""),
            ]
            wrong += run.wrong
    return [
        *figures,
        Figure("walk over sockets: lost, repeated, disordered", wrong, 0, unit="rows"),
    ]


def _line(way: str, concurrency: int, run: Run, ideal: float) -> None:
    print(
        f"{way:<22} {concurrency:>7} {run.requests:>9,} {run.seconds:>9.2f} "
        f"{run.seconds / ideal:>8.2f} {run.cpu:>6.2f}",
        flush=True,
    )
