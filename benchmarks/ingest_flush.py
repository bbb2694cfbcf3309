"""What a flush of a few devices of a large fleet writes and takes, and a look at the progress."""

from __future__ import annotations

import asyncio
import os
import tempfile
from statistics import median
from time import perf_counter
from typing import Any, Final

from iottly_async.ingest import TimeShares, open_store
from iottly_async.ingest.progress import DeviceProgress, Meter
from iottly_async.ingest.stores import Group
from iottly_async.models import Cursor, Quota

from .pages import PROJECT
from .table import Figure

FLEETS: Final = (100, 10_000, 100_000)
FLUSHES: Final = 20
CHANGED: Final = 10  # devices a flush
_NO_QUOTA: Final = Quota(
    limit=None,
    remaining=None,
    resets_at=None,
    waiting=0,
    in_flight=0,
    refusals=0,
    source="unknown",
)


def flushes() -> list[Figure]:
    """A flush and a look at the progress cost what has changed, whatever the fleet."""
    figures = list[Figure]()
    for store in ("jsonl", "parquet"):
        sizes = dict[int, float]()
        for devices in FLEETS:
            with tempfile.TemporaryDirectory() as folder:
                size, ms = asyncio.run(_flush(f"{folder}/x.{store}", devices))
            sizes[devices] = size
            print(f"  {store:<8} {devices:>7,} devices: {size:>12,.0f} bytes, {ms:7.2f} ms a flush")
        ratio = sizes[FLEETS[-1]] / sizes[FLEETS[0]]
        figures.append(Figure(f"{store}: bytes a flush, largest / smallest fleet", ratio, 1.5))
    for devices in FLEETS:
        meter = Meter(now=perf_counter, begun=perf_counter())
        known = {name: DeviceProgress(name, cursor=_cursor(name, 1)) for name in _names(devices)}
        meter.begin(known, start=0, end=9_999, server_ahead=0.0)
        took = list[float]()
        for _ in range(FLUSHES):
            begun = perf_counter()
            meter.snapshot(requests=0, quota=_NO_QUOTA, shares=TimeShares())
            took.append(perf_counter() - begun)
        print(f"  progress {devices:>7,} devices: {median(took) * 1e6:12,.0f} us a look")
    figures.append(
        Figure("progress of the largest fleet, a look", median(took) * 1e3, 1.0, unit="ms")
    )
    return figures


async def _flush(place: str, devices: int) -> tuple[float, float]:
    """The bytes that a flush of a few devices writes, and the milliseconds that it takes."""
    names, write = _names(devices), os.write
    written, took = 0, list[float]()

    def counted(fd: int, data: Any) -> int:
        nonlocal written
        done = write(fd, data)
        written += done
        return done

    store = open_store(place)
    await store.open()
    await store.begin("{}")
    await store.write(_group(names, 0))
    await store.flush()
    await store.write(_group(names[:CHANGED], 1))
    await store.flush()
    os.write = counted
    try:
        for number in range(FLUSHES):
            begun = perf_counter()
            await store.write(_group(names[:CHANGED], number + 2))
            await store.flush()
            took.append(perf_counter() - begun)
    finally:
        os.write = write
        await store.close()
    return written / FLUSHES, median(took) * 1e3


def _names(devices: int) -> list[str]:
    return [f"device-{number:06d}" for number in range(devices)]


def _group(names: list[str], number: int) -> Group:
    cursors = {name: _cursor(name, number) for name in names}
    return Group(messages=[], rejected=[], cursors=cursors)


def _cursor(device_id: str, number: int) -> Cursor:
    return Cursor(
        project_id=PROJECT,
        device_id=device_id,
        type="all",
        order="asc",
        start=0,
        end=9_999,
        remaining=((number, 9_999),),
        pinned_end=9_999,
        count=number,
    )
