"""The latency and the lost rows by `settle` and `lookback`, if rows become visible late (D11)."""

from __future__ import annotations

import asyncio
import random
from contextlib import aclosing

from iottly_async import FollowPace
from iottly_async.emulator import Emulator
from iottly_async.resources import Messages

from .live_common import percentile, session_on
from .table import Figure

_SCALE = 10.0
_MEAN_LATENESS = 1.0
_WAYS = ((0.0, 0.0), (1.0, 0.0), (5.0, 0.0), (0.0, 30.0), (5.0, 30.0))


async def settle(quick: bool) -> list[Figure]:
    """Measure lost rows and the median latency for each setting."""
    count = 400 if quick else 4000
    chance = random.Random(3)
    async with Emulator(devices=1, messages=0) as emulator, session_on(emulator) as session:
        messages = session.project(emulator.project_id).messages
        device_id = emulator.device_ids[0]
        found: list[dict[int, float]] = [{} for _ in _WAYS]
        tasks = [
            asyncio.create_task(_follow(emulator, messages, device_id, way, into))
            for way, into in zip(_WAYS, found, strict=True)
        ]
        await emulator.until_requests(2 * len(_WAYS), route="paginated")
        for n in range(count):
            late = chance.expovariate(_SCALE / _MEAN_LATENESS)
            emulator.append(device_id, [{"payload": {"n": n}}], late_by=late)
            await asyncio.sleep(0.005)
        await asyncio.sleep(30 / _SCALE)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    figures: list[Figure] = []
    print(f"rows late by {_MEAN_LATENESS:g} s on average; seconds scaled by {_SCALE:g}")
    for (waited, back), came in zip(_WAYS, found, strict=True):
        lost = 100 * (count - len(came)) / count
        median = percentile(list(came.values()), 0.5) * _SCALE
        name = f"settle {waited:g} s, lookback {back:g} s"
        print(f"{name:<32} lost {lost:6.2f} %   p50 {median:5.2f} s", flush=True)
        bound = 0 if back else None
        figures.append(Figure(f"{name}: rows lost", lost, bound, unit="%"))
        figures.append(Figure(f"{name}: time to consumer, p50", median, unit="s"))
    return figures


async def _follow(
    emulator: Emulator,
    messages: Messages,
    device_id: str,
    way: tuple[float, float],
    into: dict[int, float],
) -> None:
    waited, back = way
    follow = messages.follow(
        device_id,
        settle=waited / _SCALE,
        lookback=back / _SCALE,
        pace=FollowPace(goal=1.0 / _SCALE, fastest=1.0 / _SCALE, slowest=10.0 / _SCALE),
    )
    async with aclosing(follow):
        async for batch in follow:
            now = emulator.clock.time()
            for message in batch.messages:
                into[message.payload["n"]] = now - message.timestamp.timestamp()
