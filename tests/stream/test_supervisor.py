"""The supervisor, with services that misbehave and with another protocol."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from aiohttp import WSMsgType

from iottly_async import (
    BadRequestError,
    Config,
    DecodeError,
    Gap,
    Message,
)
from iottly_async.stream.buffer import MessageBuffer
from iottly_async.stream.options import StreamOptions
from iottly_async.stream.protocol import (
    CommandRefused,
    Frame,
    HeaderKey,
    Heartbeat,
    MessageFrame,
    StreamProtocol,
)
from iottly_async.stream.supervisor import Supervisor
from iottly_async.transport.websocket import WebSocketClosedError

from ..support.virtual_time import VirtualClock, virtual
from .scripted_service import (
    SUBSCRIBED,
    WELCOME,
    Script,
    Service,
    Socket,
    first,
    good,
    message,
    next_text,
    read_only,
    sending,
    session_with,
)

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


async def bad_text(socket: Socket) -> None:
    """Send a text frame that is not UTF-8."""
    await socket.send_frame(b"\xff\xfe", WSMsgType.TEXT)
    await read_only(socket)


@pytest.mark.parametrize(
    "script",
    [
        sending("no JSON"),
        sending(b"\x00\xff\x80"),
        sending("[]", "[]"),
        sending(WELCOME, SUBSCRIBED, '{"type":"message","seq":1}'),
        sending('{"type":"welcome","heartbeat":"soon"}'),
        sending("[" * 50_000),
        bad_text,
    ],
    ids=["text", "bytes", "list", "message", "welcome", "nested", "utf8"],
)
async def test_an_invalid_frame_ends_the_connection_and_not_the_stream(script: Script) -> None:
    """After a frame that cannot be read the stream reconnects."""
    service = Service(script, good)
    async with session_with(service) as session:
        assert await first(session) == 1
    assert len(service.requests) == 2


async def test_frames_may_be_binary_and_of_unknown_kinds() -> None:
    """JSON in a binary frame is read like text, and a frame of an unknown type is ignored."""
    frames = (WELCOME, '{"type":"news","seq":9}', SUBSCRIBED, message(1))
    service = Service(sending(*map(str.encode, frames)))
    async with session_with(service) as session:
        assert await first(session) == 1


async def test_a_connection_without_a_subscription_is_closed() -> None:
    """A service that answers pings but does not confirm the subscription is tried again."""

    async def pong_only(socket: Socket) -> None:
        while (found := await socket.receive()).type in (WSMsgType.TEXT, WSMsgType.PING):
            if found.type is WSMsgType.PING:
                await socket.pong(found.data)

    service = Service(pong_only, good)
    async with session_with(service, attempt_timeout=0.05) as session:
        assert await first(session, heartbeat=0.01) == 1
    assert len(service.requests) == 2


async def test_a_subscription_that_is_too_large_ends_the_stream() -> None:
    """Close code 1009 before the subscription is an error that says to name fewer devices."""

    async def small(socket: Socket) -> None:
        await socket.close(code=1009)

    service = Service(small)
    async with session_with(service) as session, session.stream(devices=["a", "b"]) as stream:
        with pytest.raises(BadRequestError, match="fewer devices"):
            await stream.until_connected()
    assert len(service.requests) == 1


# -- a protocol of another kind --------------------------------------------------------------------


class Telegrams(StreamProtocol):
    """Frames ``device;milliseconds;JSON`` in bytes, without hello, subscription or numbers."""

    address = "/ws/telemetry"
    credential = HeaderKey("Authentication", "bearer ")

    def command(self, ref: str, device_id: str, command: str, timeout: float) -> str:
        return f"RUN {ref} {device_id} {command}"

    def read(self, data: str | bytes) -> Sequence[Frame]:
        if data == "beat":
            return [Heartbeat()]
        if isinstance(data, str):
            kind, _, ref = data.partition(" ")
            return [CommandRefused(ref=ref, error=BadRequestError("no"))] if kind == "NO" else []
        device_id, at, payload = data.split(b";", 2)
        if not at.isdigit():
            raise DecodeError("expected milliseconds", path="$")
        time = datetime.fromtimestamp(int(at) / 1000, UTC)
        message = Message(device_id=device_id.decode(), timestamp=time, payload_json=payload)
        return [MessageFrame(message=message)]


async def test_another_protocol_can_be_used() -> None:
    """Its address, credential, frames and commands are used; gaps are reported as usual."""

    async def speak(socket: Socket) -> None:
        await socket.send_str("beat")
        await socket.send_bytes(b'd1;1772366400000;{"n":1}')
        command = await next_text(socket)
        await socket.send_str(f"NO {command.split()[1]}")
        await socket.close(code=1001)

    service = Service(speak, sending(b'd2;1772366401500;{"n":2}'))
    async with session_with(service) as session, session.stream(protocol=Telegrams()) as stream:
        events = aiter(stream)
        one = await anext(events)
        assert isinstance(one, Message)
        assert (one.device_id, one.timestamp, one.payload) == ("d1", NOON, {"n": 1})
        with pytest.raises(BadRequestError):
            await stream.run("d1", "blink")
        gap, two = await anext(events), await anext(events)
        assert gap == Gap(start=NOON, end=None, reason="reconnect")
        assert isinstance(two, Message)
        assert two.timestamp - NOON == timedelta(seconds=1.5)
    assert {request.path for request in service.requests} == {"/ws/telemetry"}
    assert all("Authentication" in request.headers for request in service.requests)


# -- in virtual time -------------------------------------------------------------------------------


class Scripted:
    """A connection that receives some frames and ends, or one on which a send never ends."""

    server_time = None

    def __init__(self, *frames: str, lasts: float = 0.0, reads: bool = True) -> None:
        self._frames = list(frames)
        self._lasts = lasts
        self._reads = reads

    async def send(self, frame: str) -> None:
        """Return at once, or never."""
        if not self._reads:
            await asyncio.get_running_loop().create_future()

    def expect_frames(self, interval: float | None) -> None:
        """Do nothing."""

    async def receive(self, until: float | None = None, *, or_pong: bool = False) -> str:
        """The next frame."""
        if self._frames:
            return self._frames.pop(0)
        await asyncio.sleep(self._lasts)
        raise WebSocketClosedError("it ended", 1012)

    async def aclose(self) -> None:
        """Do nothing."""


async def supervised(make: Callable[[], Scripted], seconds: float) -> Supervisor:
    """A supervisor after so many seconds with these connections."""

    async def connect() -> Any:
        return make()

    clock = VirtualClock()
    supervisor = Supervisor(
        StreamOptions(settle=0),
        MessageBuffer(1000, "drop_oldest"),
        connect=connect,
        opening=lambda: ["hello", "subscribe"],
        config=Config(),
        clock=clock,
        pause=clock.sleep,
    )
    task = asyncio.create_task(supervisor.run())
    await asyncio.sleep(seconds)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    return supervisor


@virtual
async def test_a_service_that_drops_connections_is_not_flooded() -> None:
    """The pauses grow to 5 s on average, although each connection brought a message."""
    supervisor = await supervised(lambda: Scripted(WELCOME, SUBSCRIBED, message(1)), 600)
    assert supervisor.stats.messages == supervisor.stats.connections
    assert 600 / 5 * 0.8 < supervisor.stats.connections < 15 + 600 / 5 * 1.2


@virtual
async def test_after_a_stable_connection_the_first_pause_is_short() -> None:
    """A connection of more than 10 s resets the back-off."""
    supervisor = await supervised(lambda: Scripted(WELCOME, SUBSCRIBED, lasts=11.0), 600)
    assert supervisor.stats.connections > 600 / 11.2 * 0.98


@virtual
async def test_a_connection_on_which_a_send_hangs_is_closed() -> None:
    """After 20 s without progress the stream reconnects."""
    connections = iter([Scripted(reads=False), Scripted(WELCOME, SUBSCRIBED, message(1), lasts=99)])
    supervisor = await supervised(lambda: next(connections), 25)
    assert (supervisor.stats.connections, supervisor.stats.messages) == (2, 1)


@virtual
async def test_held_messages_are_delivered_when_a_connection_ends() -> None:
    """A message that came is delivered, although the ones before it are missing."""
    connections = iter([Scripted(WELCOME, SUBSCRIBED, message(3)), Scripted(lasts=99)])
    supervisor = await supervised(lambda: next(connections), 5)
    assert (supervisor.stats.messages, supervisor.stats.lost) == (1, 2)
