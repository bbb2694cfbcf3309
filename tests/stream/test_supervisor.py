"""Connections of a stream with services that misbehave, and with one that speaks otherwise."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from aiohttp import WSMsgType, web
from attrs import frozen

from iottly_async import (
    BadRequestError,
    Config,
    DecodeError,
    Gap,
    IottlyError,
    IottlySession,
    Message,
    RateLimiter,
    RetryPolicy,
)
from iottly_async.auth import Generation
from iottly_async.stream.buffer import MessageBuffer
from iottly_async.stream.options import StreamOptions
from iottly_async.stream.protocol import (
    CommandRefused,
    Frame,
    Heartbeat,
    MessageFrame,
    Subscription,
)
from iottly_async.stream.supervisor import Supervisor
from iottly_async.transport.websocket import WebSocketClosedError

from ..support.virtual_time import VirtualClock, virtual

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
WELCOME = '{"type":"welcome","version":1,"heartbeat":10}'
SUBSCRIBED = '{"type":"subscribed","seq":0,"at":"2026-03-01T12:00:00.000Z"}'

Socket = web.WebSocketResponse
Script = Callable[[Socket], Awaitable[None]]


def message(number: int) -> str:
    """A frame of the assumed protocol."""
    row = {"from": "d", "timestamp": "2026-03-01T12:00:01", "payload": {"n": number}}
    return json.dumps({"type": "message", "seq": number, "message": row})


async def good(socket: Socket) -> None:
    """A connection as it should be, with one message."""
    for frame in (WELCOME, SUBSCRIBED, message(1)):
        await socket.send_str(frame)
    await deaf(socket)


async def deaf(socket: Socket) -> None:
    """Say no more, but take what comes, until the other side leaves."""
    while (await socket.receive()).type in (WSMsgType.TEXT, WSMsgType.PING):
        pass


class Service:
    """What is at the other end: a script for each connection, the last one for all further."""

    def __init__(self, *scripts: Script) -> None:
        self._scripts = list(scripts)
        self.requests: list[web.BaseRequest] = []

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """One connection."""
        script = self._scripts.pop(0) if len(self._scripts) > 1 else self._scripts[0]
        self.requests.append(request)
        socket = Socket(autoping=False, timeout=0.01, max_msg_size=0)
        await socket.prepare(request)
        await script(socket)
        return socket


@asynccontextmanager
async def session_on(service: Service, **settings: Any) -> AsyncIterator[IottlySession]:
    """A session on it that reconnects at once."""
    runner = web.ServerRunner(web.Server(service.handle), shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0][:2]
    retry = RetryPolicy(initial_delay=0.01, max_delay=0.02)
    config = Config(base_url=f"http://{host}:{port}", retry=retry, settle=0, **settings)
    try:
        async with IottlySession("key", config=config, limiter=RateLimiter()) as session:
            yield session
    finally:
        await runner.cleanup()


async def first(session: IottlySession, **options: Any) -> Any:
    """The number of the first message that a stream brings."""
    async with asyncio.timeout(10), session.stream(**options) as stream:
        async for found in stream.messages():
            return found.payload["n"]
    return None


def saying(*frames: str | bytes) -> Script:
    """A script that sends these frames and then listens."""

    async def script(socket: Socket) -> None:
        for frame in frames:
            await (socket.send_str(frame) if isinstance(frame, str) else socket.send_bytes(frame))
        await deaf(socket)

    return script


async def bad_text(socket: Socket) -> None:
    """A frame of text that is none."""
    await socket.send_frame(b"\xff\xfe", WSMsgType.TEXT)
    await deaf(socket)


@pytest.mark.parametrize(
    "script",
    [
        saying("no JSON"),
        saying(b"\x00\xff\x80"),
        saying("[]", "[]"),
        saying(WELCOME, SUBSCRIBED, '{"type":"message","seq":1,"message":{"from":7}}'),
        saying('{"type":"welcome","heartbeat":"soon"}'),
        saying("[" * 50_000),
        bad_text,
    ],
    ids=["text", "bytes", "list", "message", "welcome", "nested", "utf8"],
)
async def test_garbage_ends_a_connection_and_not_the_stream(script: Script) -> None:
    """What cannot be read is never guessed at: the connection is made anew."""
    service = Service(script, good)
    async with session_on(service) as session:
        assert await first(session) == 1
    assert len(service.requests) == 2


async def test_frames_may_be_binary_and_of_unknown_kinds() -> None:
    """The same JSON in a binary frame is the same, and a kind not known is passed over."""
    frames = (WELCOME, '{"type":"news","seq":9}', SUBSCRIBED, message(1))
    service = Service(saying(*map(str.encode, frames)))
    async with session_on(service) as session:
        assert await first(session) == 1


async def test_a_service_that_never_says_hello_is_left() -> None:
    """A connection that is alive but brings no subscription is given up and tried again."""

    async def ponging(socket: Socket) -> None:
        while (found := await socket.receive()).type in (WSMsgType.TEXT, WSMsgType.PING):
            if found.type is WSMsgType.PING:
                await socket.pong(found.data)

    service = Service(ponging, good)
    async with session_on(service, attempt_timeout=0.05) as session:
        assert await first(session, heartbeat=0.01) == 1
    assert len(service.requests) == 2


@pytest.mark.parametrize("promised", ["null", "3600", "0", "-1"])
async def test_who_answers_no_ping_is_left(promised: str) -> None:
    """Half-open is found out although no frames, or hardly any, were promised."""
    welcome = f'{{"type":"welcome","heartbeat":{promised}}}'
    service = Service(saying(welcome, SUBSCRIBED), good)
    async with session_on(service) as session:
        assert await first(session, heartbeat=0.02) == 1
    assert len(service.requests) == 2


async def test_who_answers_pings_may_be_silent() -> None:
    """Without a promise an answer is a sign of life, however long nothing is said."""
    pings = 0

    async def patient(socket: Socket) -> None:
        nonlocal pings
        await socket.send_str(SUBSCRIBED)
        while (found := await socket.receive()).type in (WSMsgType.TEXT, WSMsgType.PING):
            if found.type is WSMsgType.PING:
                pings += 1
                await socket.pong(found.data)
                if pings == 5:
                    await socket.send_str(message(1))

    service = Service(patient)
    async with session_on(service) as session:
        assert await first(session, heartbeat=0.02) == 1
    assert (len(service.requests), pings) == (1, 5)


async def test_a_subscription_that_is_too_large_is_final() -> None:
    """Trying again would not mend it: the error says what would."""

    async def small(socket: Socket) -> None:
        await socket.close(code=1009)

    service = Service(small)
    async with session_on(service) as session, session.stream(devices=["a", "b"]) as stream:
        with pytest.raises(BadRequestError, match="fewer devices"):
            await stream.until_connected()
    assert len(service.requests) == 1


# -- a protocol of another kind --------------------------------------------------------------------


@frozen
class Telegrams:
    """Another service's frames: ``device;milliseconds;JSON`` in bytes, unasked, unnumbered."""

    path: str = "/ws/telemetry"
    generation: Generation = "v1.0"

    def hello(self) -> str | None:
        return None

    def subscribe(self, wanted: Subscription) -> str | None:
        return None

    def command(self, ref: str, device_id: str, command: str, timeout: float) -> str:
        return f"RUN {ref} {device_id} {command}"

    def read(self, data: str | bytes) -> Frame | None:
        if data == "beat":
            return Heartbeat()
        if isinstance(data, str):
            kind, _, ref = data.partition(" ")
            return CommandRefused(ref=ref, error=BadRequestError("no")) if kind == "NO" else None
        device_id, at, payload = data.split(b";", 2)
        if not at.isdigit():
            raise DecodeError("expected milliseconds", path="$")
        time = datetime.fromtimestamp(int(at) / 1000, UTC)
        return MessageFrame(
            message=Message(device_id=device_id.decode(), timestamp=time, payload_json=payload)
        )

    def final(self, code: int) -> IottlyError | None:
        return None


async def test_another_protocol_in_place_of_ours() -> None:
    """Address, credential, frames and commands are the protocol's; the rest works as ever."""

    async def speak(socket: Socket) -> None:
        await socket.send_str("beat")
        await socket.send_bytes(b'd1;1772366400000;{"n":1}')
        command = await socket.receive_str()
        await socket.send_str(f"NO {command.split()[1]}")
        await socket.close(code=1001)

    service = Service(speak, saying(b'd2;1772366401500;{"n":2}'))
    async with session_on(service) as session, session.stream(protocol=Telegrams()) as stream:
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
    """A line that brings some frames and ends; or one that takes nothing in."""

    def __init__(self, *frames: str, lasts: float = 0.0, reads: bool = True) -> None:
        self._frames = list(frames)
        self._lasts = lasts
        self._reads = reads

    async def send(self, text: str) -> None:
        """Returns once the frame has left."""
        if not self._reads:
            await asyncio.get_running_loop().create_future()

    def expect_frames(self, interval: float | None) -> None:
        """Nobody keeps it."""

    async def receive(self, until: float | None = None) -> str:
        """The next frame."""
        if self._frames:
            return self._frames.pop(0)
        await asyncio.sleep(self._lasts)
        raise WebSocketClosedError("it ended", 1012)

    async def aclose(self) -> None:
        """It is over."""


async def supervised(make: Callable[[], Scripted], seconds: float) -> Supervisor:
    """What keeps a stream connected, after that time with these lines."""

    async def connect() -> Any:
        return make()

    clock = VirtualClock()
    supervisor = Supervisor(
        StreamOptions(settle=0),
        MessageBuffer(1000, "drop_oldest"),
        connect=connect,
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
async def test_a_service_that_welcomes_and_drops_is_not_stormed() -> None:
    """However friendly each connection began, the pauses grow to five seconds on average."""
    supervisor = await supervised(lambda: Scripted(WELCOME, SUBSCRIBED, message(1)), 600)
    assert supervisor.stats.messages == supervisor.stats.connections
    assert 600 / 5 * 0.8 < supervisor.stats.connections < 15 + 600 / 5 * 1.2


@virtual
async def test_after_a_good_connection_the_next_is_made_at_once() -> None:
    """One that held for a while is worth the shortest pause."""
    supervisor = await supervised(lambda: Scripted(WELCOME, SUBSCRIBED, lasts=11.0), 600)
    assert supervisor.stats.connections > 600 / 11.2 * 0.98


@virtual
async def test_a_service_that_reads_nothing_is_left() -> None:
    """A subscription that nobody takes in is given up after a while."""
    lines = iter([Scripted(reads=False), Scripted(WELCOME, SUBSCRIBED, message(1), lasts=99)])
    supervisor = await supervised(lambda: next(lines), 25)
    assert (supervisor.stats.connections, supervisor.stats.messages) == (2, 1)


@virtual
async def test_what_was_held_back_when_a_connection_ended_is_handed_on() -> None:
    """A message that came is not lost because one before it did not."""
    lines = iter([Scripted(WELCOME, SUBSCRIBED, message(3)), Scripted(lasts=99)])
    supervisor = await supervised(lambda: next(lines), 5)
    assert (supervisor.stats.messages, supervisor.stats.lost) == (1, 2)
