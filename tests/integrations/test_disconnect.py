"""The disconnect middleware, with plain ASGI applications and in virtual time."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from iottly_async.integrations._disconnect import CancelOnDisconnect, Message, Receive, Scope, Send

from ..support.virtual_time import virtual

END: Message = {"type": "http.response.body", "body": b"", "more_body": False}
PART: Message = {"type": "http.response.body", "body": b"x", "more_body": True}
START: Message = {"type": "http.response.start", "status": 200, "headers": []}


class Client:
    """A client that sends a body in these parts, and disconnects after so many seconds."""

    def __init__(self, *parts: bytes, disconnects_at: float) -> None:
        self._parts = list(parts)
        self._disconnects_at = asyncio.get_running_loop().time() + disconnects_at
        self.sent: list[str] = []

    async def receive(self) -> Message:
        """The server's `receive`."""
        if self._parts:
            part = self._parts.pop(0)
            return {"type": "http.request", "body": part, "more_body": bool(self._parts)}
        await asyncio.sleep(max(0, self._disconnects_at - asyncio.get_running_loop().time()))
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        """The server's `send`; the types of messages are kept in `sent`."""
        self.sent.append(message["type"])

    async def request(self, app: Any, *headers: tuple[bytes, bytes]) -> float:
        """Send the request to an application; return the seconds that it took."""
        started = asyncio.get_running_loop().time()
        scope: Scope = {"type": "http", "headers": list(headers)}
        await CancelOnDisconnect(app)(scope, self.receive, self.send)
        return asyncio.get_running_loop().time() - started


@virtual
async def test_a_handler_is_cancelled_when_its_client_disconnects() -> None:
    """It is cancelled at once, and its `finally` block is run."""
    steps: list[str] = []

    async def app(_scope: Scope, _receive: Receive, _send: Send) -> None:
        try:
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(1)
            steps.append("cleaned up")

    assert await Client(b"", disconnects_at=5).request(app) == pytest.approx(6)
    assert steps == ["cleaned up"]


@virtual
async def test_a_quick_response_costs_no_task() -> None:
    """Within 50 ms of the request no task is started."""
    tasks: set[Any] = set()

    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        await asyncio.sleep(0.01)
        tasks.update(asyncio.all_tasks())
        await send(START)
        await send(END)

    client = Client(b"", disconnects_at=5)
    await client.request(app)
    assert client.sent == ["http.response.start", "http.response.body"]
    assert len(tasks) == 1
    assert len(asyncio.all_tasks()) == 1


@virtual
async def test_work_after_the_response_is_not_cancelled() -> None:
    """A background task runs to its end, although the client has disconnected."""

    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        await asyncio.sleep(1)
        await send(START)
        await send(END)
        await asyncio.sleep(60)

    assert await Client(b"", disconnects_at=2).request(app) == pytest.approx(61)


@virtual
async def test_a_streaming_response_is_cancelled() -> None:
    """A response that has begun is cancelled as well."""

    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send(START)
        while True:
            await send(PART)
            await asyncio.sleep(1)

    assert await Client(b"", disconnects_at=9.5).request(app) == pytest.approx(9.5)


@virtual
async def test_the_application_reads_the_whole_body() -> None:
    """Every part comes once and in order, and the watch starts after the last one."""
    read: list[bytes] = []

    async def app(_scope: Scope, receive: Receive, _send: Send) -> None:
        more = True
        while more:
            message = await receive()
            read.append(message["body"])
            more = message["more_body"]
            await asyncio.sleep(1)
        await asyncio.sleep(60)

    length = (b"content-length", b"3")
    seconds = await Client(b"a", b"b", b"c", disconnects_at=5).request(app, length)
    assert read == [b"a", b"b", b"c"]
    assert seconds == pytest.approx(5)


@virtual
async def test_an_application_that_receives_gets_the_disconnect() -> None:
    """An application that waits for the disconnect itself gets it."""
    received: list[str] = []

    async def app(_scope: Scope, receive: Receive, _send: Send) -> None:
        try:
            while len(received) < 4:
                received.append((await receive())["type"])
        except asyncio.CancelledError:
            received.append("cancelled")
            raise

    await Client(b"", disconnects_at=5).request(app)
    assert received[:2] == ["http.request", "http.disconnect"]


@virtual
async def test_a_timeout_in_the_handler_is_raised() -> None:
    """It is not mistaken for a disconnect."""

    async def app(_scope: Scope, _receive: Receive, _send: Send) -> None:
        async with asyncio.timeout(1):
            await asyncio.sleep(60)

    with pytest.raises(TimeoutError):
        await Client(b"", disconnects_at=50).request(app)


@virtual
async def test_a_cancelled_request_is_cancelled() -> None:
    """If the server cancels the request, `CancelledError` is raised and no task is left."""

    async def app(_scope: Scope, _receive: Receive, _send: Send) -> None:
        await asyncio.sleep(60)

    request = asyncio.create_task(Client(b"", disconnects_at=50).request(app))
    await asyncio.sleep(1)
    request.cancel()
    with pytest.raises(asyncio.CancelledError):
        await request
    await asyncio.sleep(0)
    assert len(asyncio.all_tasks()) == 1


@virtual
async def test_lifespans_and_websockets_pass_unchanged() -> None:
    """The application gets the server's own `receive` and `send`."""
    seen: list[Any] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.extend((scope["type"], receive, send))

    client = Client(disconnects_at=1)
    receive, send = client.receive, client.send
    await CancelOnDisconnect(app)({"type": "websocket"}, receive, send)
    assert seen == ["websocket", receive, send]
