"""The stream against the emulator: connections end in every way, and no message is lost."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from contextlib import aclosing
from typing import Any

import pytest

from iottly_async import (
    BadRequestError,
    Config,
    ForbiddenError,
    Gap,
    IottlySession,
    Message,
    NotFoundError,
    RateLimiter,
    SessionClosedError,
    Stream,
    UnauthorizedError,
    UnexpectedRedirectError,
)
from iottly_async.emulator import Emulator

from ..support.stepping import MOMENTS, Moment, Stepped, cuts
from .helpers import QUICK, numbers, send, session_on, take, until


async def test_messages_come_once_and_in_order(fleet: Emulator, live: IottlySession) -> None:
    """The messages of all devices come as they are appended, with all their fields."""
    async with live.stream() as stream:
        await stream.until_connected()
        send(fleet, 0, 1, 2)
        send(fleet, 1, 3)
        events = aiter(stream)
        first = await anext(events)
        assert isinstance(first, Message)
        (stored, _) = fleet.stored(fleet.device_ids[0])
        assert (first.device_id, first.timestamp) == (stored["device_id"], stored["timestamp"])
        assert first.payload_json.decode() == stored["payload_json"]
        assert await take(events, 2) == [2, 3]


async def test_a_stream_can_be_limited_to_some_devices_and_one_type(
    fleet: Emulator, live: IottlySession
) -> None:
    """Messages of other devices and of other types do not come."""
    async with live.stream(devices=[fleet.device_ids[1]], type="iottlyagent") as stream:
        await stream.until_connected()
        fleet.append(fleet.device_ids[0], [{"type": "iottlyagent", "payload": {"n": 1}}])
        send(fleet, 1, 2)
        fleet.append(fleet.device_ids[1], [{"type": "iottlyagent", "payload": {"n": 3}}])
        assert await take(aiter(stream), 1) == [3]


CODES = [None, *range(1000, 1004), 1007, 1008, *range(1009, 1015), 3000, 4000, 4400, 4999]


@pytest.mark.parametrize("code", CODES)
async def test_a_stream_reconnects_after_every_close_code(
    fleet: Emulator, live: IottlySession, code: int | None
) -> None:
    """After a reset or a close code messages come again, and a gap is reported."""
    async with live.stream() as stream:
        events = aiter(stream)
        await stream.until_connected()
        send(fleet, 0, 1)
        assert await take(events, 1) == [1]
        fleet.drop_streams(code)
        send(fleet, 0, 2)
        await fleet.until_streams(2)
        send(fleet, 0, 3)
        gap, after = await take(events, 2)
        lost = fleet.stored(fleet.device_ids[0])[1]["timestamp"]
        assert isinstance(gap, Gap)
        assert gap.start is not None
        assert gap.end is not None
        assert gap.start <= lost <= gap.end
        assert (gap.reason, gap.filled, after) == ("reconnect", False, 3)


async def test_a_silent_connection_is_closed(fleet: Emulator, live: IottlySession) -> None:
    """If the promised heartbeats do not come, the stream reconnects and fills the gap."""
    fleet.set_stream_heartbeat(0.02)
    async with live.stream(project_id=fleet.project_id, fill_gaps=True) as stream:
        await stream.until_connected()
        fleet.stall_streams()
        send(fleet, 0, 1)
        await fleet.until_streams(2)
        assert (await take(aiter(stream), 2))[1] == 1


async def test_a_subscription_that_is_too_large_ends_the_stream(live: IottlySession) -> None:
    """The error says to name fewer devices."""
    async with live.stream(devices=[f"{n:0>90}" for n in range(20_000)]) as stream:
        with pytest.raises(BadRequestError, match="fewer devices"):
            await stream.until_connected()


async def test_lost_frames_are_a_gap(fleet: Emulator, live: IottlySession) -> None:
    """Messages whose numbers never come are reported as a gap, and the gap is filled."""
    fleet.set_stream_heartbeat(0.02)
    async with live.stream(project_id=fleet.project_id, fill_gaps=True) as stream:
        await stream.until_connected()
        fleet.lose_frames(2)
        send(fleet, 0, 1, 2, 3)
        gap, *messages = await take(aiter(stream), 4)
        assert (gap.reason, gap.missed, messages) == ("lost", 2, [1, 2, 3])


async def test_a_heartbeat_shows_that_the_last_message_was_lost(
    fleet: Emulator, live: IottlySession
) -> None:
    """The loss is found although no later message comes."""
    fleet.set_stream_heartbeat(0.02)
    async with live.stream(project_id=fleet.project_id, fill_gaps=True) as stream:
        await stream.until_connected()
        fleet.lose_frames(1)
        send(fleet, 0, 1)
        gap, message = await take(aiter(stream), 2)
        assert (gap.reason, message) == ("lost", 1)


async def test_reordered_frames_are_put_into_order(fleet: Emulator, live: IottlySession) -> None:
    """Messages come in the order of their numbers, and there is no gap."""
    async with live.stream() as stream:
        await stream.until_connected()
        fleet.reverse_frames(5)
        send(fleet, 0, 1, 2, 3, 4, 5)
        assert await take(aiter(stream), 5) == [1, 2, 3, 4, 5]


async def test_an_outage_delays_the_stream_and_does_not_end_it(
    fleet: Emulator, live: IottlySession
) -> None:
    """503, resets and 500 during connecting and backfilling are retried."""
    async with live.stream(project_id=fleet.project_id, fill_gaps=True) as stream:
        events = aiter(stream)
        await stream.until_connected()
        fleet.fault("status", route="stream", status=503, count=3)
        fleet.fault("reset", route="stream", count=2)
        fleet.fault("status", route="paginated", status=500, count=7)
        fleet.drop_streams()
        send(fleet, 0, 1)
        assert (await take(events, 2))[1] == 1


async def test_a_key_that_is_not_accepted_ends_the_stream(fleet: Emulator) -> None:
    """After a 401 there is no second attempt."""
    config = Config(base_url=fleet.base_url, retry=QUICK)
    async with (
        IottlySession("wrong", config=config, limiter=RateLimiter()) as session,
        session.stream() as stream,
    ):
        with pytest.raises(UnauthorizedError) as refused:
            await anext(aiter(stream))
        assert (refused.value.code, len(fleet.requests)) == ("unauthorized", 1)


@pytest.mark.parametrize(("code", "error"), [(4401, UnauthorizedError), (4403, ForbiddenError)])
async def test_a_revoked_key_ends_the_stream(
    fleet: Emulator, live: IottlySession, code: int, error: type[Exception]
) -> None:
    """Close codes 4401 and 4403 end it, after the messages that came before."""
    async with live.stream() as stream:
        await stream.until_connected()
        send(fleet, 0, 1)
        await until(lambda: stream.stats.messages)
        fleet.drop_streams(code)
        events = aiter(stream)
        assert await take(events, 1) == [1]
        with pytest.raises(error):
            await anext(events)


@pytest.mark.parametrize(
    ("status", "error"),
    [(403, ForbiddenError), (404, NotFoundError), (302, UnexpectedRedirectError)],
)
async def test_a_refusal_ends_the_stream(
    fleet: Emulator, live: IottlySession, status: int, error: type[Exception]
) -> None:
    """403, 404 and a redirect, which is not followed (D12), end it after one attempt."""
    fleet.fault("status", route="stream", status=status, headers={"Location": "/v1/elsewhere"})
    async with live.stream() as stream:
        with pytest.raises(error):
            await stream.until_connected()
    assert len(fleet.requests) == 1


async def test_a_slow_consumer_loses_no_message(fleet: Emulator, live: IottlySession) -> None:
    """With "wait", a full buffer stops reading, and nothing is dropped."""
    async with live.stream(buffer=2) as stream:
        await stream.until_connected()
        send(fleet, 0, *range(50))
        await asyncio.sleep(0)
        assert await take(aiter(stream), 50) == list(range(50))
        assert stream.stats.gaps == 0


async def test_dropped_messages_are_reported_as_one_gap(
    fleet: Emulator, live: IottlySession
) -> None:
    """With "drop_oldest" the newest messages are kept; the gap has the bounds of the others."""
    async with live.stream(buffer=2, overflow="drop_oldest") as stream:
        await stream.until_connected()
        send(fleet, 0, *range(10))
        await until(lambda: stream.stats.messages == 10)
        gap, *messages = await take(aiter(stream), 3)
        stored = fleet.stored(fleet.device_ids[0])
        assert (gap.reason, gap.missed) == ("overflow", 8)
        assert (gap.start, gap.end) == (stored[0]["timestamp"], stored[7]["timestamp"])
        assert messages == [8, 9]


async def test_closing_the_session_ends_its_streams(fleet: Emulator) -> None:
    """A waiting consumer gets `SessionClosedError` at once, also with a grace period."""
    session = session_on(fleet)
    stream = session.stream()
    await stream.until_connected()
    waiting = asyncio.ensure_future(anext(aiter(stream)))
    await asyncio.sleep(0)
    async with asyncio.timeout(5):
        await session.aclose(grace=60)
    with pytest.raises(SessionClosedError):
        await waiting
    await stream.aclose()


async def test_closing_a_stream_ends_the_iteration(fleet: Emulator, live: IottlySession) -> None:
    """The messages in the buffer are yielded, and then the iteration ends."""
    async with live.stream() as stream:
        await stream.until_connected()
        send(fleet, 0, 1)
        await until(lambda: stream.stats.messages)
    found = [event async for event in stream.messages()]
    assert [message.payload["n"] for message in found] == [1]


async def test_a_stream_can_be_closed_at_once(live: IottlySession) -> None:
    """A stream that is closed before it connects leaves no coroutine unawaited."""
    async with live.stream() as stream:
        pass
    assert [event async for event in stream] == []


def stream_tasks(before: set[asyncio.Task[Any]]) -> list[asyncio.Task[Any]]:
    """The supervisors' tasks that were not there before."""
    new = asyncio.all_tasks() - before
    return [task for task in new if "Pipeline.hold" in repr(task)]


async def test_iterating_opens_and_closes_the_stream(fleet: Emulator, live: IottlySession) -> None:
    """Without `async with`, the stream is open as long as the iteration."""
    before = asyncio.all_tasks()
    events = aiter(live.stream())
    waiting = asyncio.ensure_future(anext(events))
    await fleet.until_streams(1)
    send(fleet, 0, 1)
    assert isinstance(await waiting, Message)
    assert len(stream_tasks(before)) == 1
    await events.aclose()
    assert not stream_tasks(before)


async def test_an_abandoned_iteration_closes_its_stream(
    fleet: Emulator, live: IottlySession
) -> None:
    """An iteration that is left by `return` and not closed keeps no connection and no task."""
    before = asyncio.all_tasks()
    waiting = asyncio.ensure_future(first_of(live.stream()))
    await fleet.until_streams(1)
    send(fleet, 0, 1)
    assert await waiting == {"n": 1}
    await until(lambda: fleet.streams == 0)
    assert not stream_tasks(before)


async def first_of(stream: Stream) -> Any:
    """The payload of the first message; the iteration is not closed."""
    async for message in stream.messages():
        return message.payload
    return None


@pytest.mark.parametrize("moment", MOMENTS)
async def test_a_consumer_cancelled_anywhere_loses_nothing(
    fleet: Emulator, live: IottlySession, moment: Moment
) -> None:
    """A consumer is cancelled at each of its awaits, also during a backfill; the next iteration
    continues after the last message."""
    fleet.clock.pin()
    async with live.stream(project_id=fleet.project_id, fill_gaps=True) as stream:
        for attempt, cut in enumerate(cuts(moment)):
            await fleet.until_streams(attempt + 1)
            await stream.until_connected()
            fleet.drop_streams()
            send(fleet, 0, 1, 2)
            send(fleet, 1, 3)
            await fleet.until_streams(attempt + 2)
            send(fleet, 0, 4)
            found: list[int] = []
            whole = await Stepped(numbers_of(stream, found, 4), cut).ended_by_itself()
            if not whole:
                await numbers_of(stream, found, 4 - len(found))
            assert [n for n in found if n != 3] == [1, 2, 4]
            assert len(found) == 4
            if whole:
                assert attempt > 0  # how often it waits depends on what has arrived by then
                return


async def numbers_of(stream: Stream, found: list[int], count: int) -> None:
    """Append the numbers of the next messages to `found`."""
    async with asyncio.timeout(10), aclosing(stream.messages()) as messages:
        for _ in range(count):
            found.append((await anext(messages)).payload["n"])  # noqa: PERF401 - it may be cancelled


@pytest.mark.parametrize("seed", range(3))
async def test_every_message_comes_once_under_random_faults(seed: int) -> None:
    """Under drops, reordering, late rows and identical rows, the emulator's messages come."""
    rng = random.Random(seed)
    async with Emulator(devices=2, messages=0) as fleet, session_on(fleet) as session:
        fleet.clock.pin()
        stream = session.stream(project_id=fleet.project_id, fill_gaps=True, lookback=5)
        async with stream, aclosing(stream.messages()) as messages:
            await stream.until_connected()
            for attempt in range(20):
                for _ in range(rng.randrange(6)):
                    rows = numbers(*[rng.randrange(4)] * rng.choice((1, 1, 2)))
                    late = rng.choice((0.0, 0.0, 0.003))
                    fleet.append(rng.choice(fleet.device_ids), rows, late_by=late)
                    fleet.clock.advance(rng.choice((0.0, 0.001, 0.002)))
                if rng.random() < 0.3:
                    fleet.reverse_frames(2)
                fleet.drop_streams(rng.choice((None, None, 1001, 1012)))
                fleet.clock.advance(0.01)
                await fleet.until_streams(attempt + 2)
                fleet.clock.advance(0.01)
            stored = Counter(
                (row["device_id"], row["timestamp"], row["payload_json"])
                for device_id in fleet.device_ids
                for row in fleet.stored(device_id)
            )
            found: Counter[tuple[Any, ...]] = Counter()
            async with asyncio.timeout(20):
                while found != stored:
                    message = await anext(messages)
                    found[message.device_id, message.timestamp, message.payload_json.decode()] += 1
                    assert found <= stored
