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
from hashlib import blake2b
from pathlib import Path
from statistics import median
from typing import Any, Final, NamedTuple
from uuid import UUID

import aiohttp
import msgspec

from iottly_async import Config, IottlySession, RateLimiter
from iottly_async.ingest import IngestJob

from .clients import HEADERS, KEY, held_from, url
from .clients import by_attribute as time_of
from .pages import DEVICE, PROJECT, SIZE
from .pageserver import page_server
from .table import Figure

DEVICES: Final = [str(UUID(int=number)) for number in range(1, 51)]
_AT_ONCE: Final = 32
_LATENCY: Final = 0.02  # seconds
_decode_values: Final = msgspec.json.Decoder(list[Any]).decode
_encode_sorted: Final = msgspec.json.Encoder(order="deterministic").encode


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


class _WireRow(msgspec.Struct, gc=False, rename={"sender": "from"}):
    sender: str
    timestamp: str
    type: str
    payload: msgspec.Raw
    devicetimestamp: str | None = None
    to: str | None = None
    channel: str | None = None


class _WirePage(msgspec.Struct):
    messages: list[_WireRow]


def _keyed(rows: list[_WireRow]) -> list[Any]:
    """The rows with a key each."""
    values = _decode_values(b"[%b]" % b",".join([row.payload for row in rows]))
    return [
        (blake2b(_encode_sorted((row, value)), digest_size=16).hexdigest(), row)
        for row, value in zip(rows, values, strict=True)
    ]


async def _by_hand(base: str, file: str, keyed: bool) -> int:
    waiting, encode = list(DEVICES), msgspec.json.Encoder().encode_lines
    decode = msgspec.json.Decoder(_WirePage).decode
    lines = os.open(file, os.O_WRONLY | os.O_CREAT)
    async with aiohttp.ClientSession(headers=HEADERS) as session:

        async def work() -> int:
            rows = 0
            while waiting:
                device, start, full = waiting.pop(), None, True
                while full:
                    address = url(base, start).replace(DEVICE, device)
                    async with session.get(address) as response:
                        found = decode(await response.read()).messages
                    full = len(found) == SIZE
                    if full:
                        start = found[-1].timestamp
                        del found[held_from(found, time_of) :]
                    rows += len(found)
                    os.write(lines, encode(_keyed(found) if keyed else found))
            return rows

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
