"""Many devices under a quota on a real server: how old the oldest unseen message gets.

The fleet of `live_laws` is followed at the Pro tier's 600 requests a minute by a round robin
with the whole quota, by `follow_many`, and by `follow_many` with the stream as doorbell. Time
is scaled; `live_policy` does the same in virtual time.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from functools import partial
from itertools import cycle
from time import monotonic

from attrs import evolve

from iottly_async import Cursor, FollowPace, IottlySession, MessageBatch
from iottly_async.clock import SYSTEM_CLOCK
from iottly_async.emulator import Emulator
from iottly_async.follow.timed_pages import TimedPages
from iottly_async.resources import Messages
from iottly_async.walk import WalkSettings, batches

from .live_common import percentile, session_on
from .live_observed import Observed
from .table import Figure

_A_MINUTE = 600
_SCALE = 20.0
_WORKERS = 8


class Fleet(Observed):
    """The fleet of an emulator, in scaled time."""

    def __init__(self, emulator: Emulator) -> None:
        super().__init__(emulator.device_ids)
        self._emulator = emulator

    def now(self) -> float:
        return monotonic() * _SCALE

    async def pause(self, seconds: float) -> None:
        await asyncio.sleep(seconds / _SCALE)

    def sent_before(self, device_id: str, ago: Sequence[float]) -> None:
        now = self._emulator.clock.now_ms()
        rows = [
            {"payload": 0, "timestamp": now - round(1000 * max(each, _SCALE) / _SCALE)}
            for each in ago
        ]
        self._emulator.append(device_id, rows)

    def send(self, device_id: str) -> None:
        self._emulator.append(device_id, [{"payload": 1}])


async def _round_robin(session: IottlySession, fleet: Fleet, emulator: Emulator) -> None:
    """Poll every device in turn, by a few workers, as fast as the quota allows."""
    messages = session.project(emulator.project_id).messages
    source = TimedPages(messages.fetch, SYSTEM_CLOCK, settle=0.0)
    settings = WalkSettings(page_size=100, settle=0.0)
    start = int(emulator.clock.time() * 1000)
    cursors: dict[str, Cursor] = {}
    devices = cycle(emulator.device_ids)

    async def poll(device_id: str) -> None:
        cursor = cursors.get(device_id)
        query = messages.query(device_id)
        if cursor is None:
            query = evolve(query, start=start)
        walk: AsyncGenerator[MessageBatch, None] = batches(
            source.fetch, query, settings=settings, cursor=cursor
        )
        async with aclosing(walk):
            async for batch in walk:
                cursors[device_id] = batch.cursor
                fleet.saw(batch)

    async def work() -> None:
        while True:
            await poll(next(devices))

    async with asyncio.TaskGroup() as group:
        for _ in range(_WORKERS):
            group.create_task(work())


async def _follow(session: IottlySession, fleet: Fleet, emulator: Emulator, *, bell: bool) -> None:
    messages: Messages = session.project(emulator.project_id).messages
    async with session.stream() as stream:
        follow = messages.follow_many(
            emulator.device_ids,
            settle=0,
            doorbell=stream if bell else None,
            pace=FollowPace(
                goal=2.0 / _SCALE, fastest=2.0 / _SCALE, slowest=60.0 / _SCALE, share=1.0
            ),
        )
        async with aclosing(follow):
            async for batch in follow:
                fleet.saw(batch)


async def fleet(quick: bool) -> list[Figure]:
    """Measure the age of the oldest unseen message for each contender."""
    devices, warm, measured = (400, 650.0, 450.0) if quick else (2000, 650.0, 700.0)
    limit = _A_MINUTE * devices // 2000
    print(f"{devices} devices, {limit} requests a minute, seconds scaled by {_SCALE:g}")
    contenders: dict[str, Callable[[IottlySession, Fleet, Emulator], Awaitable[None]]] = {
        "round robin": _round_robin,
        "follow": partial(_follow, bell=False),
        "follow, stream as doorbell": partial(_follow, bell=True),
    }
    figures: list[Figure] = []
    means: dict[str, float] = {}
    for name, contender in contenders.items():
        async with Emulator(
            devices=devices, messages=0, rate_limit=limit, rate_window=60 / _SCALE
        ) as emulator:
            async with session_on(emulator) as session:
                observed = Fleet(emulator)
                observed.fill()
                await observed.watch(contender(session, observed, emulator), warm, measured)
            refused = sum(request.status == 429 for request in emulator.requests)
        means[name] = sum(observed.oldest) / len(observed.oldest)
        ages = observed.oldest, observed.ages
        print(
            f"{name:<28} oldest unseen: mean {means[name]:6.1f} s, p99 "
            f"{percentile(ages[0], 0.99):6.1f} s; a message: p50 {percentile(ages[1], 0.5):6.1f} s,"
            f" p99 {percentile(ages[1], 0.99):6.1f} s; {len(ages[1])} messages, {refused} refusals",
            flush=True,
        )
        figures.append(Figure(f"{name}: oldest unseen message, mean", means[name], unit="s"))
        figures.append(
            Figure(f"{name}: oldest unseen message, p99", percentile(ages[0], 0.99), unit="s")
        )
        figures.append(Figure(f"{name}: a message's age, p50", percentile(ages[1], 0.5), unit="s"))
    ratio = means["follow"] / means["round robin"]
    figures.append(Figure("oldest unseen message, mean: follow / round robin", ratio, 1.0))
    return figures
