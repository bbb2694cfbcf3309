"""Soak: calls, walks, cancellations and network faults for minutes or hours, and their leaks.

A mix of reads, renames, commands, walks, abandoned and cancelled work, and sessions closed
under their calls goes through a proxy that injects faults, to an emulator in a process of its
own. Every ten seconds it prints requests, errors, memory, sockets and tasks. The figures are
the slope of memory, what was lost or repeated, and what was not released.

```sh
python -m benchmarks soak --minutes 10
```
"""

from __future__ import annotations

import argparse
import asyncio
import ctypes
import gc
import json
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from iottly_async.emulator import DEVELOPMENT_KEY
from tests.support.fault_proxy import NETWORK_FAULTS, FaultProxy, NetworkFault
from tests.support.leaks import sockets, tasks

from .soak_audit import control
from .soak_load import Load, Place
from .table import Figure

WORKERS = 16
AUDITS = 20
"""The number of audits in a run. For each, all work pauses while memory is measured."""

_SERVE = """
from iottly_async.emulator import EmulatorSettings, run
run(EmulatorSettings(devices=4, messages=4000, record_limit=1000),
    ready=lambda emulator: print(emulator.base_url, flush=True))
"""

_WEIGHTS = {"none": 0.0, "stall-after": 0.1}


@asynccontextmanager
async def emulator() -> AsyncIterator[str]:
    """The base URL of an emulator in a process of its own."""
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _SERVE, stdout=subprocess.PIPE
    )
    assert child.stdout is not None
    try:
        yield (await child.stdout.readline()).decode().strip()
    finally:
        child.terminate()
        await child.wait()


async def survey(base_url: str) -> Place:
    """Read the project, its devices and their messages without faults."""
    state = await asyncio.to_thread(control, base_url, "state")
    place = Place(
        base_url,
        DEVELOPMENT_KEY,
        state["project_id"],
        [device["id"] for device in state["devices"]],
        [device["fleet_id"] for device in state["devices"]],
    )
    async with place.session() as session:
        messages = session.project(place.project).messages
        for device in place.devices:
            place.truth[device] = Counter([message.key async for message in messages.walk(device)])
    if sum(counter.total() for counter in place.truth.values()) != state["messages"]:
        raise RuntimeError("a walk without faults differs from the emulator's messages")
    return place


async def audit(base_url: str, load: Load) -> None:
    """Compare the executed commands with their outcomes, and clear both records."""
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "benchmarks.soak_audit", base_url),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[1],
    )
    output, _ = await child.communicate(json.dumps(load.commands).encode())
    found = json.loads(output)
    load.counts.update(found["counts"])
    load.wrong.update(found["wrong"])
    load.commands.clear()


def settle() -> None:
    """Collect garbage, and return free memory to the system where the C library can."""
    gc.collect()
    try:
        trim = ctypes.CDLL(None).malloc_trim
    except (AttributeError, OSError, TypeError):
        return  # another C library
    trim(0)


def memory() -> float:
    """This process's resident memory, in KiB; 0 where the system does not say."""
    try:
        status = Path("/proc/self/status").read_text("ascii")
    except OSError:
        return 0.0
    return float(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1])


def slope(samples: Sequence[tuple[float, float]]) -> float:
    """The growth a minute, by least squares over the later half of the samples."""
    later = samples[len(samples) // 2 :]
    if len(later) < 3:
        return 0.0
    mean_time = sum(at for at, _ in later) / len(later)
    mean_size = sum(size for _, size in later) / len(later)
    above = sum((at - mean_time) * (size - mean_size) for at, size in later)
    return 60 * above / sum((at - mean_time) ** 2 for at, _ in later)


class Monitor:
    """Samples memory, prints the progress, and runs the audits."""

    def __init__(self, load: Load, proxy: FaultProxy, base_url: str) -> None:
        self.memory: list[tuple[float, float]] = []
        self.blocks: list[tuple[float, float]] = []
        self._load, self._proxy, self._url = load, proxy, base_url
        self._started = time.monotonic()

    async def until(self, seconds: float) -> None:
        """Monitor for `seconds`, with audits in between and one at the end."""
        shown = audited = 0.0
        while (now := time.monotonic() - self._started) < seconds:
            if now - shown >= 10:
                shown = now
                self._show(now)
            if now - audited >= max(seconds / AUDITS, 1.0):
                audited = now
                await self._audit(now)
            await asyncio.sleep(min(1.0, seconds / AUDITS))
        await self._audit(now)

    async def _audit(self, now: float) -> None:
        """Pause the load, compare the records and measure: what remains now is not released."""
        await self._load.pause()
        await audit(self._url, self._load)
        settle()
        self.memory.append((now, memory()))
        self.blocks.append((now, float(sys.getallocatedblocks())))
        self._load.resume()

    @property
    def rate(self) -> float:
        """Requests a second over the whole run."""
        return sum(self._proxy.injected.values()) / max(time.monotonic() - self._started, 1e-9)

    def _show(self, now: float) -> None:
        requests = sum(self._proxy.injected.values())
        wrong = self._load.wrong.total()
        print(
            f"{now:6.0f} s  {requests:8} requests  {requests - self._proxy.injected['none']:7} "
            f"with faults  {memory() / 1024:6.1f} MiB  {len(sockets()):4} sockets  "
            f"{len(tasks()):4} tasks  {wrong} wrong",
            flush=True,
        )


async def soak(seconds: float, share: float, seed: int) -> list[Figure]:
    """Run the load for `seconds`; a share of its requests has a fault."""
    chance = random.Random(seed)
    faults = [fault for fault in NETWORK_FAULTS if fault != "none"]
    weights = [_WEIGHTS.get(fault, 1.0) for fault in faults]

    def choose() -> NetworkFault:
        return chance.choices(faults, weights)[0] if chance.random() < share else "none"

    tasks_before, sockets_before = len(tasks()), len(sockets())
    async with emulator() as base_url:
        place = await survey(base_url)
        async with FaultProxy(int(base_url.rpartition(":")[2]), choose) as proxy:
            place.url = proxy.url
            session = place.session()
            load = Load(place, session, seed)
            monitor = Monitor(load, proxy, base_url)
            workers = [asyncio.create_task(load.work()) for _ in range(WORKERS)]
            await monitor.until(seconds)
            rate = monitor.rate
            load.stopping = True
            await asyncio.gather(*workers)
            await session.aclose()
            quota = session.quota
    for _ in range(5):
        gc.collect()
        await asyncio.sleep(0.05)
    leaks = (len(tasks()) - tasks_before, len(sockets()) - sockets_before)
    report(load, proxy)
    return figures(load, monitor, rate, leaks, quota.in_flight + quota.waiting, seconds)


def report(load: Load, proxy: FaultProxy) -> None:
    """Print the counts of the run."""
    for title, counts in (
        ("requests by fault", Counter(proxy.injected)),
        ("work by outcome", load.counts),
        ("wrong", +load.wrong),
    ):
        print(f"\n{title}:")
        for name, count in sorted(counts.items()) or [("nothing", 0)]:
            print(f"  {count:10}  {name}")


def figures(
    load: Load, monitor: Monitor, rate: float, leaks: tuple[int, int], permits: int, seconds: float
) -> list[Figure]:
    """The figures of a run; of a run under 5 minutes, the slopes have no bound."""
    bound = seconds >= 300 or None
    kinds = [*sorted(+load.wrong), "rows lost", "rows repeated", "commands executed twice"]
    return [
        Figure("requests a second", rate, None, ">=", "/s"),
        Figure("objects at rest, slope", slope(monitor.blocks), bound and 2000, "<=", "blocks/min"),
        Figure("memory at rest, slope", slope(monitor.memory), bound and 256, "<=", "KiB/min"),
        Figure("tasks not released", leaks[0], 0, "<=", ""),
        Figure("sockets not released", leaks[1], 0, "<=", ""),
        Figure("permits not released", permits, 0, "<=", ""),
        *(Figure(name, load.wrong[name], 0, "<=", "") for name in dict.fromkeys(kinds)),
    ]


def main(argv: list[str]) -> list[Figure]:
    """Run the soak that the arguments describe."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks soak")
    parser.add_argument("--minutes", type=float, default=10.0, help="how long (default 10)")
    parser.add_argument("--share", type=float, default=0.1, help="faulty requests (0.1)")
    parser.add_argument("--seed", type=int, default=1, help="the seed (default 1)")
    arguments = parser.parse_args(argv)
    return asyncio.run(soak(60 * arguments.minutes, arguments.share, arguments.seed))
