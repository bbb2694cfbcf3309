"""A long job into JSON lines over real sockets, and the same by hand: CPU time and memory.

By hand there are typed rows, 32 workers, and lines; once without keys, and once with a key that
is a hash of the content, so that a second run could tell what it has. Neither has a quota,
retries, cursors, checks of payloads, or proofs of ties.

Each contender is a process of its own, so that its memory is its own:

```sh
python -m benchmarks.ingest_long job|rows|keyed BASE_URL FILE
```
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Final, NamedTuple
from uuid import UUID

import aiohttp
import msgspec

from iottly_async import Config, IottlySession, RateLimiter
from iottly_async.ingest import IngestJob

from .clients import HEADERS, KEY
from .pages import PROJECT
from .pageserver import page_server
from .table import Figure
from .typed_rows import keys_by_hand, typed_pages

DEVICES: Final = [str(UUID(int=number)) for number in range(1, 51)]
_AT_ONCE: Final = 32
_LATENCY: Final = 0.02  # seconds


class _Used(NamedTuple):
    """What a contender used: seconds of CPU time, and MiB above its imports at the most."""

    cpu: float
    memory: float
    rows: int


def long_run(messages: int, turns: int) -> list[Figure]:
    """Measure both, in turns."""
    each = messages // len(DEVICES)
    used: dict[str, list[_Used]] = {"job": [], "rows": [], "keyed": []}
    with tempfile.TemporaryDirectory() as folder, page_server(each, latency=_LATENCY) as base:
        for turn in range(turns):
            for contender, all_used in used.items():
                all_used.append(_measured(contender, base, f"{folder}/{turn}.jsonl"))
                print(f"  {contender:<6} {all_used[-1]}", flush=True)
                if all_used[-1].rows != used["job"][-1].rows:
                    raise RuntimeError(f"{contender} has another number of rows")
    name = f"{messages:,} rows, 20 ms, 32 at once, jsonl"

    def ratio(base: str) -> float:
        pairs = zip(used["job"], used[base], strict=True)
        return median(job.cpu / other.cpu for job, other in pairs)

    return [
        Figure(f"{name}: CPU", min(one.cpu for one in used["job"]), 4.5e-6 * messages, unit="s"),
        Figure(f"{name} / by hand with keys, CPU", ratio("keyed"), 1.5),
        Figure(f"{name} / by hand without, CPU", ratio("rows")),
        Figure(f"{name}: memory", max(one.memory for one in used["job"]), 64.0, unit="MiB"),
    ]


def _measured(contender: str, base: str, file: str) -> _Used:
    command = [sys.executable, "-m", __name__, contender, base, file]
    output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    os.unlink(file)
    return msgspec.json.decode(output, type=_Used)


async def _job(base: str, file: str) -> int:
    config = Config(base_url=base)
    async with IottlySession(KEY, config=config, limiter=RateLimiter()) as session:
        job = IngestJob(session, project=PROJECT, devices=DEVICES, store=file, concurrency=_AT_ONCE)
        return (await job.run()).rows


async def _by_hand(base: str, file: str, keyed: bool) -> int:
    waiting, encode = list(DEVICES), msgspec.json.Encoder().encode_lines
    lines = os.open(file, os.O_WRONLY | os.O_CREAT)
    async with aiohttp.ClientSession(headers=HEADERS) as session:

        async def work() -> int:
            count = 0
            while waiting:
                async for rows in typed_pages(session, base, waiting.pop()):
                    keys = keys_by_hand(rows) if keyed else None
                    os.write(lines, encode(zip(keys, rows, strict=True) if keys else rows))
                    count += len(rows)
            return count

        written = sum(await asyncio.gather(*(work() for _ in range(_AT_ONCE))))
    os.fsync(lines)
    os.close(lines)
    return written


def _memory(name: str) -> float:
    """A line of this process's status, in MiB."""
    status = Path("/proc/self/status").read_text()
    return int(status.split(f"{name}:")[1].split()[0]) / 1024


def _main(contender: str, base: str, file: str) -> None:
    before, begun = _memory("VmRSS"), time.process_time()
    if contender == "job":
        rows = asyncio.run(_job(base, file))
    else:
        rows = asyncio.run(_by_hand(base, file, contender == "keyed"))
    used = _Used(time.process_time() - begun, _memory("VmHWM") - before, rows)
    sys.stdout.buffer.write(msgspec.json.encode(used))


if __name__ == "__main__":
    _main(*sys.argv[1:])
