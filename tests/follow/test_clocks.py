"""Following with clocks that differ and rows that become visible late: nothing is lost (D11).

The emulator's clock runs with the virtual one, in steps.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest

from iottly_async import Config, Cursor, FollowPace, IottlySession, MessageBatch, RateLimiter
from iottly_async.aio.tasks import cancel_and_wait
from iottly_async.clock import SystemClock
from iottly_async.emulator import Emulator, publisher
from iottly_async.follow.present import Present
from iottly_async.resources import Messages
from tests.support.virtual_time import WALL_START, run_virtual

STEP = 0.5
"""Seconds by which the emulator's clock moves at a time."""

PACE = FollowPace(slowest=10)


@pytest.fixture(autouse=True)
def in_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the local wall clock run with the virtual one, and the emulator look for rows that
    become visible as often as its clock moves."""
    monkeypatch.setattr(SystemClock, "time", lambda clock: WALL_START + clock.monotonic())
    monkeypatch.setattr(publisher, "_INTERVAL", STEP)


@asynccontextmanager
async def cloud(**settings: Any) -> AsyncIterator[tuple[Emulator, Messages]]:
    """An emulator whose clock moves with the virtual one, and its project's messages."""
    async with Emulator(messages=0, **settings) as emulator:
        emulator.clock.pin()

        async def tick() -> None:
            while True:
                await asyncio.sleep(STEP)
                emulator.clock.advance(STEP)

        ticking = asyncio.ensure_future(tick())
        config = Config(base_url=emulator.base_url)
        session = IottlySession(emulator.api_key, config=config, limiter=RateLimiter())
        async with session:
            yield emulator, session.project(emulator.project_id).messages
            await cancel_and_wait([ticking])


class Taken:
    """What a consumer has taken: the numbers of messages, and the cursors."""

    def __init__(self) -> None:
        self.found: Counter[int] = Counter()
        self.cursors: dict[str, Cursor] = {}

    async def take(self, follow: AsyncGenerator[MessageBatch, None], seconds: float) -> None:
        """Take what comes within so many seconds."""

        async def consume() -> None:
            async for batch in follow:
                self.found.update(message.payload["n"] for message in batch.messages)
                cursor = Cursor.from_json(batch.cursor.to_json())
                self.cursors[cursor.device_id] = cursor

        taking = asyncio.ensure_future(consume())
        try:
            done, _ = await asyncio.wait([taking], timeout=seconds)
        finally:
            await cancel_and_wait([taking])
        for task in done:
            task.result()


async def send(
    emulator: Emulator, device: int, numbers: range, *, every: float, chance: random.Random
) -> None:
    """Send a row now and then, each visible a second late on average."""
    for number in numbers:
        late = min(chance.expovariate(1.0), 9.0)
        row = {"payload": {"n": number}}
        emulator.append(emulator.device_ids[device], [row], late_by=late)
        await asyncio.sleep(every)


@pytest.mark.parametrize("offset", [0, -8, -3600, 8, -10 * 86_400])
@pytest.mark.parametrize("named", [True, False], ids=["from a time", "from now on"])
def test_a_skew_of_any_size_loses_nothing(offset: float, named: bool) -> None:
    """With the default settings, following has each of 64 rows once, also over restarts, whether
    the stamps are 8 s, an hour or days behind `Date`, or 8 s ahead of it."""

    async def main() -> None:
        async with cloud(devices=2, stamp_offset=offset) as (emulator, messages):
            chance, taken = random.Random(5), Taken()
            await send(emulator, 0, range(-3, 0), every=0.5, chance=chance)  # before it begins
            await asyncio.sleep(10)
            start = emulator.clock.now() + timedelta(seconds=offset) if named else None

            def follow() -> AsyncGenerator[MessageBatch, None]:
                return messages.follow_many(start=start, cursors=taken.cursors, pace=PACE)

            async with aclosing(follow()) as first:
                taking = asyncio.ensure_future(taken.take(first, 45))
                await asyncio.sleep(1)
                sending = [
                    asyncio.ensure_future(
                        send(emulator, n, range(64 * n, 64 * n + 64), every=0.9, chance=chance)
                    )
                    for n in range(2)
                ]
                await taking
            while not all(task.done() for task in sending):
                async with aclosing(follow()) as again:
                    await taken.take(again, chance.uniform(2, 8))
            async with aclosing(follow()) as last:
                await taken.take(last, 30 + max(offset, 0))
            assert {n: taken.found[n] for n in range(128) if taken.found[n] != 1} == {}
            assert not [n for n in taken.found if n < 0]

    run_virtual(main, listens=True)


@pytest.mark.parametrize("seconds", [3600, -3600])
@pytest.mark.parametrize("skip", [0, 2, 7])
def test_one_wild_date_changes_nothing(seconds: float, skip: int) -> None:
    """One answer whose `Date` is an hour off, also the first one, loses nothing."""

    async def main() -> None:
        async with cloud(devices=1) as (emulator, messages):
            taken, chance = Taken(), random.Random(1)
            await send(emulator, 0, range(-3, 0), every=0.5, chance=chance)
            await asyncio.sleep(10)
            emulator.fault("date", route="paginated", seconds=seconds, skip=skip)
            follow = messages.follow(emulator.device_ids[0], pace=PACE)
            async with aclosing(follow):
                taking = asyncio.ensure_future(taken.take(follow, 60))
                await asyncio.sleep(1)
                await send(emulator, 0, range(64), every=0.4, chance=chance)
                await taking
            assert {n: taken.found[n] for n in range(64) if taken.found[n] != 1} == {}

    run_virtual(main, listens=True)


def requests_while_idle(lookback: float | None, rows: int) -> list[int]:
    """How many requests an idle device costs in each of five minutes, two minutes after a burst
    of rows."""

    async def main() -> list[int]:
        async with cloud(devices=1) as (emulator, messages):
            taken = Taken()
            follow = messages.follow(emulator.device_ids[0], lookback=lookback)
            async with aclosing(follow):
                taking = asyncio.ensure_future(taken.take(follow, 600))
                await asyncio.sleep(5)
                emulator.append(
                    emulator.device_ids[0], [{"payload": {"n": n}} for n in range(rows)]
                )
                await asyncio.sleep(120)
                counts: list[int] = []
                for _ in range(5):
                    before = len(emulator.requests)
                    await asyncio.sleep(60)
                    counts.append(len(emulator.requests) - before)
                await cancel_and_wait([taking])
            assert taken.found.total() == rows
            return counts

    return run_virtual(main, listens=True)


def test_an_idle_device_costs_no_more_than_without_a_lookback() -> None:
    """Looking back costs an idle device no request, whatever it sent at last."""
    assert requests_while_idle(None, 40) == requests_while_idle(0, 40)


def test_a_busy_device_costs_little_more_than_without_a_lookback() -> None:
    """The rows of a device that sends a hundred a second are read twice, not with each poll."""

    def requests(lookback: float | None) -> int:
        async def main() -> int:
            async with cloud(devices=1) as (emulator, messages):
                device, taken = emulator.device_ids[0], Taken()
                pace = FollowPace(fastest=1, slowest=1)
                follow = messages.follow(device, lookback=lookback, pace=pace)
                async with aclosing(follow):
                    taking = asyncio.ensure_future(taken.take(follow, 50))
                    await asyncio.sleep(1)
                    for second in range(30):
                        first = 100 * second
                        now = emulator.clock.now_ms()
                        rows = [
                            {"payload": {"n": first + n}, "timestamp": now - 1000 + 10 * n}
                            for n in range(100)
                        ]
                        emulator.append(device, rows)
                        await asyncio.sleep(1)
                    await taking
                assert taken.found.total() == len(taken.found) == 3000
                return len(emulator.requests)

        return run_virtual(main, listens=True)

    assert requests(None) <= 2.2 * requests(0)


def test_the_present_of_devices() -> None:
    """Followed from now on, a device begins behind its newest message, or at `Date` if messages
    came meanwhile; one that is added later, behind what there was when following began."""
    present = Present(100.0)
    assert present.added(date=50_000) == 0
    assert present.behind(None, 100.0, date=50_000) == 0
    assert present.behind(41_000, 100.5, date=50_000) == 41_001
    assert present.behind(52_000, 103.0, date=50_000) == 50_000
    assert present.added(date=50_000) == 49_001
    assert present.added(date=45_000) == 45_000
