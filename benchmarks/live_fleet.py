"""Many devices under a quota on a real server: how old the oldest unseen message gets.

The fleet of `live_laws` is followed under the Pro tier's 600 requests a minute, by a plain
round robin over all devices with the whole quota, by `follow_many`, and by `follow_many`
with the stream for a doorbell. Time is scaled; `live_policy` does the same in virtual time.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from functools import partial
from heapq import heapify, heapreplace
from itertools import cycle
from time import monotonic

from attrs import evolve

from iottly_async import Cursor, IottlySession, MessageBatch
from iottly_async.clock import SYSTEM_CLOCK
from iottly_async.emulator import Emulator
from iottly_async.live.servernow import ServerNow
from iottly_async.resources import Messages
from iottly_async.walk import WalkSettings, batches

from .live_common import percentile, session_on
from .live_laws import HISTORY, laws
from .table import Figure

_A_MINUTE = 600
_SCALE = 20.0
_WORKERS = 8


class Fleet:
    """Devices that send, and what of it was seen; times in seconds of the fleet."""

    def __init__(self, emulator: Emulator) -> None:
        self._emulator = emulator
        self._unseen: dict[str, deque[float]] = {each: deque() for each in emulator.device_ids}
        self.latencies: list[float] = []
        self.oldest: list[float] = []
        self.measuring = False
        self._turns: list[tuple[float, int, str, Callable[[], float]]] = []

    def now(self) -> float:
        return monotonic() * _SCALE

    def saw(self, batch: MessageBatch) -> None:
        """Messages were handed out."""
        now, unseen = self.now(), self._unseen[batch.cursor.device_id]
        for _ in batch.messages:
            if unseen:
                age = now - unseen.popleft()
                if self.measuring:
                    self.latencies.append(age)

    def fill(self) -> None:
        """Give each device a history of its own law, and its next turn."""
        chance = random.Random(12)
        begun, now = self.now(), self._emulator.clock.now_ms()
        device_ids = self._emulator.device_ids
        for number, wait in enumerate(laws(len(device_ids))):
            device_id = device_ids[number]
            if wait is None:
                continue
            at = ahead = chance.random() * wait()
            past: list[int] = []
            while len(past) < HISTORY:
                at -= wait()
                past.append(now + round(1000 * min(at, -_SCALE) / _SCALE))
            rows = [{"payload": 0, "timestamp": time} for time in reversed(past)]
            self._emulator.append(device_id, rows)
            self._turns.append((begun + ahead, number, device_id, wait))
        heapify(self._turns)

    async def send(self) -> None:
        """Send, each device by its own law, without end."""
        turns = self._turns
        while True:
            at, number, device_id, wait = turns[0]
            await asyncio.sleep(max(at - self.now(), 0.0) / _SCALE)
            self._unseen[device_id].append(self.now())
            self._emulator.append(device_id, [{"payload": 1}])
            heapreplace(turns, (at + wait(), number, device_id, wait))

    async def sample(self) -> None:
        """Note the age of the oldest unseen message now and then."""
        while True:
            await asyncio.sleep(0.05)
            oldest = min((line[0] for line in self._unseen.values() if line), default=None)
            if self.measuring:
                self.oldest.append(0.0 if oldest is None else self.now() - oldest)


async def _round_robin(session: IottlySession, fleet: Fleet, emulator: Emulator) -> None:
    """Every device in turn, by a few workers, as fast as the quota allows."""
    messages = session.project(emulator.project_id).messages
    source = ServerNow(messages.fetch, SYSTEM_CLOCK, settle=0.0)
    settings = WalkSettings(page_size=100, settle=0.0)
    start = int(emulator.clock.time() * 1000)
    cursors: dict[str, Cursor] = {}
    turns = cycle(emulator.device_ids)

    async def look(device_id: str) -> None:
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
            await look(next(turns))

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
            goal=2.0 / _SCALE,
            fastest=2.0 / _SCALE,
            slowest=60.0 / _SCALE,
            share=1.0,
        )
        async with aclosing(follow):
            async for batch in follow:
                fleet.saw(batch)


async def fleet(quick: bool) -> list[Figure]:
    """The age of the oldest unseen message, for each contender."""
    devices, warm, measured = (400, 500.0, 600.0) if quick else (2000, 400.0, 1000.0)
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
                await _observe(contender(session, observed, emulator), observed, warm, measured)
            refused = sum(request.status == 429 for request in emulator.requests)
        means[name] = sum(observed.oldest) / len(observed.oldest)
        ages = observed.oldest, observed.latencies
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


async def _observe(
    contender: Awaitable[None], observed: Fleet, warm: float, measured: float
) -> None:
    tasks = [
        asyncio.ensure_future(contender),
        asyncio.create_task(observed.send()),
        asyncio.create_task(observed.sample()),
    ]
    try:
        for seconds in (warm, measured):
            done, _ = await asyncio.wait(tasks, timeout=seconds / _SCALE)
            for task in done:
                task.result()
            observed.measuring = True
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
