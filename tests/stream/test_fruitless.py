"""A stream whose connections carry nothing ends with an error, and any other does not."""

from __future__ import annotations

import asyncio
import json
import logging
import re
import time
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from aiohttp import web

from iottly_async import (
    Config,
    DecodeError,
    IottlyError,
    NotFoundError,
    StreamClosedError,
)
from iottly_async.stream.buffer import MessageBuffer
from iottly_async.stream.options import StreamOptions
from iottly_async.stream.protocol import Frame, StreamProtocol, message_frame
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
    sending,
    session_with,
)


def closing(code: int, reason: str = "", *frames: str) -> Script:
    """A script that sends these frames and closes with this code and reason."""

    async def script(socket: Socket) -> None:
        for frame in frames:
            await socket.send_str(frame)
        await socket.close(code=code, message=reason.encode())

    return script


async def ended(service: Service, **options: Any) -> IottlyError:
    """The error with which a stream on this service ends."""
    async with session_with(service) as session, session.stream(**options) as stream:
        with pytest.raises(IottlyError) as caught:
            async with asyncio.timeout(10):
                await stream.until_connected()
        with pytest.raises(type(caught.value)):
            await anext(aiter(stream))
    return caught.value


@pytest.mark.parametrize("code", [1000, 1001, 1003, 1008, 1011, 1013, 3000, 4001, 4400, 4999])
async def test_five_closed_connections_in_a_row_end_the_stream(code: int) -> None:
    """The error holds the close code and the reason of the last one."""
    service = Service(closing(code, "not for you"))
    error = await ended(service)
    assert isinstance(error, StreamClosedError)
    assert (error.close_code, error.close_reason) == (code, "not for you")
    assert f"with code {code}: not for you" in str(error)
    assert len(service.requests) == 5


async def test_a_greeting_alone_is_nothing() -> None:
    """A service that greets and then refuses the subscription ends the stream as well."""
    error = await ended(Service(closing(4400, "", WELCOME)))
    assert isinstance(error, StreamClosedError)
    assert (error.close_code, error.close_reason) == (4400, "")


@pytest.mark.parametrize("code", [1000, 1008, 3000, 4001])
async def test_a_confirmation_alone_is_nothing_if_a_refusal_follows(code: int) -> None:
    """A service that confirms the subscription and then refuses at once ends the stream, too."""
    service = Service(closing(code, "over the limit", WELCOME, SUBSCRIBED))
    async with session_with(service) as session, session.stream() as stream:
        with pytest.raises(StreamClosedError, match="over the limit") as caught:
            [event async for event in stream]
    assert (caught.value.close_code, len(service.requests)) == (code, 5)


@pytest.mark.parametrize("code", [1008, 4001])
@pytest.mark.parametrize("frame", [message(1), '{"type":"heartbeat"}'], ids=["message", "beat"])
async def test_a_frame_of_content_is_something(code: int, frame: str) -> None:
    """A service that sends messages or heartbeats before it closes is no refusal."""
    brief = closing(code, "", WELCOME, SUBSCRIBED, frame)
    service = Service(*[brief] * 8, good)
    async with session_with(service) as session, session.stream() as stream:
        await stream.until_connected()
        async with asyncio.timeout(10):
            while len(service.requests) < 9:
                await anext(aiter(stream))


async def test_a_reason_is_one_line() -> None:
    """The service's text cannot write to a terminal or forge a line of a log."""
    error = await ended(Service(closing(1008, "a\x1b[2J\nb")))
    assert isinstance(error, StreamClosedError)
    assert error.close_reason.isprintable()


async def test_a_connection_that_carried_something_starts_the_count_again() -> None:
    """Four refusals, a good connection and four refusals do not end the stream."""
    refuse = closing(1008)
    brief = closing(1012, "", WELCOME, SUBSCRIBED)
    service = Service(*[refuse] * 4, brief, *[refuse] * 4, good)
    async with session_with(service) as session:
        assert await first(session) == 1
    assert len(service.requests) == 10


@pytest.mark.parametrize("frame", ["no JSON", '["a list"]', "\x00"])
async def test_frames_of_another_protocol_end_the_stream(frame: str) -> None:
    """A service whose frames cannot be read is not asked for ever."""
    service = Service(sending(frame))
    assert isinstance(await ended(service), DecodeError)
    assert len(service.requests) == 5


async def test_a_service_that_never_confirms_ends_the_stream() -> None:
    """A service that ignores the subscription is of another protocol."""
    service = Service(sending())
    async with session_with(service, attempt_timeout=0.2) as session:
        with pytest.raises(StreamClosedError, match="did not confirm") as caught:
            async with asyncio.timeout(10), session.stream() as stream:
                await stream.until_connected()
    assert (caught.value.close_code, len(service.requests)) == (None, 5)


class Page(Service):
    """A proxy that answers with a page."""

    def __init__(self, status: int, times: int) -> None:
        super().__init__(good)
        self._status = status
        self._times = times

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer the first requests with the page."""
        if len(self.requests) >= self._times:
            return await super().handle(request)
        self.requests.append(request)
        return web.Response(status=self._status, text="<html>", content_type="text/html")


async def test_an_address_that_only_a_proxy_knows_ends_the_stream() -> None:
    """A proxy's 404 may pass in an outage, but not five times in a row."""
    service = Page(404, times=99)
    error = await ended(service)
    assert type(error) is NotFoundError
    assert len(service.requests) == 5


@pytest.mark.parametrize(("status", "times"), [(404, 4), (502, 12), (503, 12)])
async def test_an_outage_behind_a_proxy_is_waited_out(status: int, times: int) -> None:
    """As long as there is no connection at all, the stream goes on trying."""
    service = Page(status, times)
    async with session_with(service) as session:
        assert await first(session) == 1
    assert len(service.requests) == times + 1


async def test_connections_that_are_lost_are_not_counted() -> None:
    """A network that drops connections without a close frame is no refusal."""

    async def reset(socket: Socket) -> None:
        transport = socket._req.transport if socket._req is not None else None
        assert isinstance(transport, asyncio.Transport)
        transport.abort()

    service = Service(*[reset] * 12, good)
    async with session_with(service) as session:
        assert await first(session) == 1
    assert len(service.requests) == 13


# -- in virtual time -------------------------------------------------------------------------------


class Unconfirmed(StreamProtocol):
    """A protocol whose service confirms nothing."""

    address = "/feed"

    def read(self, data: str | bytes) -> Sequence[Frame]:
        return [message_frame(row) for row in json.loads(data)]


class Closing:
    """A connection that carries some frames, lasts a while, and is closed with a code."""

    server_time = None

    def __init__(self, *frames: str, lasts: float, code: int = 1001) -> None:
        self._frames = list(frames)
        self._lasts = lasts
        self._code = code

    async def send(self, frame: str) -> None:
        """Do nothing."""

    async def ping(self) -> None:
        """Do nothing; no pong comes."""

    def expect_frames(self, interval: float | None) -> None:
        """Do nothing."""

    async def receive(self, until: float | None = None, *, or_pong: bool = False) -> str | None:
        """The next frame, or None after `until`."""
        if self._frames:
            return self._frames.pop(0)
        now = asyncio.get_running_loop().time()
        if until is not None and until < now + self._lasts:
            self._lasts -= max(until - now, 0.0)
            await asyncio.sleep(max(until - now, 0.0))
            return None
        await asyncio.sleep(self._lasts)
        raise WebSocketClosedError("it ended", self._code)

    async def aclose(self) -> None:
        """Do nothing."""


async def after(
    seconds: float, make: Callable[[], Closing], protocol: StreamProtocol | None = None
) -> tuple[Supervisor, BaseException | None, float]:
    """A supervisor after so long, the error with which it ended, and after how long."""

    async def connect() -> Any:
        return make()

    clock = VirtualClock()
    supervisor = Supervisor(
        StreamOptions(settle=0, protocol=protocol),
        MessageBuffer(1000, "drop_oldest"),
        connect=connect,
        opening=list,
        config=Config(),
        clock=clock,
        pause=clock.sleep,
    )
    begun = clock.monotonic()
    task = asyncio.create_task(supervisor.run())
    await asyncio.wait([task], timeout=seconds)
    took = clock.monotonic() - begun
    if not task.done():
        task.cancel()
        await asyncio.wait([task])
        return supervisor, None, took
    return supervisor, task.exception(), took


@virtual
async def test_it_backs_off_before_it_ends() -> None:
    """The pauses between the five connections grow: together they last longer than the first."""
    supervisor, error, took = await after(600, lambda: Closing(lasts=0.0, code=1008))
    assert isinstance(error, StreamClosedError)
    assert supervisor.stats.connections == 5
    assert 0.4 < took < 0.2 + 0.4 + 0.8 + 1.6


@virtual
async def test_a_service_that_closes_after_a_while_is_counted_too() -> None:
    """A service that waits 15 s for a first frame that it knows, and closes, refuses as well."""
    _, error, took = await after(600, lambda: Closing(WELCOME, lasts=15.0, code=4001))
    assert isinstance(error, StreamClosedError)
    assert took < 5 * 15 + 5


@virtual
async def test_a_quiet_project_is_not_an_error() -> None:
    """Without a promised confirmation, a connection of over a minute counts as used."""
    supervisor, error, _ = await after(3600, lambda: Closing(lasts=90.0), Unconfirmed())
    assert error is None
    assert supervisor.stats.connections > 30


@virtual
async def test_a_confirmed_stream_of_a_quiet_project_goes_on() -> None:
    """A subscription that was confirmed is something, although no message came."""
    supervisor, error, _ = await after(3600, lambda: Closing(WELCOME, SUBSCRIBED, lasts=0.0))
    assert error is None
    assert supervisor.stats.connections > 100


@virtual
async def test_any_frame_is_something_if_none_was_promised() -> None:
    """A frame without messages shows that the service speaks the protocol."""
    _, error, _ = await after(600, lambda: Closing("[]", lasts=1.0), Unconfirmed())
    assert error is None


@virtual
async def test_an_unconfirmed_stream_that_is_closed_at_once_ends() -> None:
    """Nothing came, and nothing can have come."""
    _, error, _ = await after(600, lambda: Closing(lasts=0.5, code=3000), Unconfirmed())
    assert isinstance(error, StreamClosedError)
    assert error.close_code == 3000


# -- what is logged --------------------------------------------------------------------------------


async def test_an_outage_is_logged_once_as_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    """The third failure in a row is a warning, the others are not; the end says how long it was."""
    service = Page(503, times=6)
    begun = time.monotonic()
    with caplog.at_level(logging.INFO, "iottly_async.stream"):
        async with session_with(service) as session:
            assert await first(session) == 1
    most = time.monotonic() - begun
    records = [each for each in caplog.records if each.name == "iottly_async.stream"]
    levels = [each.levelname for each in records]
    assert levels == ["INFO", "INFO", "WARNING", "INFO", "INFO", "INFO", "INFO"]
    assert "503" in records[2].getMessage()
    pauses = re.findall(r"reconnecting in ([\d.]+) s", caplog.text)
    assert len(pauses) == 6
    said = re.fullmatch(
        r"the stream is connected again, after ([\d.]+) s", records[-1].getMessage()
    )
    assert said
    assert sum(map(float, pauses)) - 0.05 <= float(said[1]) <= most + 0.05


async def test_reconnects_that_carry_messages_are_no_warning(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A service that closes its connections now and then is an ordinary one."""
    brief = closing(1012, "", WELCOME, SUBSCRIBED)
    service = Service(*[brief] * 6, good)
    with caplog.at_level(logging.WARNING, "iottly_async.stream"):
        async with session_with(service) as session:
            assert await first(session) == 1
    assert [each for each in caplog.records if each.name == "iottly_async.stream"] == []
