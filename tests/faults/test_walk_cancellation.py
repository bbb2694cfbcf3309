"""Cancelling and leaving generators: walks, parallel walks, devices, streams."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from contextlib import aclosing
from datetime import UTC, datetime
from typing import Any

import pytest

from iottly_async import Config, IottlySession, RateLimiter
from iottly_async.emulator import EmulatorThread
from tests.support.leaks import tasks, until
from tests.support.scale import sized
from tests.support.stepping import MOMENTS, Cut, Moment, Stepped, cuts

Walk = Callable[[IottlySession, str, str], AsyncGenerator[Any, None]]

MESSAGES = 450


@pytest.fixture(scope="module")
def fleet() -> Iterator[EmulatorThread]:
    """An emulator in another thread, so that this loop has no task of it."""
    with EmulatorThread(devices=2, messages=MESSAGES) as emulator:
        yield emulator


@pytest.fixture
async def session(fleet: EmulatorThread) -> AsyncIterator[IottlySession]:
    """A session with few connections, on that emulator."""
    config = Config(base_url=fleet.base_url, max_connections=3)
    async with IottlySession(fleet.api_key, config=config, limiter=RateLimiter()) as session:
        yield session


def walk_one(session: IottlySession, project: str, device: str) -> AsyncGenerator[Any, None]:
    """Walk messages, one request after another."""
    return session.project(project).messages.walk(device)


def walk_down(session: IottlySession, project: str, device: str) -> AsyncGenerator[Any, None]:
    """Walk batches, newest first."""
    return session.project(project).messages.batches(device, order="desc")


def walk_in_order(session: IottlySession, project: str, device: str) -> AsyncGenerator[Any, None]:
    """Walk messages in order, three requests at once."""
    return session.project(project).messages.walk(device, concurrency=3)


def walk_unordered(session: IottlySession, project: str, device: str) -> AsyncGenerator[Any, None]:
    """Walk messages in any order, three requests at once."""
    return session.project(project).messages.walk(device, concurrency=3, ordered=False)


def walk_all(session: IottlySession, project: str, _: str) -> AsyncGenerator[Any, None]:
    """Walk the messages of all devices, three requests at once."""
    return session.project(project).messages.walk_many(concurrency=3)


def batches_of_all(session: IottlySession, project: str, _: str) -> AsyncGenerator[Any, None]:
    """Walk the batches of all devices, in order, three requests at once."""
    return session.project(project).messages.batches_many(concurrency=3)


def columns(session: IottlySession, project: str, device: str) -> AsyncGenerator[Any, None]:
    """Walk Arrow columns, newest first."""
    return session.project(project).messages.arrow(device, order="desc")


def columns_of_all(session: IottlySession, project: str, _: str) -> AsyncGenerator[Any, None]:
    """Walk the Arrow columns of all devices, three requests at once."""
    return session.project(project).messages.arrow_many(concurrency=3)


def devices(session: IottlySession, _: str, __: str) -> AsyncGenerator[Any, None]:
    """List the fleet's devices, one a page."""
    return session.devices.list(per_page=1)


async def followed(session: IottlySession, project: str, device: str) -> AsyncGenerator[Any, None]:
    """Follow a device from its first message."""
    messages = session.project(project).messages
    async with aclosing(messages.follow(device, start=BEGINNING)) as batches:
        async for batch in batches:
            yield batch
            if sum(1 for _ in batch.messages) < 100:
                return


async def all_followed(session: IottlySession, project: str, _: str) -> AsyncGenerator[Any, None]:
    """Follow all devices from their first message."""
    messages = session.project(project).messages
    count = 0
    async with aclosing(messages.follow_many(start=BEGINNING)) as batches:
        async for batch in batches:
            yield batch
            count += len(batch.messages)
            if count == MESSAGES:
                return


async def streamed(session: IottlySession, project: str, _: str) -> AsyncGenerator[Any, None]:
    """Read a stream that begins with a gap to be filled."""
    async with session.stream(
        project_id=project, since=BEGINNING, fill_gaps=True, settle=0
    ) as stream:
        count = 0
        async for event in stream:
            yield event
            count += 1
            if count == 50:
                return


BEGINNING = datetime(2020, 1, 1, tzinfo=UTC)
WALKS = (
    walk_one,
    walk_down,
    walk_in_order,
    walk_unordered,
    walk_all,
    batches_of_all,
    columns,
    columns_of_all,
    devices,
    followed,
    all_followed,
    streamed,
)
each_walk = pytest.mark.parametrize("walk", WALKS, ids=lambda walk: walk.__name__)


async def assert_whole(session: IottlySession, tasks_before: set[Any]) -> None:
    """Assert that no task of a walk is left, and that no permit and no connection is held."""
    await until(lambda: tasks() <= tasks_before, "the end of all tasks")
    quota = session.quota
    assert (quota.in_flight, quota.waiting) == (0, 0)
    async with asyncio.timeout(10):
        await asyncio.gather(*(session.ping() for _ in range(5)))


@pytest.mark.parametrize("moment", MOMENTS)
@each_walk
async def test_a_walk_is_cancelled_at_any_wait(
    walk: Walk, moment: Moment, fleet: EmulatorThread, session: IottlySession
) -> None:
    """If the consumer is cancelled at any wait, the walk's own tasks end."""
    before = tasks()

    async def consume() -> int:
        count = 0
        async for _ in walk(session, fleet.project_id, fleet.device_ids[0]):
            count += 1
        return count

    for cut in sample(moment):
        if await Stepped(consume(), cut).ended_by_itself():
            break
        await assert_whole(session, before)


def sample(moment: Moment) -> Iterator[Cut]:
    """Choose every wait in a long run; else the first ones, and then fewer and fewer."""
    step = sized(1, 0)
    for cut in cuts(moment):
        if step or cut.wait <= 12 or cut.wait % (cut.wait // 6) == 0:
            yield cut


@each_walk
async def test_a_walk_is_left_by_break(
    walk: Walk, fleet: EmulatorThread, session: IottlySession
) -> None:
    """`break` and closing the generator end its requests."""
    before = tasks()
    found = walk(session, fleet.project_id, fleet.device_ids[0])
    async for _ in found:
        break
    await found.aclose()
    await assert_whole(session, before)


@each_walk
async def test_a_walk_is_dropped(walk: Walk, fleet: EmulatorThread, session: IottlySession) -> None:
    """The loop closes a generator that is neither read to its end nor closed."""
    before = tasks()
    async for _ in walk(session, fleet.project_id, fleet.device_ids[0]):
        break
    gc.collect()
    await assert_whole(session, before)


@each_walk
async def test_a_walk_is_never_begun(
    walk: Walk, fleet: EmulatorThread, session: IottlySession
) -> None:
    """A generator that is never iterated over sends nothing and leaves nothing."""
    before, requests = tasks(), len(fleet.requests)
    walk(session, fleet.project_id, fleet.device_ids[0])
    gc.collect()
    assert len(fleet.requests) == requests
    await assert_whole(session, before)


@each_walk
async def test_an_error_of_the_consumers_ends_the_walk(
    walk: Walk, fleet: EmulatorThread, session: IottlySession
) -> None:
    """An error of the consumer is raised as it is, and the walk's requests end."""
    before = tasks()

    async def consume() -> None:
        async for _ in walk(session, fleet.project_id, fleet.device_ids[0]):
            raise KeyError("the consumer's own")

    with pytest.raises(KeyError):
        await consume()
    gc.collect()
    await assert_whole(session, before)
