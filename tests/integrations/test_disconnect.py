"""Clients that go away, against applications of bare ASGI, in virtual time."""

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
    """A client that sends these parts of a body, and goes away at that second."""

    def __init__(self, *parts: bytes, leaves_at: float) -> None:
        self._parts = list(parts)
        self._leaves_at = asyncio.get_running_loop().time() + leaves_at
        self.got: list[str] = []

    async def receive(self) -> Message:
        """As a server hands it to an application."""
        if self._parts:
            part = self._parts.pop(0)
            return {"type": "http.request", "body": part, "more_body": bool(self._parts)}
        await asyncio.sleep(max(0, self._leaves_at - asyncio.get_running_loop().time()))
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        """As an application answers it."""
        self.got.append(message["type"])

    async def ask(self, app: Any, *headers: tuple[bytes, bytes]) -> float:
        """Let an application answer; the seconds it was at work."""
        begin = asyncio.get_running_loop().time()
        scope: Scope = {"type": "http", "headers": list(headers)}
        await CancelOnDisconnect(app)(scope, self.receive, self.send)
        return asyncio.get_running_loop().time() - begin


@virtual
async def test_a_handler_ends_when_its_client_goes() -> None:
    """It is cancelled then and there, and its clean-up is run."""
    steps: list[str] = []

    async def app(_scope: Scope, _receive: Receive, _send: Send) -> None:
        try:
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(1)
            steps.append("cleaned up")

    assert await Client(b"", leaves_at=5).ask(app) == pytest.approx(6)
    assert steps == ["cleaned up"]


@virtual
async def test_a_handler_that_was_done_before_costs_no_task() -> None:
    """A quick answer is given without anybody looking out."""
    tasks: set[Any] = set()

    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        await asyncio.sleep(0.01)
        tasks.update(asyncio.all_tasks())
        await send(START)
        await send(END)

    client = Client(b"", leaves_at=5)
    await client.ask(app)
    assert client.got == ["http.response.start", "http.response.body"]
    assert len(tasks) == 1
    assert len(asyncio.all_tasks()) == 1


@virtual
async def test_work_after_the_answer_is_left_alone() -> None:
    """A background task runs to its end, although the client went with its answer."""

    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        await asyncio.sleep(1)
        await send(START)
        await send(END)
        await asyncio.sleep(60)

    assert await Client(b"", leaves_at=2).ask(app) == pytest.approx(61)


@virtual
async def test_a_stream_of_parts_ends_with_its_client() -> None:
    """An answer that was begun is no reason to go on with it."""

    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send(START)
        while True:
            await send(PART)
            await asyncio.sleep(1)

    assert await Client(b"", leaves_at=9.5).ask(app) == pytest.approx(9.5)


@virtual
async def test_a_body_is_read_by_the_application_alone() -> None:
    """Every part comes once, in order, also when it is read slowly; then the watch begins."""
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
    seconds = await Client(b"a", b"b", b"c", leaves_at=5).ask(app, length)
    assert read == [b"a", b"b", b"c"]
    assert seconds == pytest.approx(5)


@virtual
async def test_an_application_that_listens_itself_hears_it_too() -> None:
    """Who waits for the client's departure is told, as often as he asks."""
    heard: list[str] = []

    async def app(_scope: Scope, receive: Receive, _send: Send) -> None:
        try:
            while len(heard) < 4:
                heard.append((await receive())["type"])
        except asyncio.CancelledError:
            heard.append("cancelled")
            raise

    await Client(b"", leaves_at=5).ask(app)
    assert heard[:2] == ["http.request", "http.disconnect"]


@virtual
async def test_an_error_of_the_handler_is_its_own() -> None:
    """A timeout within the handler is not taken for a client that went."""

    async def app(_scope: Scope, _receive: Receive, _send: Send) -> None:
        async with asyncio.timeout(1):
            await asyncio.sleep(60)

    with pytest.raises(TimeoutError):
        await Client(b"", leaves_at=50).ask(app)


@virtual
async def test_a_cancelled_server_is_obeyed() -> None:
    """A server that cancels a request gets its cancellation, and nothing is left behind."""

    async def app(_scope: Scope, _receive: Receive, _send: Send) -> None:
        await asyncio.sleep(60)

    asked = asyncio.create_task(Client(b"", leaves_at=50).ask(app))
    await asyncio.sleep(1)
    asked.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asked
    await asyncio.sleep(0)
    assert len(asyncio.all_tasks()) == 1


@virtual
async def test_what_is_no_request_passes_through() -> None:
    """Lifespans and WebSockets are none of its business."""
    seen: list[Any] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.extend((scope["type"], receive, send))

    client = Client(leaves_at=1)
    receive, send = client.receive, client.send
    await CancelOnDisconnect(app)({"type": "websocket"}, receive, send)
    assert seen == ["websocket", receive, send]
