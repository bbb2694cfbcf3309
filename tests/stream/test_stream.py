"""The stream against the emulator: every way a connection can end, and nothing lost by it."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from typing import Any

import pytest

from iottly_async import (
    BadRequestError,
    CommandOutcomeUnknownError,
    Config,
    ConfigurationError,
    DeadlineExceededError,
    DeviceOfflineError,
    ForbiddenError,
    IottlySession,
    Message,
    NotFoundError,
    RateLimiter,
    RetryPolicy,
    SessionClosedError,
    Stream,
    UnauthorizedError,
    UnexpectedRedirectError,
)
from iottly_async.emulator import Emulator
from iottly_async.stream.gap import Gap

from ..support.stepping import MOMENTS, Moment, Stepped, cuts

QUICK = RetryPolicy(initial_delay=0.01, max_delay=0.02)


def session_on(emulator: Emulator, **settings: Any) -> IottlySession:
    """A session that reconnects at once."""
    config = Config(base_url=emulator.base_url, retry=QUICK, settle=0, **settings)
    return IottlySession(emulator.api_key, config=config, limiter=RateLimiter())


@pytest.fixture
async def fleet() -> AsyncIterator[Emulator]:
    """Two devices that have sent nothing yet."""
    async with Emulator(devices=2, messages=0) as emulator:
        yield emulator


@pytest.fixture
async def live(fleet: Emulator) -> AsyncIterator[IottlySession]:
    """A session on them."""
    async with session_on(fleet) as session:
        yield session


def numbers(*values: int) -> list[dict[str, Any]]:
    """Messages to append whose payloads are these numbers."""
    return [{"payload": {"n": value}} for value in values]


def send(fleet: Emulator, device: int, *values: int) -> None:
    """Append such messages, each in a millisecond of its own."""
    for value in values:
        fleet.append(fleet.device_ids[device], numbers(value))
        fleet.clock.advance(0.002)


async def until(condition: Callable[[], object]) -> None:
    """Let the loop turn until the condition holds."""
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - what is waited for is on the wire
            await asyncio.sleep(0)


async def take(events: AsyncIterator[Message | Gap], count: int) -> list[Any]:
    """The next events: the number of a message, a gap as it is."""
    found: list[Any] = []
    async with asyncio.timeout(10):
        while len(found) < count:
            event = await anext(events)
            found.append(event.payload["n"] if isinstance(event, Message) else event)
    return found


async def test_messages_come_as_they_are_appended(fleet: Emulator, live: IottlySession) -> None:
    """Each message of the project comes once, whole, in order."""
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


async def test_a_stream_of_some_devices_and_one_type(fleet: Emulator, live: IottlySession) -> None:
    """Other devices' messages, and those of another type, do not come."""
    async with live.stream(devices=[fleet.device_ids[1]], type="iottlyagent") as stream:
        await stream.until_connected()
        fleet.append(fleet.device_ids[0], [{"type": "iottlyagent", "payload": {"n": 1}}])
        send(fleet, 1, 2)
        fleet.append(fleet.device_ids[1], [{"type": "iottlyagent", "payload": {"n": 3}}])
        assert await take(aiter(stream), 1) == [3]


CODES = [None, *range(1000, 1004), 1007, 1008, *range(1009, 1015), 3000, 4000, 4400, 4999]


@pytest.mark.parametrize("code", CODES)
async def test_a_connection_that_ends_is_made_anew(
    fleet: Emulator, live: IottlySession, code: int | None
) -> None:
    """After a reset or any close code messages come again, and the gap is reported."""
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


@pytest.mark.parametrize("code", [None, 1012])
async def test_a_gap_is_filled(fleet: Emulator, live: IottlySession, code: int | None) -> None:
    """With `fill_gaps` what was missed comes first, and then what comes live, each once."""
    async with live.stream(project_id=fleet.project_id, fill_gaps=True) as stream:
        events = aiter(stream)
        await stream.until_connected()
        send(fleet, 0, 1)
        assert await take(events, 1) == [1]
        fleet.drop_streams(code)
        send(fleet, 0, 2, 3)
        send(fleet, 1, 4)
        await fleet.until_streams(2)
        fleet.clock.advance(1)
        send(fleet, 0, 5)
        gap, *messages = await take(events, 5)
        assert gap.filled
        assert messages == [2, 3, 4, 5]


async def test_a_half_open_connection_is_left(fleet: Emulator, live: IottlySession) -> None:
    """Where the service falls silent without an end, its promised heartbeats are missed."""
    fleet.set_stream_heartbeat(0.02)
    async with live.stream(project_id=fleet.project_id, fill_gaps=True) as stream:
        await stream.until_connected()
        fleet.stall_streams()
        send(fleet, 0, 1)
        await fleet.until_streams(2)
        assert (await take(aiter(stream), 2))[1] == 1


async def test_a_frame_too_large_ends_the_connection_and_comes_by_the_walk(
    fleet: Emulator, live: IottlySession
) -> None:
    """A frame beyond `max_frame_bytes` is a gap like any other."""
    stream = live.stream(project_id=fleet.project_id, fill_gaps=True, max_frame_bytes=2000)
    async with stream:
        await stream.until_connected()
        fleet.append(fleet.device_ids[0], [{"payload": {"n": 1, "long": "x" * 5000}}])
        gap, message = await take(aiter(stream), 2)
        assert (gap.reason, message) == ("reconnect", 1)


async def test_a_subscription_too_large_for_the_service(live: IottlySession) -> None:
    """It is refused for good, and the error says what to do."""
    async with live.stream(devices=[f"{n:0>90}" for n in range(20_000)]) as stream:
        with pytest.raises(BadRequestError, match="fewer devices"):
            await stream.until_connected()


async def test_lost_frames_are_a_gap(fleet: Emulator, live: IottlySession) -> None:
    """Numbers that never come are waited for, then reported, and filled."""
    fleet.set_stream_heartbeat(0.02)
    async with live.stream(project_id=fleet.project_id, fill_gaps=True) as stream:
        await stream.until_connected()
        fleet.lose_frames(2)
        send(fleet, 0, 1, 2, 3)
        gap, *messages = await take(aiter(stream), 4)
        assert (gap.reason, gap.missed, messages) == ("lost", 2, [1, 2, 3])


async def test_the_last_frame_lost_is_told_by_the_heartbeat(
    fleet: Emulator, live: IottlySession
) -> None:
    """A loss that no later message shows is found all the same."""
    fleet.set_stream_heartbeat(0.02)
    async with live.stream(project_id=fleet.project_id, fill_gaps=True) as stream:
        await stream.until_connected()
        fleet.lose_frames(1)
        send(fleet, 0, 1)
        gap, message = await take(aiter(stream), 2)
        assert (gap.reason, message) == ("lost", 1)


async def test_reordered_frames_are_put_in_order(fleet: Emulator, live: IottlySession) -> None:
    """Frames that overtook each other come by their numbers, without a gap."""
    async with live.stream() as stream:
        await stream.until_connected()
        fleet.reverse_frames(5)
        send(fleet, 0, 1, 2, 3, 4, 5)
        assert await take(aiter(stream), 5) == [1, 2, 3, 4, 5]


async def test_identical_messages_come_as_often_as_they_are(
    fleet: Emulator, live: IottlySession
) -> None:
    """Copies in one millisecond, some live and some in the gap, are counted and not merged."""
    fleet.clock.pin()
    device = fleet.device_ids[0]
    async with live.stream(project_id=fleet.project_id, fill_gaps=True) as stream:
        events = aiter(stream)
        await stream.until_connected()
        fleet.append(device, numbers(7, 7))
        assert await take(events, 2) == [7, 7]
        fleet.drop_streams()
        fleet.append(device, numbers(7, 7, 7))
        await fleet.until_streams(2)
        assert (await take(events, 4))[1:] == [7, 7, 7]
        fleet.clock.advance(1)
        fleet.append(device, numbers(8))
        assert await take(events, 1) == [8]


async def test_late_messages_of_a_gap_are_found(fleet: Emulator, live: IottlySession) -> None:
    """A message dated before the gap that became visible within it is within `lookback` (D11)."""
    fleet.clock.pin()
    device = fleet.device_ids[0]
    stream = live.stream(project_id=fleet.project_id, fill_gaps=True, lookback=10)
    async with stream:
        events = aiter(stream)
        await stream.until_connected()
        fleet.append(device, numbers(1), late_by=3)
        fleet.clock.advance(2)
        fleet.append(device, numbers(2))
        assert await take(events, 1) == [2]
        fleet.drop_streams()
        fleet.clock.advance(2)
        await fleet.until_streams(2)
        assert (await take(events, 2))[1] == 1
        fleet.append(device, numbers(3))
        assert await take(events, 1) == [3]


async def test_since_fills_the_time_before(fleet: Emulator, live: IottlySession) -> None:
    """A stream can go on from where a process ended."""
    device = fleet.device_ids[0]
    send(fleet, 0, 1, 2)
    since = fleet.stored(device)[0]["timestamp"]
    async with live.stream(project_id=fleet.project_id, fill_gaps=True, since=since) as stream:
        await stream.until_connected()
        fleet.append(device, numbers(3))
        gap, *messages = await take(aiter(stream), 4)
        assert (gap.reason, messages) == ("since", [1, 2, 3])


async def test_a_service_that_is_down_is_tried_again(fleet: Emulator, live: IottlySession) -> None:
    """Errors of the service, on connecting and on filling, delay and do not end the stream."""
    async with live.stream(project_id=fleet.project_id, fill_gaps=True) as stream:
        events = aiter(stream)
        await stream.until_connected()
        fleet.fault("status", route="stream", status=503, count=3)
        fleet.fault("reset", route="stream", count=2)
        fleet.fault("status", route="paginated", status=500, count=7)
        fleet.drop_streams()
        send(fleet, 0, 1)
        assert (await take(events, 2))[1] == 1


async def test_a_key_that_is_not_accepted_is_final(fleet: Emulator) -> None:
    """401 on connecting ends the stream: nothing is tried again."""
    config = Config(base_url=fleet.base_url, retry=QUICK)
    async with (
        IottlySession("wrong", config=config, limiter=RateLimiter()) as session,
        session.stream() as stream,
    ):
        with pytest.raises(UnauthorizedError) as refused:
            await anext(aiter(stream))
        assert (refused.value.code, len(fleet.requests)) == ("unauthorized", 1)


@pytest.mark.parametrize(("code", "error"), [(4401, UnauthorizedError), (4403, ForbiddenError)])
async def test_a_revoked_key_is_final(
    fleet: Emulator, live: IottlySession, code: int, error: type[Exception]
) -> None:
    """Close codes 4401 and 4403 end the stream like a 401 and a 403; what came before comes."""
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
async def test_a_refusal_is_final(
    fleet: Emulator, live: IottlySession, status: int, error: type[Exception]
) -> None:
    """A key without access, a wrong address, a redirect, which is not followed (D12)."""
    fleet.fault("status", route="stream", status=status, headers={"Location": "/v1/elsewhere"})
    async with live.stream() as stream:
        with pytest.raises(error):
            await stream.until_connected()
    assert len(fleet.requests) == 1


async def test_a_slow_consumer_makes_the_stream_wait(fleet: Emulator, live: IottlySession) -> None:
    """With "wait" nothing is dropped, however small the buffer."""
    async with live.stream(buffer=2) as stream:
        await stream.until_connected()
        send(fleet, 0, *range(50))
        await asyncio.sleep(0)
        assert await take(aiter(stream), 50) == list(range(50))
        assert stream.stats.gaps == 0


async def test_dropped_messages_are_a_gap(fleet: Emulator, live: IottlySession) -> None:
    """With "drop_oldest" the newest stay, and the others are one gap with its bounds."""
    async with live.stream(buffer=2, overflow="drop_oldest") as stream:
        await stream.until_connected()
        send(fleet, 0, *range(10))
        await until(lambda: stream.stats.messages == 10)
        gap, *messages = await take(aiter(stream), 3)
        stored = fleet.stored(fleet.device_ids[0])
        assert (gap.reason, gap.missed) == ("overflow", 8)
        assert (gap.start, gap.end) == (stored[0]["timestamp"], stored[7]["timestamp"])
        assert messages == [8, 9]


async def test_dropped_messages_are_filled_in(fleet: Emulator, live: IottlySession) -> None:
    """With both, the memory is bounded and nothing is lost."""
    stream = live.stream(
        project_id=fleet.project_id, fill_gaps=True, buffer=2, overflow="drop_oldest"
    )
    async with stream:
        await stream.until_connected()
        send(fleet, 0, *range(10))
        await until(lambda: stream.stats.messages == 10)
        assert (await take(aiter(stream), 11))[1:] == list(range(10))


async def test_a_command_and_its_result(fleet: Emulator, live: IottlySession) -> None:
    """A command over the stream comes back with what it printed."""
    async with live.stream() as stream:
        result = await stream.run(fleet.fleet_ids[0], "echo hi")
        assert (result.stdout, result.exit_code, result.extra) == ("hi\n", 0, {})


async def test_a_command_to_a_device_that_is_away(fleet: Emulator, live: IottlySession) -> None:
    """It is refused with the error of the HTTP call."""
    fleet.set_connected(fleet.fleet_ids[0], False)
    async with live.stream() as stream:
        with pytest.raises(DeviceOfflineError) as offline:
            await stream.run(fleet.fleet_ids[0], "uptime")
        assert offline.value.code == "device_offline"


async def test_a_command_whose_connection_ends_is_asked_for_over_http(
    fleet: Emulator, live: IottlySession
) -> None:
    """Once it has an id, its result is found although the stream is gone."""
    async with live.stream() as stream:
        running = asyncio.create_task(stream.run(fleet.fleet_ids[0], "sleep 1", timeout=20))
        await until(lambda: fleet.commands)
        await until(lambda: stream._supervisor.commands._pending["c1"].command_id)
        fleet.drop_streams()
        fleet.clock.advance(5)
        assert (await running).exit_code == 0
        assert len(fleet.commands) == 1


async def test_a_command_that_may_have_left_is_unknown(
    fleet: Emulator, live: IottlySession
) -> None:
    """Where the connection ends before the command was accepted, it is not sent again (D10)."""
    async with live.stream() as stream:
        await stream.until_connected()
        fleet.stall_streams()
        running = asyncio.create_task(stream.run(fleet.fleet_ids[0], "uptime"))
        await asyncio.sleep(0.02)
        fleet.drop_streams()
        with pytest.raises(CommandOutcomeUnknownError):
            await running
        await fleet.until_streams(2)
        assert len(fleet.commands) <= 1


async def test_a_command_without_a_connection_is_surely_not_sent(
    fleet: Emulator, live: IottlySession
) -> None:
    """While the stream is down a command waits, and says in the end that it never left."""
    fleet.fault("status", route="stream", status=503, count=None)
    async with live.stream() as stream:
        with pytest.raises(DeadlineExceededError) as late:
            await stream.run(fleet.fleet_ids[0], "uptime", timeout=0.05)
        assert late.value.sent == "no"


async def test_closing_the_session_ends_its_streams(fleet: Emulator) -> None:
    """Who iterates is told that the session was closed, at once although there is grace."""
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
    """What is in the buffer still comes, then the loop ends; no task is left."""
    async with live.stream() as stream:
        await stream.until_connected()
        send(fleet, 0, 1)
        await until(lambda: stream.stats.messages)
    found = [event async for event in stream.messages()]
    assert [message.payload["n"] for message in found] == [1]


async def test_a_stream_that_is_closed_at_once(live: IottlySession) -> None:
    """Opening and closing in one turn of the loop leaves nothing unawaited."""
    async with live.stream() as stream:
        pass
    assert [event async for event in stream] == []


async def test_iterating_opens_and_closes(fleet: Emulator, live: IottlySession) -> None:
    """Without `async with` the stream lasts as long as the loop over it."""
    before = asyncio.all_tasks()
    events = aiter(live.stream())
    waiting = asyncio.ensure_future(anext(events))
    await fleet.until_streams(1)
    send(fleet, 0, 1)
    assert isinstance(await waiting, Message)
    await events.aclose()
    assert not {t for t in asyncio.all_tasks() - before if "hold" in repr(t)}


async def test_an_iteration_that_is_dropped_closes_its_stream(
    fleet: Emulator, live: IottlySession
) -> None:
    """Left by `break` and never closed, it holds neither connection nor task."""
    before = asyncio.all_tasks()
    waiting = asyncio.ensure_future(first_of(live.stream()))
    await fleet.until_streams(1)
    send(fleet, 0, 1)
    assert await waiting == {"n": 1}
    await until(lambda: fleet.streams == 0)
    assert not {t for t in asyncio.all_tasks() - before if "hold" in repr(t)}


async def first_of(stream: Stream) -> Any:
    """The payload of the first message; the iteration is left as it is."""
    async for message in stream.messages():
        return message.payload
    return None


@pytest.mark.parametrize(
    "wrong",
    [
        {"fill_gaps": True},
        {"devices": []},
        {"devices": "one"},
        {"devices": ["a/b"]},
        {"type": "other"},
        {"overflow": "drop"},
        {"protocol": object()},
        {"devices": 5},
        {"buffer": 0},
        {"heartbeat": 0},
        {"settle": -1},
    ],
)
async def test_what_is_refused(live: IottlySession, wrong: dict[str, Any]) -> None:
    """Arguments that make no sense are refused before anything is sent."""
    with pytest.raises(ConfigurationError):
        live.stream(**wrong)


@pytest.mark.parametrize("moment", MOMENTS)
async def test_a_consumer_cancelled_anywhere_loses_nothing(
    fleet: Emulator, live: IottlySession, moment: Moment
) -> None:
    """Cut at its first wait, its second, ..., the next iteration goes on behind the last message,
    also amid a gap that is being filled."""
    fleet.clock.pin()
    async with live.stream(project_id=fleet.project_id, fill_gaps=True) as stream:
        for turn, cut in enumerate(cuts(moment)):
            await fleet.until_streams(turn + 1)
            await stream.until_connected()
            fleet.drop_streams()
            send(fleet, 0, 1, 2)
            send(fleet, 1, 3)
            await fleet.until_streams(turn + 2)
            send(fleet, 0, 4)
            found: list[int] = []
            whole = await Stepped(numbers_of(stream, found, 4), cut).ended_by_itself()
            if not whole:
                await numbers_of(stream, found, 4 - len(found))
            assert [n for n in found if n != 3] == [1, 2, 4]
            assert len(found) == 4
            if whole:
                assert turn > 5
                return


async def numbers_of(stream: Stream, found: list[int], count: int) -> None:
    """Add the numbers of so many messages."""
    async with asyncio.timeout(10), aclosing(stream.messages()) as messages:
        for _ in range(count):
            found.append((await anext(messages)).payload["n"])  # noqa: PERF401 - it may be cut


@pytest.mark.parametrize("seed", range(3))
async def test_whatever_befalls_it_every_message_comes_once(seed: int) -> None:
    """Under drops, losses, reorderings, late rows and identical ones: the store's messages."""
    chance = random.Random(seed)
    async with Emulator(devices=2, messages=0) as fleet, session_on(fleet) as session:
        fleet.clock.pin()
        stream = session.stream(project_id=fleet.project_id, fill_gaps=True, lookback=5)
        async with stream, aclosing(stream.messages()) as messages:
            await stream.until_connected()
            for turn in range(20):
                for _ in range(chance.randrange(6)):
                    rows = numbers(*[chance.randrange(4)] * chance.choice((1, 1, 2)))
                    late = chance.choice((0.0, 0.0, 0.003))
                    fleet.append(chance.choice(fleet.device_ids), rows, late_by=late)
                    fleet.clock.advance(chance.choice((0.0, 0.001, 0.002)))
                if chance.random() < 0.3:
                    fleet.reverse_frames(2)
                fleet.drop_streams(chance.choice((None, None, 1001, 1012)))
                fleet.clock.advance(0.01)
                await fleet.until_streams(turn + 2)
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
