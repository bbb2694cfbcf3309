"""Following devices of the emulator: each message comes once, in order, and soon."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from datetime import timedelta
from typing import Any

import pytest

from iottly_async import (
    Config,
    ConfigurationError,
    Cursor,
    CursorMismatchError,
    Doorbell,
    FollowPace,
    IottlySession,
    MessageBatch,
    RateLimiter,
    RetryPolicy,
    SessionClosedError,
    UnauthorizedError,
)
from iottly_async.emulator import Emulator
from iottly_async.resources import Messages
from tests.support.virtual_time import run_virtual

QUICK: dict[str, Any] = {"settle": 0, "pace": FollowPace(fastest=0.01, slowest=0.05)}
PATIENT: dict[str, Any] = {"settle": 0, "pace": FollowPace(fastest=3600, slowest=3600)}


def session_on(emulator: Emulator) -> IottlySession:
    """A session that retries at once."""
    retry = RetryPolicy(initial_delay=0.01, max_delay=0.02)
    config = Config(base_url=emulator.base_url, retry=retry)
    return IottlySession(emulator.api_key, config=config, limiter=RateLimiter())


@pytest.fixture
async def fleet() -> AsyncIterator[Emulator]:
    """Two devices that have sent nothing yet."""
    async with Emulator(devices=2, messages=0) as emulator:
        yield emulator


@pytest.fixture
async def messages(fleet: Emulator) -> AsyncIterator[Messages]:
    """Their project's messages."""
    async with session_on(fleet) as session:
        yield session.project(fleet.project_id).messages


def send(fleet: Emulator, device: int, *values: int) -> None:
    """Append messages with these numbers, each in a millisecond of its own."""
    for value in values:
        fleet.append(fleet.device_ids[device], [{"payload": {"n": value}}])
        fleet.clock.advance(0.002)


async def take(
    follow: AsyncGenerator[MessageBatch, None], count: int, *, within: float = 10
) -> tuple[list[int], dict[str, Cursor]]:
    """Take the next messages: their numbers, and the last cursor of each device."""
    found: list[int] = []
    cursors: dict[str, Cursor] = {}
    async with asyncio.timeout(within):
        while len(found) < count:
            batch = await anext(follow)
            found += [message.payload["n"] for message in batch.messages]
            cursors[batch.cursor.device_id] = batch.cursor
    return found, cursors


async def started(fleet: Emulator) -> None:
    """Wait until every device was polled."""
    await fleet.until_requests(2, route="paginated")


async def test_messages_come_as_they_are_sent(fleet: Emulator, messages: Messages) -> None:
    """New messages are yielded in order, each once; earlier ones are not."""
    send(fleet, 0, 1, 2)
    fleet.clock.advance(2)
    async with aclosing(messages.follow(fleet.device_ids[0], **QUICK)) as follow:
        first = asyncio.ensure_future(take(follow, 3))
        await fleet.until_requests(3, route="paginated")
        send(fleet, 0, 3, 4, 5)
        assert (await first)[0] == [3, 4, 5]
        send(fleet, 0, 6)
        assert (await take(follow, 1))[0] == [6]


async def test_it_goes_on_from_a_cursor(fleet: Emulator, messages: Messages) -> None:
    """After a stop and a resume from JSON no message is lost or repeated."""
    device = fleet.device_ids[0]
    start = fleet.clock.now()
    send(fleet, 0, 1, 2)
    async with aclosing(messages.follow(device, start=start, **QUICK)) as follow:
        found, cursors = await take(follow, 2)
    assert found == [1, 2]
    send(fleet, 0, 3)
    cursor = Cursor.from_json(cursors[device].to_json())
    async with aclosing(messages.follow(device, cursor=cursor, **QUICK)) as follow:
        assert (await take(follow, 1))[0] == [3]


async def test_many_devices(fleet: Emulator, messages: Messages) -> None:
    """All devices of the project are followed, each in order."""
    async with aclosing(messages.follow_many(start=fleet.clock.now(), **QUICK)) as follow:
        send(fleet, 0, 1, 3, 5)
        send(fleet, 1, 2, 4)
        found, cursors = await take(follow, 5)
        assert [n for n in found if n % 2] == [1, 3, 5]
        assert [n for n in found if not n % 2] == [2, 4]
        assert set(cursors) == set(fleet.device_ids)


async def test_no_message_is_yielded_before_it_is_settled(
    fleet: Emulator, messages: Messages
) -> None:
    """A message is yielded after `settle`, behind one that became visible late meanwhile."""
    fleet.clock.pin()
    device = fleet.device_ids[0]
    options = {**QUICK, "settle": 5, "start": fleet.clock.now()}
    async with aclosing(messages.follow(device, **options)) as follow:
        fleet.append(device, [{"payload": {"n": 1}}], late_by=3)
        fleet.clock.advance(1)
        send(fleet, 0, 2)
        waiting = asyncio.ensure_future(take(follow, 2))
        await fleet.until_requests(5, route="paginated")
        assert not waiting.done()
        fleet.clock.advance(60)
        assert (await waiting)[0] == [1, 2]


async def test_lookback_finds_what_came_later_than_settle(
    fleet: Emulator, messages: Messages
) -> None:
    """With a lookback a late message comes once, after those that were visible in time."""
    fleet.clock.pin()
    device = fleet.device_ids[0]
    options = {**QUICK, "lookback": 30, "start": fleet.clock.now()}
    async with aclosing(messages.follow(device, **options)) as follow:
        fleet.append(device, [{"payload": {"n": 1}}], late_by=3)
        fleet.clock.advance(1)
        send(fleet, 0, 2)
        fleet.clock.advance(1)
        assert (await take(follow, 1))[0] == [2]
        fleet.clock.advance(5)
        assert (await take(follow, 1))[0] == [1]
        send(fleet, 0, 3)
        fleet.clock.advance(1)
        assert (await take(follow, 1))[0] == [3]


async def test_a_doorbell_causes_a_poll_at_once(fleet: Emulator, messages: Messages) -> None:
    """A device that is polled every hour is polled when the doorbell rings for it."""
    bell = Doorbell()
    async with aclosing(messages.follow_many(doorbell=bell, **PATIENT)) as follow:
        waiting = asyncio.ensure_future(take(follow, 1))
        await started(fleet)
        send(fleet, 1, 1)
        fleet.clock.advance(0.01)
        bell.ring(fleet.device_ids[1])
        assert (await waiting)[0] == [1]
        seen = {request.path for request in list(fleet.requests)[-1:]}
        assert all(fleet.device_ids[1] in path for path in seen)


@pytest.mark.parametrize("kind", ["iterable", "callable", "awaitable"])
async def test_what_can_be_a_doorbell(fleet: Emulator, messages: Messages, kind: str) -> None:
    """A doorbell is an async-iterable, a callable that is awaited repeatedly, or an awaitable."""
    queue: asyncio.Queue[object] = asyncio.Queue()

    async def rings() -> AsyncIterator[object]:
        while True:
            yield await queue.get()

    once: asyncio.Future[object] = asyncio.get_running_loop().create_future()
    bell = {"iterable": rings(), "callable": queue.get, "awaitable": once}[kind]
    async with aclosing(messages.follow(fleet.device_ids[0], doorbell=bell, **PATIENT)) as follow:
        waiting = asyncio.ensure_future(take(follow, 1))
        await fleet.until_requests(1, route="paginated")
        send(fleet, 0, 1)
        fleet.clock.advance(0.01)
        queue.put_nowait("anything" if kind == "awaitable" else None)
        once.set_result(None)
        assert (await waiting)[0] == [1]


async def test_a_stream_as_a_doorbell(fleet: Emulator) -> None:
    """A message of the stream causes a poll, and the poll yields it."""
    async with session_on(fleet) as session:
        messages = session.project(fleet.project_id).messages
        stream = session.stream()
        async with stream, aclosing(messages.follow_many(doorbell=stream, **PATIENT)) as follow:
            waiting = asyncio.ensure_future(take(follow, 1))
            await fleet.until_streams(1)
            await started(fleet)
            send(fleet, 0, 1)
            fleet.clock.advance(0.01)
            assert (await waiting)[0] == [1]


async def test_a_doorbell_that_fails_costs_no_message(
    fleet: Emulator, messages: Messages, caplog: pytest.LogCaptureFixture
) -> None:
    """A doorbell that fails is logged, and polls go on."""

    async def broken() -> None:
        raise RuntimeError("no bell")

    async with aclosing(messages.follow(fleet.device_ids[0], doorbell=broken, **QUICK)) as follow:
        waiting = asyncio.ensure_future(take(follow, 1))
        await fleet.until_requests(2, route="paginated")
        send(fleet, 0, 1)
        assert (await waiting)[0] == [1]
    assert "the doorbell failed" in caplog.text


async def test_a_lost_wakeup_costs_time_and_no_message(fleet: Emulator) -> None:
    """If the stream loses a frame, the next regular poll yields the message."""
    async with session_on(fleet) as session:
        messages, stream = session.project(fleet.project_id).messages, session.stream()
        rare = {**PATIENT, "pace": FollowPace(fastest=0.2, slowest=0.2)}
        async with stream, aclosing(messages.follow_many(doorbell=stream, **rare)) as follow:
            waiting = asyncio.ensure_future(take(follow, 1))
            await fleet.until_streams(1)
            await started(fleet)
            fleet.lose_frames(1)
            send(fleet, 0, 1)
            assert (await waiting)[0] == [1]
        assert stream.stats.messages == 0


async def test_a_doorbell_that_never_waits_blocks_nothing(
    fleet: Emulator, messages: Messages
) -> None:
    """A doorbell that rings without end does not block the event loop."""

    async def always() -> None:
        """Ready at once."""

    async with aclosing(messages.follow(fleet.device_ids[0], doorbell=always, **QUICK)) as follow:
        waiting = asyncio.ensure_future(take(follow, 1))
        await fleet.until_requests(2, route="paginated")
        send(fleet, 0, 1)
        assert (await waiting)[0] == [1]


@pytest.mark.parametrize("seed", range(3))
def test_each_message_comes_once_in_order_whatever_fails(seed: int) -> None:
    """With ties, identical rows, faults, wake-ups and restarts, each row comes once, in order."""

    async def main() -> None:
        chance = random.Random(seed)
        async with Emulator(devices=3, messages=0) as fleet, session_on(fleet) as session:
            messages, bell = session.project(fleet.project_id).messages, Doorbell()
            fleet.clock.pin()
            start = fleet.clock.now()
            found: dict[str, list[tuple[Any, str]]] = {each: [] for each in fleet.device_ids}
            cursors: dict[str, Cursor] = {}
            for _ in range(5):
                # A follower assumes that the server's clock runs, up to a second beyond `Date`.
                fleet.clock.advance(1)
                follow = messages.follow_many(start=start, cursors=cursors, doorbell=bell, **QUICK)
                async with aclosing(follow), asyncio.timeout(120):
                    for _ in range(5):
                        device = chance.choice(fleet.device_ids)
                        rows = [{"payload": chance.randrange(3)}] * chance.choice((1, 2, 3, 120))
                        fleet.append(device, rows)
                        fleet.clock.advance(chance.choice((0.0, 0.001, 0.5)))
                    if chance.random() < 0.7:
                        fleet.fault(
                            "status", route="paginated", status=503, count=chance.randrange(9)
                        )
                    bell.ring(chance.choice((None, *fleet.device_ids)))
                    fleet.clock.advance(1)  # what follows lies in a later millisecond
                    due = sum(len(fleet.stored(each)) for each in fleet.device_ids)
                    while sum(map(len, found.values())) < due:
                        batch = await anext(follow)
                        found[batch.cursor.device_id] += [
                            (message.timestamp, message.payload_json.decode())
                            for message in batch.messages
                        ]
                        cursors[batch.cursor.device_id] = batch.cursor
            for device, came in found.items():
                stored = [(row["timestamp"], row["payload_json"]) for row in fleet.stored(device)]
                assert [time for time, _ in came] == [time for time, _ in stored]
                assert Counter(came) == Counter(stored)

    run_virtual(main, listens=True)


def test_a_failing_service_delays_and_loses_nothing() -> None:
    """A fault that outlasts the retries of a call delays messages, and loses none."""

    async def main() -> None:
        async with Emulator(devices=2, messages=0) as fleet, session_on(fleet) as session:
            messages = session.project(fleet.project_id).messages
            async with aclosing(messages.follow(fleet.device_ids[0], **QUICK)) as follow:
                waiting = asyncio.ensure_future(take(follow, 3, within=600))
                await fleet.until_requests(2, route="paginated")
                fleet.fault("status", route="paginated", status=503, count=19)
                send(fleet, 0, 1, 2, 3)
                assert (await waiting)[0] == [1, 2, 3]

    run_virtual(main, listens=True)


async def test_a_key_that_is_refused_ends_it(fleet: Emulator) -> None:
    """An error that does not pass by itself is raised to the consumer."""
    config = Config(base_url=fleet.base_url)
    async with IottlySession("wrong", config=config, limiter=RateLimiter()) as session:
        messages = session.project(fleet.project_id).messages
        with pytest.raises(UnauthorizedError):
            await anext(messages.follow(fleet.device_ids[0]))


async def test_one_budget_for_all_devices() -> None:
    """Polls are spread over the window of the quota, and none is refused."""
    async with Emulator(devices=10, messages=0, rate_limit=15, rate_window=0.5) as fleet:
        async with session_on(fleet) as session:
            messages = session.project(fleet.project_id).messages
            async with aclosing(messages.follow_many(**QUICK)) as follow:
                waiting = asyncio.ensure_future(anext(follow))
                await fleet.until_requests(35)
                fleet.append(fleet.device_ids[3], 1)
                await waiting
        assert not [request for request in fleet.requests if request.status == 429]


async def test_closing_the_session_ends_it(fleet: Emulator) -> None:
    """A consumer that waits for a batch gets `SessionClosedError`, also between two polls."""
    session = session_on(fleet)
    follow = session.project(fleet.project_id).messages.follow(fleet.device_ids[0], **PATIENT)
    waiting = asyncio.ensure_future(anext(follow))
    await fleet.until_requests(1, route="paginated")
    async with asyncio.timeout(5):
        await session.aclose(grace=60)
    with pytest.raises(SessionClosedError):
        await waiting


async def test_cancelling_at_once(messages: Messages, fleet: Emulator) -> None:
    """A follower that is cancelled before its first poll leaves no task behind."""
    follow = messages.follow_many(**QUICK)
    waiting = asyncio.ensure_future(anext(follow))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await follow.aclose()
    assert len(fleet.requests) == 0


def new_tasks(before: set[asyncio.Task[Any]]) -> set[asyncio.Task[Any]]:
    """The tasks of followers that are new since `before`."""
    rooms = ("iottly_async/follow/", "iottly_async/pipeline/")
    new = asyncio.all_tasks() - before
    return {task for task in new if any(room in repr(task) for room in rooms)}


async def test_following_that_is_dropped_ends(fleet: Emulator, messages: Messages) -> None:
    """A follower that is left by `break` and never closed stops polling."""
    before = asyncio.all_tasks()

    async def first() -> int:
        async for batch in messages.follow_many(start=fleet.clock.now(), **QUICK):
            return len(batch.messages)
        return 0

    waiting = asyncio.ensure_future(first())
    await fleet.until_requests(2)
    send(fleet, 0, 1)
    assert await waiting == 1
    async with asyncio.timeout(10):
        while new_tasks(before):  # noqa: ASYNC110 - nothing tells when they end
            await asyncio.sleep(0)


async def test_closing_leaves_no_task(fleet: Emulator, messages: Messages) -> None:
    """Closing the generator ends every poll."""
    before = asyncio.all_tasks()
    async with aclosing(messages.follow_many(start=fleet.clock.now(), **QUICK)) as follow:
        send(fleet, 0, 1)
        await take(follow, 1)
    assert not new_tasks(before)


@pytest.mark.parametrize(
    "wrong",
    [
        {"device_ids": []},
        {"device_ids": "one"},
        {"device_ids": [".."]},
        {"doorbell": 5},
        {"pace": 5},
        {"settle": -1},
        {"concurrency": 0},
        {"type": "other"},
    ],
)
async def test_what_is_refused(messages: Messages, wrong: dict[str, Any]) -> None:
    """Wrong arguments are refused by the call itself."""
    with pytest.raises(ConfigurationError):
        messages.follow_many(**wrong)


async def test_a_cursor_of_another_device_is_refused(fleet: Emulator, messages: Messages) -> None:
    """A cursor is checked before anything is sent."""
    start = fleet.clock.now() - timedelta(minutes=1)
    send(fleet, 0, 1)
    async with aclosing(messages.follow(fleet.device_ids[0], start=start, **QUICK)) as follow:
        _, cursors = await take(follow, 1)
    with pytest.raises(CursorMismatchError, match="device_id"):
        messages.follow(fleet.device_ids[1], cursor=cursors[fleet.device_ids[0]])
