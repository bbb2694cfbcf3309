"""Walks end to end, compared row by row with the emulator's own store."""

from __future__ import annotations

import asyncio
import inspect
from collections import Counter
from collections.abc import AsyncGenerator, Iterable
from datetime import timedelta
from typing import Any, get_type_hints

import pytest
from attrs import evolve

from iottly_async import (
    Config,
    Cursor,
    CursorMismatchError,
    IottlySession,
    Message,
    MessageBatch,
    RateLimiter,
)
from iottly_async.emulator import Emulator
from iottly_async.resources.walks import Walks

Row = tuple[Any, ...]


def session_on(emulator: Emulator, **settings: Any) -> IottlySession:
    """A session on an emulator, with a limiter of its own."""
    config = Config(base_url=emulator.base_url, **settings)
    return IottlySession(emulator.api_key, config=config, limiter=RateLimiter())


def walked(messages: Iterable[Message]) -> list[Row]:
    """The messages of a walk as rows to compare."""
    return [
        (m.timestamp, m.device_timestamp, m.type, m.channel, m.payload_json.decode())
        for m in messages
    ]


def stored(emulator: Emulator, device_id: str, **selection: Any) -> list[Row]:
    """The emulator's messages as rows to compare, oldest first."""
    return [
        (
            row["timestamp"],
            row["devicetimestamp"],
            row["type"],
            row["channel"],
            row["payload_json"],
        )
        for row in emulator.stored(device_id, **selection)
    ]


def assert_same(found: list[Row], truth: list[Row], *, order: str) -> None:
    """Assert that both have the same rows, in the order asked for; ties in any order (D6)."""
    assert Counter(found) == Counter(truth)
    times = [row[0] for row in found]
    assert times == sorted(times, reverse=order == "desc")


@pytest.mark.parametrize("order", ["asc", "desc"])
@pytest.mark.parametrize("kind", ["all", "userdefined", "iottlyagent"])
async def test_every_message_of_a_range_once(order: Any, kind: Any) -> None:
    """Walks in both orders and of each type yield the emulator's rows, in few requests."""
    async with Emulator(devices=3, messages=6000) as emulator, session_on(emulator) as session:
        messages = session.project(emulator.project_id).messages
        for device_id in emulator.device_ids:
            before = len(emulator.requests)
            found = [m async for m in messages.walk(device_id, type=kind, order=order)]
            truth = stored(emulator, device_id, type=kind)
            assert_same(walked(found), truth, order=order)
            assert len({m.key for m in found}) == len(truth)
            assert len(emulator.requests) - before <= 1.03 * len(truth) / 100 + 2


@pytest.mark.parametrize("form", ["iso", "iso-z", "epoch-ms", "epoch-s"])
async def test_a_walk_asks_in_the_form_that_is_set(form: Any) -> None:
    """A time in each form of the setting is the same instant, to the millisecond (D2)."""
    async with (
        Emulator(devices=1, messages=700) as emulator,
        session_on(emulator, timestamp_format=form) as session,
    ):
        device_id = emulator.device_ids[0]
        messages = session.project(emulator.project_id).messages
        found = [m async for m in messages.walk(device_id)]
        assert_same(walked(found), stored(emulator, device_id), order="asc")


async def test_a_walk_that_is_left_early_is_no_failure() -> None:
    """The page that is under way is cancelled, and its error is not raised."""
    async with Emulator(devices=1, messages=700) as emulator, session_on(emulator) as session:
        walk = session.project(emulator.project_id).messages.walk(emulator.device_ids[0])
        await anext(walk)
        await emulator.until_requests(2)
        await walk.aclose()
        assert session.stats.failures == 0


async def test_identical_messages_of_a_millisecond_are_all_there() -> None:
    """Identical rows are all yielded, each with its own key."""
    async with Emulator(devices=1, messages=0) as emulator, session_on(emulator) as session:
        device_id = emulator.device_ids[0]
        emulator.clock.pin()
        emulator.append(device_id, messages=[{"payload": {"n": 1}}] * 7 + [{"payload": {"n": 2}}])
        emulator.clock.advance(60)
        messages = session.project(emulator.project_id).messages
        found = [m async for m in messages.walk(device_id)]
        assert Counter(m.payload["n"] for m in found) == {1: 7, 2: 1}
        assert len({m.key for m in found}) == 8
        down = [m async for m in messages.walk(device_id, order="desc")]
        assert [m.key for m in down] == [m.key for m in reversed(found)]


@pytest.mark.parametrize("size", [99, 100, 101, 250])
@pytest.mark.parametrize("order", ["asc", "desc"])
async def test_a_millisecond_of_many_messages_is_handed_out_whole(size: int, order: Any) -> None:
    """A millisecond larger than a page is read by page numbers, and is one batch."""
    async with Emulator(devices=1, messages=500) as emulator, session_on(emulator) as session:
        device_id = emulator.device_ids[0]
        emulator.clock.pin()
        emulator.append(device_id, messages=[{"payload": {"n": n}} for n in range(size)])
        emulator.clock.advance(60)
        emulator.append(device_id, messages=3)
        emulator.clock.advance(60)
        batches = session.project(emulator.project_id).messages.batches(device_id, order=order)
        found = [batch.messages async for batch in batches]
        assert_same(
            walked(m for messages in found for m in messages),
            stored(emulator, device_id),
            order=order,
        )
        times = [{m.timestamp for m in messages} for messages in found]
        assert sum(map(len, times)) == len(set().union(*times))


@pytest.mark.parametrize("order", ["asc", "desc"])
async def test_messages_that_arrive_meanwhile_shift_nothing(order: Any) -> None:
    """While the device sends, the walk yields its pinned range completely, each row once."""
    async with Emulator(devices=1, messages=3000) as emulator, session_on(emulator) as session:
        device_id = emulator.device_ids[0]
        messages = session.project(emulator.project_id).messages
        found: list[Message] = []
        end = None
        async for batch in messages.batches(device_id, order=order):
            emulator.append(device_id, messages=17)
            found += batch.messages
            end = batch.cursor.pinned_end
        truth = [row for row in stored(emulator, device_id) if row[0].timestamp() * 1000 < end]
        assert_same(walked(found), truth, order=order)
        assert len(emulator.stored(device_id)) > len(found)


@pytest.mark.parametrize("order", ["asc", "desc"])
async def test_a_walk_goes_on_from_any_of_its_cursors(order: Any) -> None:
    """After a stop at any batch and a resume from JSON no row is lost or repeated."""
    async with Emulator(devices=1, messages=900) as emulator, session_on(emulator) as session:
        device_id = emulator.device_ids[0]
        messages = session.project(emulator.project_id).messages
        found: list[Message] = []
        cursor: Cursor | None = None
        while cursor is None or not cursor.finished:
            walk = messages.batches(device_id, order=order, cursor=cursor)
            async for batch in walk:
                found += batch.messages
                cursor = Cursor.from_json(batch.cursor.to_json())
                break
            await walk.aclose()
        assert_same(walked(found), stored(emulator, device_id), order=order)
        assert cursor.count == len(found)


async def test_a_range_is_inclusive_at_its_start_and_exclusive_at_its_end() -> None:
    """A range includes the message at its start, and excludes the one at its end."""
    async with Emulator(devices=1, messages=1000) as emulator, session_on(emulator) as session:
        device_id = emulator.device_ids[0]
        truth = stored(emulator, device_id)
        start, end = truth[150][0], truth[790][0]
        messages = session.project(emulator.project_id).messages
        found = [m async for m in messages.walk(device_id, start=start, end=end)]
        assert_same(walked(found), [r for r in truth if start <= r[0] < end], order="asc")


async def test_a_cursor_of_another_query_is_refused() -> None:
    """The error names what differs."""
    async with Emulator(devices=1, messages=500) as emulator, session_on(emulator) as session:
        messages = session.project(emulator.project_id).messages
        async for batch in messages.batches(emulator.device_ids[0]):
            with pytest.raises(CursorMismatchError, match="type is 'all' in the cursor"):
                messages.batches(emulator.device_ids[0], type="iottlyagent", cursor=batch.cursor)


async def test_a_made_up_cursor_costs_few_requests() -> None:
    """Each interval costs a request. More of them than a walk can leave are refused by the call
    itself; what a walk can leave is walked."""
    async with Emulator(devices=1, messages=1000) as emulator, session_on(emulator) as session:
        messages = session.project(emulator.project_id).messages
        (device_id,) = emulator.device_ids
        async for batch in messages.batches(device_id):
            cursor = evolve(batch.cursor, remaining=())
        seen = len(emulator.requests)

        def with_intervals(number: int) -> Cursor:
            """A cursor with so many intervals, all of them empty."""
            made_up = evolve(cursor, remaining=tuple((9 * n, 9 * n + 1) for n in range(number)))
            return Cursor.from_json(made_up.to_json())

        for concurrency, most in ((1, 6), (8, 27)):
            with pytest.raises(CursorMismatchError, match=f"leaves {most} at most"):
                messages.batches(
                    device_id, concurrency=concurrency, cursor=with_intervals(most + 1)
                )
        with pytest.raises(CursorMismatchError, match="has 2000 intervals"):
            await anext(messages.walk(device_id, cursor=with_intervals(2000)))
        with pytest.raises(CursorMismatchError, match="has 2000 intervals"):
            messages.follow(device_id, cursor=with_intervals(2000))
        assert len(emulator.requests) == seen
        assert [m async for m in messages.walk(device_id, cursor=with_intervals(6))] == []
        assert len(emulator.requests) <= seen + 8


async def test_a_walk_ends_settle_before_the_servers_now() -> None:
    """A walk ends by the server's clock (D11): one that is an hour ahead loses no message."""
    async with (
        Emulator(devices=1, messages=0, clock_offset=3600) as emulator,
        session_on(emulator, settle=5) as session,
    ):
        device_id = emulator.device_ids[0]
        emulator.append(device_id, messages=3)
        emulator.clock.advance(10)
        emulator.append(device_id, messages=4)
        messages = session.project(emulator.project_id).messages
        assert len([m async for m in messages.walk(device_id)]) == 3
        emulator.clock.advance(10)
        assert len([m async for m in messages.walk(device_id)]) == 7


async def test_a_device_without_messages_is_one_request() -> None:
    """A device without messages costs one request and is no error."""
    async with Emulator(devices=1, messages=0) as emulator, session_on(emulator) as session:
        messages = session.project(emulator.project_id).messages
        batches = [batch async for batch in messages.batches(emulator.device_ids[0])]
        assert sum(len(batch.messages) for batch in batches) == 0
        assert batches[-1].cursor.finished
        assert len(emulator.requests) == 1


async def test_leaving_a_walk_leaves_nothing_behind() -> None:
    """`break` cancels the request for the next page."""
    async with Emulator(devices=1, messages=2000) as emulator, session_on(emulator) as session:
        messages = session.project(emulator.project_id).messages
        walk = messages.walk(emulator.device_ids[0])
        async for _ in walk:
            break
        await walk.aclose()
        assert not [task for task in asyncio.all_tasks() if is_ours(task)]


def is_ours(task: asyncio.Task[Any]) -> bool:
    """Whether a task runs the library's code, not the emulator's or a test's."""
    code = getattr(task.get_coro(), "cr_code", None)
    path = getattr(code, "co_filename", "")
    return "iottly_async" in path and "emulator" not in path


async def test_the_quota_is_waited_for_not_run_into() -> None:
    """At a quota of 8 requests in 0.1 s a walk is never refused, and not slower than that."""
    async with (
        Emulator(devices=1, messages=4000, rate_limit=8, rate_window=1.0) as emulator,
        session_on(emulator, timeout=timedelta(seconds=0.9)) as session,
    ):
        device_id = emulator.device_ids[0]
        messages = session.project(emulator.project_id).messages
        end = emulator.stored(device_id)[2400]["timestamp"]
        found = [m async for m in messages.walk(device_id, end=end)]
        assert len(found) == len([r for r in stored(emulator, device_id) if r[0] < end])
        assert not [request for request in emulator.requests if request.status == 429]


@pytest.mark.parametrize("ordered", [True, False])
@pytest.mark.parametrize("order", ["asc", "desc"])
async def test_many_requests_at_once_lose_and_repeat_nothing(order: Any, ordered: bool) -> None:
    """A walk with eight requests at the same time, while messages arrive, yields the same range."""
    async with (
        Emulator(devices=1, messages=12_000, latency=0.002) as emulator,
        session_on(emulator) as session,
    ):
        device_id = emulator.device_ids[0]
        messages = session.project(emulator.project_id).messages
        found: list[Message] = []
        end = None
        async for batch in messages.batches(device_id, order=order, concurrency=8, ordered=ordered):
            emulator.append(device_id, messages=2)
            found += batch.messages
            end = batch.cursor.pinned_end
        truth = [row for row in stored(emulator, device_id) if row[0].timestamp() * 1000 < end]
        assert Counter(walked(found)) == Counter(truth)
        if ordered:
            assert_same(walked(found), truth, order=order)
        assert len(emulator.requests) <= 1.1 * len(truth) / 100 + 8


async def test_a_whole_project_is_walked_in_one_pool() -> None:
    """Each device's messages come once, and its last cursor is finished."""
    async with Emulator(devices=6, messages=6000) as emulator, session_on(emulator) as session:
        messages = session.project(emulator.project_id).messages
        found: dict[str, list[Message]] = {}
        cursors: dict[str, Cursor] = {}
        async for batch in messages.batches_many():
            found.setdefault(batch.cursor.device_id, []).extend(batch.messages)
            cursors[batch.cursor.device_id] = batch.cursor
        for device_id in emulator.device_ids:
            assert cursors[device_id].finished
            assert Counter(walked(found[device_id])) == Counter(stored(emulator, device_id))
        again = [m async for m in messages.walk_many(emulator.device_ids, cursors=cursors)]
        assert again == []


async def test_ties_are_proven_on_a_service_that_shuffles_them() -> None:
    """With `verify_ties`, 250 messages of one millisecond come once each, in any order."""
    async with (
        Emulator(devices=1, messages=0, unstable_ties=True) as emulator,
        session_on(emulator) as session,
    ):
        device_id = emulator.device_ids[0]
        emulator.clock.pin()
        emulator.append(device_id, messages=[{"payload": {"n": n // 2}} for n in range(250)])
        emulator.clock.advance(60)
        messages = session.project(emulator.project_id).messages
        found = [m async for m in messages.walk(device_id, verify_ties=True)]
        assert Counter(walked(found)) == Counter(stored(emulator, device_id))


async def test_a_late_message_is_handed_out_by_a_lookback() -> None:
    """A message that became visible late comes with the next walk, and none comes twice."""
    async with Emulator(devices=1, messages=0) as emulator, session_on(emulator) as session:
        device_id = emulator.device_ids[0]
        emulator.clock.pin()
        emulator.append(device_id, messages=5)
        emulator.append(device_id, messages=[{"payload": "late"}], late_by=30)
        emulator.clock.advance(20)
        messages = session.project(emulator.project_id).messages
        first = [b async for b in messages.batches(device_id, lookback=60)]
        emulator.clock.advance(60)
        cursor = Cursor.from_json(first[-1].cursor.to_json())
        later = [m async for m in messages.walk(device_id, lookback=60, cursor=cursor)]
        assert sum(len(batch.messages) for batch in first) == 5
        assert [m.payload for m in later] == ["late"]


@pytest.mark.parametrize(
    ("walk", "batches"),
    [(Walks.walk, Walks.batches), (Walks.walk_many, Walks.batches_many)],
    ids=["walk", "walk_many"],
)
def test_walk_takes_the_arguments_of_batches(walk: Any, batches: Any) -> None:
    """`walk` has the names, types and defaults of `batches`; only what it yields differs."""
    assert inspect.signature(walk).parameters == inspect.signature(batches).parameters
    taken, given = get_type_hints(walk), get_type_hints(batches)
    assert taken.pop("return") == AsyncGenerator[Message, None]
    assert given.pop("return") == AsyncGenerator[MessageBatch, None]
    assert taken == given
    assert walk.__qualname__.startswith("Walks.walk")
    assert inspect.isasyncgenfunction(walk)
