"""Parquet files: how many files a job makes, and their size beside DuckDB's file of the same rows.

The rows go straight into the stores, as a job writes them: 16,000 at a time, device after device.
The fleets are one of 50 devices over 30 days, and one of quiet devices with two messages each.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path

from iottly_async.ingest import Group, Store, open_store
from iottly_async.models import Message, MessageType

from .table import Figure

_BEGIN = datetime(2026, 4, 1, tzinfo=UTC)
_DAYS = 30
_GROUP = 16_000  # rows


def main(argv: list[str]) -> list[Figure]:
    """Fill the stores and count."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks parquet_files", description=__doc__)
    parser.add_argument("--messages", type=int, default=1_000_000, help="of the 50 devices")
    parser.add_argument("--quiet", type=int, default=10_000, help="devices of the second fleet")
    given = parser.parse_args(argv)
    figures = []
    with tempfile.TemporaryDirectory() as folder:
        rows, quiet = (50, given.messages // 50), (given.quiet, 2)
        sizes = {}
        for name, fleet in (
            ("many.parquet", rows),
            ("many.duckdb", rows),
            ("quiet.parquet", quiet),
        ):
            path = Path(folder, name)
            asyncio.run(_fill(open_store(path), *fleet))
            found = [each for each in path.rglob("*.parquet") if each.is_file()] or [path]
            sizes[name] = sum(map(os.path.getsize, found))
            if path.suffix == ".parquet":
                what = f"{fleet[0]:,} devices, {fleet[0] * fleet[1]:,} rows"
                figures.append(Figure(f"{what}: Parquet files", len(found), 20, unit="", digits=0))
        ratio = sizes["many.parquet"] / sizes["many.duckdb"]
        figures.append(Figure("bytes of the Parquet files / DuckDB's file", ratio, 1.1))
    return figures


async def _fill(store: Store, devices: int, each: int) -> None:
    await store.open()
    await store.begin("a plan")
    messages = _messages(devices, each)
    while rows := [*islice(messages, _GROUP)]:
        await store.write(Group(messages=rows, rejected=[], cursors={}))
        await store.flush()
    await store.close()


def _messages(devices: int, each: int) -> Iterator[Message]:
    chance = random.Random("parquet files")
    for _ in range(devices):
        device_id = f"{chance.getrandbits(128):032x}"
        for number in range(each):
            reading = {"temperature": round(chance.gauss(22, 3), 1), "n": number}
            yield Message(
                device_id=device_id,
                project_id="59c19cacecc01400075f3bc9",
                timestamp=_BEGIN + timedelta(days=_DAYS) * (number + chance.random()) / each,
                type=MessageType.USERDEFINED,
                payload_json=json.dumps({"sensor_data_reading": reading}).encode(),
            )
