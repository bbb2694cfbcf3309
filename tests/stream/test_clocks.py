"""Gaps are filled whatever the clocks of the service and the stamps of single messages say."""

from __future__ import annotations

import asyncio
import logging
import random
from collections import Counter
from contextlib import aclosing
from datetime import timedelta
from typing import Any

import pytest

from iottly_async import IottlySession
from iottly_async.emulator import Emulator

from .helpers import numbers, send, session_on, take

HOUR = timedelta(hours=1)


def append_at(fleet: Emulator, ahead: timedelta, *values: int) -> None:
    """Append messages of the first device, stamped so far ahead of the emulator's clock."""
    stamp = fleet.clock.now() + ahead
    rows = [{**row, "timestamp": stamp} for row in numbers(*values)]
    fleet.append(fleet.device_ids[0], rows)


@pytest.mark.parametrize("ahead", [timedelta(seconds=20), HOUR, timedelta(days=400)])
@pytest.mark.parametrize("count", [1, 20])
async def test_a_message_stamped_ahead_does_not_hide_the_next_gap(
    fleet: Emulator, live: IottlySession, ahead: timedelta, count: int
) -> None:
    """What is missed after it is read, although it is stamped earlier than that message."""
    async with live.stream(project_id=fleet.project_id, fill_gaps=True) as stream:
        events = aiter(stream)
        await stream.until_connected()
        send(fleet, 0, 1)
        append_at(fleet, ahead, *range(100, 100 + count))
        assert await take(events, 1 + count) == [1, *range(100, 100 + count)]
        fleet.drop_streams()
        send(fleet, 0, 2, 3)
        await fleet.until_streams(2)
        fleet.clock.advance(1)
        send(fleet, 0, 4)
        gap, *messages = await take(events, 4)
        assert (gap.filled, messages) == (True, [2, 3, 4])


async def test_a_message_stamped_ahead_behind_a_lost_one_repeats_nothing(
    fleet: Emulator, live: IottlySession
) -> None:
    """The gap of a lost frame ends with the present, not with the wrong stamp."""
    fleet.set_stream_heartbeat(0.02)
    async with live.stream(project_id=fleet.project_id, fill_gaps=True) as stream:
        events = aiter(stream)
        await stream.until_connected()
        fleet.lose_frames(1)
        send(fleet, 0, 1, 2)
        append_at(fleet, HOUR, 100)
        send(fleet, 0, 3, 4)
        gap, *messages = await take(events, 6)
        assert sorted(messages) == [1, 2, 3, 4, 100]
        assert gap.end is not None
        assert gap.end < fleet.clock.now() + HOUR / 2
        send(fleet, 0, 5)
        assert await take(events, 1) == [5]


@pytest.mark.parametrize("lookback", [0, 2, 60])
async def test_a_lost_frame_repeats_nothing_however_long_the_others_span(
    fleet: Emulator, live: IottlySession, lookback: int
) -> None:
    """Of 40 messages of 40 seconds, of which the first is lost, each comes once."""
    fleet.clock.pin()
    chosen = live.stream(project_id=fleet.project_id, fill_gaps=True, lookback=lookback)
    async with chosen as stream:
        events = aiter(stream)
        await stream.until_connected()
        fleet.lose_frames(1)
        for number in range(40):
            fleet.append(fleet.device_ids[0], numbers(number))
            fleet.clock.advance(1)
        gap, *messages = await take(events, 41)
        assert (gap.reason, gap.missed) == ("lost", 1)
        assert messages == list(range(40))
        send(fleet, 0, 40, 41)
        assert await take(events, 2) == [40, 41]


@pytest.mark.parametrize("offset", [-3600, -8, -1, 0, 1, 8, 3600])
@pytest.mark.parametrize("lookback", [0, 5])
async def test_clocks_that_differ_lose_and_repeat_nothing(offset: int, lookback: int) -> None:
    """The clock that stamps may be ahead of that of `Date` and of the frames, or behind (D11)."""
    async with (
        Emulator(devices=2, messages=0, stamp_offset=offset) as fleet,
        session_on(fleet) as live,
        live.stream(project_id=fleet.project_id, fill_gaps=True, lookback=lookback) as stream,
    ):
        events = aiter(stream)
        await stream.until_connected()
        expected = 0
        for connection in range(2, 6):
            send(fleet, 0, expected, expected + 1)
            assert await take(events, 2) == [expected, expected + 1]
            fleet.drop_streams()
            send(fleet, 0, expected + 2, expected + 3)
            await fleet.until_streams(connection)
            fleet.clock.advance(1)
            gap, *messages = await take(events, 3)
            assert (gap.filled, messages) == (True, [expected + 2, expected + 3])
            expected += 4


async def test_clocks_that_differ_are_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    """A difference of more than a minute is a warning that says how large it is."""
    async with (
        Emulator(devices=1, messages=0, stamp_offset=-500) as fleet,
        session_on(fleet) as live,
        live.stream() as stream,
    ):
        await stream.until_connected()
        with caplog.at_level(logging.WARNING, "iottly_async.stream"):
            send(fleet, 0, *range(40))
            await take(aiter(stream), 40)
    (record,) = [each for each in caplog.records if each.name == "iottly_async.stream"]
    assert "stamped 500 s behind" in record.getMessage()


@pytest.mark.parametrize("seed", range(4))
async def test_every_message_comes_once_whatever_the_stamps(seed: int) -> None:
    """Under drops, lost and reordered frames, clocks that differ and wrong stamps."""
    rng = random.Random(seed)
    offset = rng.choice((-3600, -8, 0, 8, 3600))
    async with (
        Emulator(devices=2, messages=0, stamp_offset=offset) as fleet,
        session_on(fleet) as session,
    ):
        fleet.clock.pin()
        fleet.set_stream_heartbeat(0.02)
        lookback = rng.choice((0.5, 5))
        stream = session.stream(project_id=fleet.project_id, fill_gaps=True, lookback=lookback)
        async with stream, aclosing(stream.messages()) as messages:
            await stream.until_connected()
            send(fleet, 0, -1)
            assert (await anext(messages)).payload == {"n": -1}
            number = 0
            for _ in range(12):
                for _ in range(rng.randrange(6)):
                    number += 1
                    ahead = rng.choice((0, 0, 0, 0, 3600))
                    row: dict[str, Any] = numbers(number)[0]
                    if ahead:
                        row["timestamp"] = fleet.clock.now() + timedelta(seconds=offset + ahead)
                    late = rng.choice((0.0, 0.0, 0.003))
                    fleet.append(rng.choice(fleet.device_ids), [row], late_by=late)
                    fleet.clock.advance(rng.choice((0.0, 0.001, 1.5)))
                if rng.random() < 0.3:
                    fleet.lose_frames(1)
                elif rng.random() < 0.3:
                    fleet.reverse_frames(2)
                if rng.random() < 0.7:
                    fleet.drop_streams(rng.choice((None, 1012)))
                    fleet.clock.advance(0.01)
                    await fleet.until_streams(stream.stats.connections + 1)
                fleet.clock.advance(0.01)
            stored = Counter(
                row["payload_json"] for device in fleet.device_ids for row in fleet.stored(device)
            )
            found: Counter[str] = Counter(['{"n":-1}'])
            async with asyncio.timeout(20):
                while found != stored:
                    message = await anext(messages)
                    found[message.payload_json.decode()] += 1
                    assert found <= stored
