"""An ASGI middleware that ends a request's work when its client has gone."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]


class CancelOnDisconnect:
    """Cancels the handling of a request whose client has gone, and with it its calls.

    Servers tell an application that the client has gone, and frameworks let the handler
    run to its end all the same, spending quota for nobody. Here it is cancelled as by
    `asyncio.timeout`: what it awaits gets `CancelledError`, `finally` and `async with`
    do their work, and no answer is sent. From the answer's last byte on, background
    tasks are left alone.

    It can watch once the request's body was read, or there is none.

    Args:
        app: what it stands before.
    """

    def __init__(self, app: App) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request; what is not HTTP passes through."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        limit = asyncio.timeout(None)
        line = _Line(receive, send, limit)
        if not _has_body(scope):
            line.watch()
        try:
            async with limit:
                await self._app(scope, line.receive, line.send)
        except TimeoutError:
            if not limit.expired():
                raise
        finally:
            await line.stop()


class _Line:
    """What one request receives and sends, with an eye on its client."""

    def __init__(self, receive: Receive, send: Send, limit: asyncio.Timeout) -> None:
        self._receive = receive
        self._send = send
        self._limit = limit
        self._read: asyncio.Queue[MutableMapping[str, Any]] = asyncio.Queue()
        self._watcher: asyncio.Task[None] | None = None
        self._gone = False

    def watch(self) -> None:
        """Look out for the client's departure; from now on only the watcher receives."""
        self._watcher = asyncio.create_task(self._watch())

    async def _watch(self) -> None:
        while not self._gone:
            message = await self._receive()
            self._read.put_nowait(message)
            self._gone = message["type"] == "http.disconnect"
        self._limit.reschedule(asyncio.get_running_loop().time())

    async def receive(self) -> MutableMapping[str, Any]:
        """The next message for the application."""
        if self._gone and self._read.empty():
            return {"type": "http.disconnect"}
        if self._watcher is not None:
            return await self._read.get()
        message = await self._receive()
        if message["type"] == "http.request" and not message.get("more_body", False):
            self.watch()
        return message

    async def send(self, message: MutableMapping[str, Any]) -> None:
        """Pass a message of the application on; with the last one the watch ends."""
        if message["type"] == "http.response.body" and not message.get("more_body", False):
            await self.stop()
        await self._send(message)

    async def stop(self) -> None:
        """End the watch."""
        watcher = self._watcher
        if watcher is not None and not watcher.done():
            watcher.cancel()
            await asyncio.wait([watcher])


def _has_body(scope: Scope) -> bool:
    headers = dict(scope["headers"])
    return headers.get(b"content-length", b"0") != b"0" or b"transfer-encoding" in headers
