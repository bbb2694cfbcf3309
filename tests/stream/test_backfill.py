"""Gaps are filled by REST walks, against the emulator: every message comes once."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import Any

import pytest

from iottly_async import IottlySession, ServerError
from iottly_async.emulator import Emulator

from ..support.virtual_time import run_virtual
from .helpers import numbers, send, session_on, take, until


@pytest.mark.parametrize("code", [None, 1012])
async def test_a_gap_is_filled(fleet: Emulator, live: IottlySession, code: int | None) -> None:
    """With `fill_gaps`, missed messages come before live ones, and each message comes once."""
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


async def test_a_message_in_a_frame_that_is_too_large_comes_by_the_walk(
    fleet: Emulator, live: IottlySession
) -> None:
    """A frame larger than `max_frame_bytes` ends the connection, and the gap is filled."""
    stream = live.stream(project_id=fleet.project_id, fill_gaps=True, max_frame_bytes=2000)
    async with stream:
        await stream.until_connected()
        fleet.append(fleet.device_ids[0], [{"payload": {"n": 1, "long": "x" * 5000}}])
        gap, message = await take(aiter(stream), 2)
        assert (gap.reason, message) == ("reconnect", 1)


async def test_identical_messages_are_counted_and_not_merged(
    fleet: Emulator, live: IottlySession
) -> None:
    """If a millisecond has five identical messages, two live and three in a gap, five come."""
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
    """A message that is dated before a gap and became visible in it is found (D11)."""
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
    """A stream with `since` first yields the messages from that time to its connection."""
    device = fleet.device_ids[0]
    send(fleet, 0, 1, 2)
    since = fleet.stored(device)[0]["timestamp"]
    async with live.stream(project_id=fleet.project_id, fill_gaps=True, since=since) as stream:
        await stream.until_connected()
        fleet.append(device, numbers(3))
        gap, *messages = await take(aiter(stream), 4)
        assert (gap.reason, messages) == ("since", [1, 2, 3])


async def test_messages_dropped_from_a_full_buffer_are_read_again(
    fleet: Emulator, live: IottlySession
) -> None:
    """With `fill_gaps` and "drop_oldest" the memory is bounded and no message is lost."""
    stream = live.stream(
        project_id=fleet.project_id, fill_gaps=True, buffer=2, overflow="drop_oldest"
    )
    async with stream:
        await stream.until_connected()
        send(fleet, 0, *range(10))
        await until(lambda: stream.stats.messages == 10)
        assert (await take(aiter(stream), 11))[1:] == list(range(10))


async def test_payloads_that_are_no_json_come_once(fleet: Emulator, live: IottlySession) -> None:
    """Neither the stream nor the backfill stops at them, and none is repeated."""
    device, nested = fleet.device_ids[0], "[" * 5000 + "]" * 5000
    async with live.stream(project_id=fleet.project_id, fill_gaps=True) as stream:
        messages = stream.messages()
        await stream.until_connected()
        fleet.append(device, [{"payload_json": text} for text in ('{"n": NaN}', nested)])
        found = [(await anext(messages)).payload_json for _ in range(2)]
        assert stream.stats.connections == 1
        fleet.drop_streams()
        fleet.append(device, [{"payload_json": '{"n": -Infinity}'}])
        await fleet.until_streams(2)
        fleet.clock.advance(1)
        send(fleet, 0, 1)
        found += [(await anext(messages)).payload_json for _ in range(2)]
    assert found == [b'{"n": NaN}', nested.encode(), b'{"n": -Infinity}', b'{"n":1}']


# -- outages ---------------------------------------------------------------------------------------


async def through_an_outage(seconds: float, **options: Any) -> list[Any]:
    """What a stream yields if REST is out for so long while it fills a gap, or the error."""
    async with Emulator(devices=2, messages=0) as fleet, session_on(fleet) as session:
        stream = session.stream(project_id=fleet.project_id, fill_gaps=True, **options)
        async with stream:
            await stream.until_connected()
            fleet.fault("status", route="paginated", status=503, count=None)
            fleet.fault("status", route="devices", status=503, count=None)
            fleet.drop_streams()
            send(fleet, 0, 1, 2)
            send(fleet, 1, 3)
            asyncio.get_running_loop().call_later(seconds, fleet.clear_faults)
            found: list[Any] = []
            for _ in range(2):
                try:
                    async with aclosing(stream.messages()) as messages:
                        while len([each for each in found if isinstance(each, int)]) < 3:
                            found.append((await anext(messages)).payload["n"])
                except ServerError as error:
                    found.append(type(error))
                    fleet.clear_faults()
            return found


def test_an_outage_of_the_backfill_is_waited_out() -> None:
    """The gap's messages come when the service is back, and the stream's connection stays."""
    found = run_virtual(lambda: through_an_outage(60.0), listens=True)
    assert found == [1, 2, 3]


@pytest.mark.parametrize("patience", [0, 20])
def test_when_patience_ends_the_error_is_raised_and_nothing_is_lost(patience: float) -> None:
    """The iteration raises the error, and the next one continues at the same place."""
    found = run_virtual(lambda: through_an_outage(600.0, patience=patience), listens=True)
    assert found == [ServerError, 1, 2, 3]
