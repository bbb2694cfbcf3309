"""An ASGI middleware that ends a request's work when its client has gone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, MutableMapping
from contextvars import ContextVar
from typing import Any, Final

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]


_PATIENCE: Final = 0.05  # seconds; a request that is answered sooner costs no task

_open: Final[ContextVar[list[AsyncGenerator[Any, None]] | None]] = ContextVar("open", default=None)


def close_with_request(generator: AsyncGenerator[Any, None]) -> None:
    """Close a generator when the request in whose context this is called is over.

    A framework that cancels what hands a generator on may leave the generator as it is,
    with all that it holds, until Python collects it. Outside a request this does nothing.
    """
    generators = _open.get()
    if generators is not None:
        generators.append(generator)


class CancelOnDisconnect:
    """Cancels the handling of a request whose client has gone, and with it its calls.

    Servers tell an application that the client has gone, and frameworks let the handler
    run to its end all the same, spending quota for nobody. Here it is cancelled as by
    `asyncio.timeout`: what it awaits gets `CancelledError`, `finally` and `async with`
    do their work, and no answer is sent. From the answer's last byte on, background
    tasks are left alone.

    It looks out once the request's body was read, or there is none, and the request has
    taken 50 ms.

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
            line.begin()
        generators: list[AsyncGenerator[Any, None]] = []
        mark = _open.set(generators)
        try:
            async with limit:
                await self._app(scope, line.receive, line.send)
        except TimeoutError:
            if not limit.expired():
                raise
        finally:
            line.stop()
            _open.reset(mark)
            for generator in generators:
                if not getattr(generator, "ag_running", False):
                    await generator.aclose()


class _Line:
    """What one request receives and sends, with an eye on its client."""

    __slots__ = (
        *("_complete", "_gone", "_limit", "_loop", "_read", "_receive", "_receiving", "_send"),
        *("_timer", "_watcher"),
    )

    def __init__(self, receive: Receive, send: Send, limit: asyncio.Timeout) -> None:
        self._receive = receive
        self._send = send
        self._limit = limit
        self._loop = asyncio.get_running_loop()
        self._read: asyncio.Queue[Message] | None = None  # made with the watcher
        self._timer: asyncio.TimerHandle | None = None
        self._watcher: asyncio.Task[None] | None = None
        self._receiving = False
        self._complete = False
        self._gone = False

    def begin(self) -> None:
        """Look out for the client's departure, in a while."""
        self._timer = self._loop.call_later(_PATIENCE, self._watch)

    def _watch(self) -> None:
        """From now on only the watcher receives; unless the application does so just now."""
        if not self._receiving:
            self._read = asyncio.Queue()
            self._watcher = self._loop.create_task(self._look_out(self._read))

    async def _look_out(self, read: asyncio.Queue[Message]) -> None:
        while not self._gone:
            message = await self._receive()
            read.put_nowait(message)
            self._gone = message["type"] == "http.disconnect"
        self._limit.reschedule(self._loop.time())

    async def receive(self) -> Message:
        """The next message for the application."""
        if self._read is None and self._complete:
            self.stop()
            self._watch()
        if self._read is not None:
            if self._gone and self._read.empty():
                return {"type": "http.disconnect"}
            return await self._read.get()
        self._receiving = True
        try:
            message = await self._receive()
        finally:
            self._receiving = False
        if message["type"] == "http.request" and not message.get("more_body", False):
            self._complete = True
            self.stop()
            self.begin()
        return message

    async def send(self, message: Message) -> None:
        """Pass a message of the application on; with the last one the watch ends."""
        if message["type"] == "http.response.body" and not message.get("more_body", False):
            self.stop()
        await self._send(message)

    def stop(self) -> None:
        """End the watch."""
        if self._timer is not None:
            self._timer.cancel()
        if self._watcher is not None:
            self._watcher.cancel()


def _has_body(scope: Scope) -> bool:
    for name, value in scope["headers"]:
        if name == b"transfer-encoding" or (name == b"content-length" and value != b"0"):
            return True
    return False
