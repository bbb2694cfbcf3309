"""A stream that is dropped repeatedly while messages arrive: each comes once, in order."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from contextlib import aclosing
from datetime import datetime
from time import perf_counter

from iottly_async import Message, Stream
from iottly_async.emulator import Emulator

from .live_common import session_on
from .table import Figure

_CODES = (None, None, None, 1000, 1001, 1011, 1012, 4000)
_DEVICES = 3
_PATIENCE = 10.0


async def drops(quick: bool) -> list[Figure]:
    """Measure lost, repeated and inverted messages."""
    count = 100 if quick else 1000
    figures: list[Figure] = []
    for late in (0.0, 0.03):
        figures += await _run(count, late)
    return figures


async def _run(count: int, late: float) -> list[Figure]:
    chance = random.Random(7)
    async with Emulator(devices=_DEVICES, messages=0) as emulator, session_on(emulator) as session:
        stream = session.stream(
            project_id=emulator.project_id, fill_gaps=True, settle=0, lookback=2 * late
        )
        taken: list[Message] = []
        async with stream:
            await stream.until_connected()
            taker = asyncio.create_task(_take(stream, taken))
            appender = asyncio.create_task(_append(emulator, late, chance))
            begun = perf_counter()
            for n in range(count):
                await asyncio.sleep(chance.uniform(0.0, 0.02))
                emulator.drop_streams(chance.choice(_CODES))
                await emulator.until_streams(n + 2)
            took = perf_counter() - begun
            appender.cancel()
            await asyncio.sleep(2 * late)
            due = sum(len(emulator.stored(device_id)) for device_id in emulator.device_ids)
            patience = perf_counter() + _PATIENCE
            while len(taken) < due and perf_counter() < patience:  # noqa: ASYNC110 - a bound
                await asyncio.sleep(0.01)
            await asyncio.sleep(0.1)  # a message that comes now is repeated
            taker.cancel()
            await asyncio.gather(taker, return_exceptions=True)
        stored = [
            (row["device_id"], row["timestamp"], row["payload_json"])
            for device_id in emulator.device_ids
            for row in emulator.stored(device_id)
        ]
        requests = len(emulator.requests)
    return _figures(count, late, taken, stored, took, requests)


async def _append(emulator: Emulator, late: float, chance: random.Random) -> None:
    number = 0
    while True:
        await asyncio.sleep(chance.uniform(0.0, 0.004))
        number += 1
        by = late * chance.random() if late and chance.random() < 0.3 else 0.0
        device_id = emulator.device_ids[number % _DEVICES]
        emulator.append(device_id, [{"payload": {"n": number}}], late_by=by)


async def _take(stream: Stream, taken: list[Message]) -> None:
    async with aclosing(stream.messages()) as messages:
        async for message in messages:
            taken.append(message)  # noqa: PERF401 - other tasks read it meanwhile


def _figures(
    count: int,
    late: float,
    taken: list[Message],
    stored: list[tuple[str, datetime, str]],
    took: float,
    requests: int,
) -> list[Figure]:
    found = Counter((m.device_id, m.timestamp, m.payload_json.decode()) for m in taken)
    truth = Counter(stored)
    lost, repeated = sum((truth - found).values()), sum((found - truth).values())
    last: dict[str, datetime] = {}
    inversions = 0
    for message in taken:
        before = last.get(message.device_id)
        if before is not None and message.timestamp < before:
            inversions += 1
        last[message.device_id] = max(message.timestamp, before or message.timestamp)
    named = f"{count} drops" + (", some rows late" if late else "")
    print(
        f"{named}: {len(stored)} messages in {took:.1f} s, {lost} lost, {repeated} repeated, "
        f"{inversions} out of order, {requests} requests",
        flush=True,
    )
    figures = [
        Figure(f"{named}: messages lost", lost, 0, unit=""),
        Figure(f"{named}: messages repeated", repeated, 0, unit=""),
    ]
    # Order is promised only if no row becomes visible late.
    bound = None if late else 0
    figures.append(Figure(f"{named}: messages out of order", inversions, bound, unit=""))
    return figures
