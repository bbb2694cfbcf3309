"""The protocol of the open-source platform: an example, against a server of that kind."""

from __future__ import annotations

import asyncio
import json
import random
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from datetime import datetime
from typing import Any

import pytest

from examples.open_source_stream import OpenSourceProtocol
from iottly_async import (
    Config,
    DecodeError,
    Gap,
    IottlySession,
    Message,
    NotFoundError,
    RateLimiter,
    RetryPolicy,
    Stream,
)
from iottly_async.emulator import Emulator
from iottly_async.stream.protocol import HeaderKey, MessageFrame

from ..support.canary import CANARY
from .open_source_server import OpenSourceServer, open_source_server
from .test_scripts import line, running

QUICK = RetryPolicy(initial_delay=0.01, max_delay=0.02)
OTHER_FRAMES = (
    '{"devices": {"registration": {"new": false, "board": {"ID": "x", "name": "n"}}}}',
    '{"interface": {"type": "progress", "value": 3, "of": [1, 2]}}',
    '{"events": {"msgs": []}}',
    '{"events": {}}',
    '{"events": null}',
    '{"events": {"msgs": null, "other": [1]}}',
    '{"messages": [1]}',
    "{}",
    "[]",
)


class Platform:
    """The API by the emulator, and the WebSocket beside it."""

    def __init__(self, api: Emulator, socket: OpenSourceServer) -> None:
        self.api = api
        self.socket = socket

    def store(self, device: int, *values: int) -> list[dict[str, Any]]:
        """Store messages with these numbers, and return them as the WebSocket sends them."""
        found = []
        for value in values:
            self.api.append(self.api.device_ids[device], [{"payload": {"n": value}}])
            row = self.api.stored(self.api.device_ids[device])[-1]
            found.append(as_sent(row, self.api.project_id))
            self.api.clock.advance(0.002)
        return found

    async def send(self, device: int, *values: int) -> None:
        """Store messages, and send them in one frame."""
        await self.socket.publish(*self.store(device, *values))


def as_sent(row: dict[str, Any], project_id: str) -> dict[str, Any]:
    """A stored row as it stands in a frame."""
    at: datetime = row["timestamp"]
    return {
        "from": row["device_id"],
        "to": project_id,
        "timestamp": {"$date": round(at.timestamp() * 1000)},
        "type": row["type"],
        "payload": row["payload"],
    }


@asynccontextmanager
async def platform() -> AsyncIterator[Platform]:
    """A platform with two devices and no messages."""
    async with (
        asyncio.timeout(60),
        Emulator(devices=2, messages=0) as api,
        open_source_server(api.project_id) as socket,
    ):
        yield Platform(api, socket)


@asynccontextmanager
async def streaming(where: Platform, **options: Any) -> AsyncIterator[Stream]:
    """A connected stream of the platform's messages."""
    config = Config(base_url=where.api.base_url, retry=QUICK, settle=0)
    protocol = OpenSourceProtocol(where.socket.url, where.api.project_id)
    async with (
        IottlySession(where.api.api_key, config=config, limiter=RateLimiter()) as session,
        session.stream(protocol=protocol, project_id=where.api.project_id, **options) as stream,
    ):
        await stream.until_connected()
        yield stream


async def take(events: AsyncIterator[Message | Gap], count: int) -> list[Any]:
    """The next events: of a message its number, a gap as it is."""
    found = [await anext(events) for _ in range(count)]
    return [each.payload["n"] if isinstance(each, Message) else each for each in found]


async def test_the_messages_of_a_frame_come_one_by_one() -> None:
    """Frames of several messages, of one and of none, with other frames between them."""
    async with platform() as where, streaming(where) as stream:
        events = aiter(stream)
        await where.socket.send(*OTHER_FRAMES)
        await where.send(0, 1, 2, 3)
        await where.socket.send(*OTHER_FRAMES)
        await where.send(1, 4)
        assert await take(events, 4) == [1, 2, 3, 4]
        assert stream.stats.gaps == 0
        assert where.socket.openings == [{"projectid": where.api.project_id}]


async def test_a_message_has_all_its_fields() -> None:
    """The time is read to the millisecond, and the key is that of the message over REST."""
    async with platform() as where, streaming(where) as stream:
        (row,) = where.store(0, 7)
        stored = where.api.stored(row["from"])[-1]
        at = {"$date": round(stored["devicetimestamp"].timestamp() * 1000)}
        await where.socket.publish({**row, "devicetimestamp": at})
        found = await anext(aiter(stream))
        assert isinstance(found, Message)
        assert (found.device_id, found.project_id) == (row["from"], where.api.project_id)
        assert found.timestamp == stored["timestamp"]
        assert found.payload == {"n": 7}
        config = Config(base_url=where.api.base_url)
        async with IottlySession(where.api.api_key, config=config) as session:
            messages = session.project(where.api.project_id).messages
            (over_rest,) = (await messages.page(row["from"], size=1)).messages
        assert found.key == over_rest.key


async def test_only_the_devices_that_were_asked_for_come() -> None:
    """The platform sends all devices of the project."""
    async with platform() as where, streaming(where, devices=[where.api.device_ids[1]]) as stream:
        await where.send(0, 1)
        await where.send(1, 2)
        assert await take(aiter(stream), 1) == [2]


async def test_a_gap_between_two_connections_is_filled() -> None:
    """Messages that were sent while there was no connection are read over REST, each once."""
    async with platform() as where, streaming(where, fill_gaps=True) as stream:
        events = aiter(stream)
        await where.send(0, 1, 2)
        assert await take(events, 2) == [1, 2]
        where.socket.drop()
        where.store(0, 3, 4)
        where.store(1, 5)
        await where.socket.until_clients(2)
        where.api.clock.advance(5)
        await where.send(0, 6)
        gap, *messages = await take(events, 5)
        assert (gap.reason, gap.filled) == ("reconnect", True)
        assert messages == [3, 4, 5, 6]


async def test_a_gap_before_the_first_message_is_filled() -> None:
    """The frames tell no time of the service, so the answer that opened the connection does."""
    async with platform() as where, streaming(where, fill_gaps=True) as stream:
        where.socket.drop()
        where.store(0, 1)
        await where.socket.until_clients(2)
        assert (await take(aiter(stream), 2))[1] == 1


async def test_a_bad_message_is_a_gap_and_hides_no_other() -> None:
    """A row without a readable time is asked for over REST, where it is whole."""
    async with platform() as where, streaming(where, fill_gaps=True) as stream:
        rows = where.store(0, 1, 2, 3)
        rows[1]["timestamp"] = "Invalid date"
        await where.socket.publish(*rows)
        found = await take(aiter(stream), 4)
        assert sorted(each for each in found if not isinstance(each, Gap)) == [1, 2, 3]
        assert stream.stats.unreadable == 1


async def test_the_key_goes_to_the_api_alone() -> None:
    """The WebSocket on another port gets no key, unless the protocol is told to send it."""
    async with platform() as where:
        async with streaming(where):
            pass
        config = Config(base_url=where.api.base_url)
        async with IottlySession(CANARY, config=config, limiter=RateLimiter()) as session:
            protocol = OpenSourceProtocol(
                where.socket.url, where.api.project_id, credential=HeaderKey()
            )
            async with session.stream(protocol=protocol) as stream:
                await stream.until_connected()
        without, with_key = [request.headers for request in where.socket.requests]
        assert "Authorization" not in without
        assert with_key["Authorization"] == f"Bearer {CANARY}"
        assert not where.api.requests


async def test_a_wrong_address_is_an_error() -> None:
    """A page in place of a WebSocket is not asked for for ever."""
    async with platform() as where:
        where.socket.refusing = 404
        with pytest.raises(NotFoundError):
            async with streaming(where):
                pass
        assert len(where.socket.requests) == 5


@pytest.mark.parametrize(
    ("text", "count"),
    [
        (json.dumps({"events": {"msgs": [{"from": "d", "timestamp": {"$date": n}}] * n}}), n)
        for n in (0, 1, 2, 250)
    ]
    + [(text, 0) for text in OTHER_FRAMES],
)
@pytest.mark.parametrize("binary", [False, True])
def test_the_frames_of_the_platform_are_read(text: str, count: int, binary: bool) -> None:
    """Of each frame, the number of messages that it holds."""
    protocol = OpenSourceProtocol("ws://127.0.0.1/", "p")
    frames = protocol.read(text.encode() if binary else text)
    assert len(frames) == count
    assert all(isinstance(frame, MessageFrame) for frame in frames)


@pytest.mark.parametrize("text", ["", "{", "hello", '{"events": {"msgs": [', "<html>", "\x00"])
def test_a_frame_that_is_cut_or_no_json_is_a_decode_error(text: str) -> None:
    """It is not taken for a frame without messages."""
    with pytest.raises(DecodeError):
        OpenSourceProtocol("ws://127.0.0.1/", "p").read(text)


@pytest.mark.parametrize("seed", range(3))
async def test_every_message_comes_once_under_random_faults(seed: int) -> None:
    """Connections are dropped, and messages are sent before, during and after; each comes once."""
    rng = random.Random(seed)
    async with platform() as where, streaming(where, fill_gaps=True, lookback=1) as stream:
        sent: Counter[int] = Counter()
        number = 0
        async with aclosing(stream.messages()) as messages:
            for _ in range(12):
                for _ in range(rng.randrange(4)):
                    number += 1
                    values = [number] * rng.randrange(1, 4)  # each in its own millisecond
                    sent.update(values)
                    await where.send(rng.randrange(2), *values)
                if rng.random() < 0.5:
                    where.socket.drop()
                    number += 1
                    sent[number] += 1
                    where.store(rng.randrange(2), number)
                    before = len(where.socket.openings)
                    await where.socket.until_clients(before + 1)
            found: Counter[int] = Counter()
            while found != sent:
                found[(await anext(messages)).payload["n"]] += 1
                assert found <= sent


@pytest.mark.skipif(sys.platform == "win32", reason="the example handles signals")
async def test_the_script_prints_messages_and_misses_none() -> None:
    """It prints messages, also those between two connections, and ends on SIGTERM."""
    async with platform() as where:
        device = where.api.device_ids[0]
        arguments = ("open_source_stream.py", where.socket.url, "--settle", "0.2")
        async with running(*arguments, emulator=where.api) as script:
            assert await line(script) == "connected"
            await where.send(0, 1)
            assert (await line(script)).endswith(f"{device} {{'n': 1}}")
            where.socket.drop()
            where.store(0, 2)
            while (text := await line(script)).startswith("the stream"):
                pass  # the library logs the reconnect
            assert text.endswith(f"{device} {{'n': 2}}")
            script.send_signal(signal.SIGTERM)
            assert await script.wait() == 0
