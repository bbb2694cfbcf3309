"""An ASGI middleware that cancels a request's handler when its client disconnects."""

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

_WATCH_AFTER: Final = 0.05
"""Seconds; a request that is answered sooner needs no task that watches it."""

_generators: Final[ContextVar[list[AsyncGenerator[Any, None]] | None]] = ContextVar(
    "generators", default=None
)


def close_with_request(generator: AsyncGenerator[Any, None]) -> None:
    """Close a generator when the current request ends.

    A framework that cancels a response may leave the generator behind it open, with all
    that it holds, until Python collects it. Outside of a request, this does nothing.
    """
    generators = _generators.get()
    if generators is not None:
        generators.append(generator)


class CancelOnDisconnect:
    """ASGI middleware that cancels a request's handler when its client disconnects.

    A server tells the application of a disconnect, but frameworks let the handler run to
    its end, and spend quota on a response that nothing reads. With this middleware the
    handler is cancelled as by `asyncio.timeout`: what it awaits raises `CancelledError`,
    `finally` and `async with` blocks are run, and no response is sent. Background tasks,
    which run after the last byte of the response, are not cancelled.

    A disconnect is noticed once the request's body has been read, if it has one, and 50 ms
    have passed.

    Args:
        app: the ASGI application.
    """

    def __init__(self, app: App) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request; WebSockets and lifespans go to the application unchanged."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        limit = asyncio.timeout(None)
        watch = _DisconnectWatch(receive, send, limit)
        if not _has_body(scope):
            watch.start_soon()
        generators: list[AsyncGenerator[Any, None]] = []
        token = _generators.set(generators)
        try:
            async with limit:
                await self._app(scope, watch.receive, watch.send)
        except TimeoutError:
            if not limit.expired():
                raise
        finally:
            watch.stop()
            _generators.reset(token)
            for generator in generators:
                if not getattr(generator, "ag_running", False):
                    await generator.aclose()


class _DisconnectWatch:
    """Stands between server and application for one request, and watches for a disconnect.

    Args:
        receive: the server's.
        send: the server's.
        limit: the timeout around the application; it expires at once on a disconnect.
    """

    def __init__(self, receive: Receive, send: Send, limit: asyncio.Timeout) -> None:
        self._receive = receive
        self._send = send
        self._limit = limit
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None
        self._messages: asyncio.Queue[Message] | None = None  # made with the task
        self._receiving = False
        self._body_read = False
        self._disconnected = False

    def start_soon(self) -> None:
        """Start to watch after 50 ms."""
        self._timer = self._loop.call_later(_WATCH_AFTER, self._start)

    def _start(self) -> None:
        # If the application itself is receiving, it gets the disconnect.
        if not self._receiving:
            self._messages = asyncio.Queue()
            self._task = self._loop.create_task(self._watch(self._messages))

    async def _watch(self, messages: asyncio.Queue[Message]) -> None:
        """Receive in the application's place, and cancel it on a disconnect."""
        while not self._disconnected:
            message = await self._receive()
            messages.put_nowait(message)
            self._disconnected = message["type"] == "http.disconnect"
        self._limit.reschedule(self._loop.time())

    async def receive(self) -> Message:
        """The next message for the application."""
        if self._messages is None and self._body_read:
            self.stop()
            self._start()
        if self._messages is not None:
            if self._disconnected and self._messages.empty():
                return {"type": "http.disconnect"}
            return await self._messages.get()
        self._receiving = True
        try:
            message = await self._receive()
        finally:
            self._receiving = False
        if message["type"] == "http.request" and not message.get("more_body", False):
            self._body_read = True
            self.stop()
            self.start_soon()
        return message

    async def send(self, message: Message) -> None:
        """Send a message of the application; the last one ends the watch."""
        if message["type"] == "http.response.body" and not message.get("more_body", False):
            self.stop()
        await self._send(message)

    def stop(self) -> None:
        """Stop to watch."""
        if self._timer is not None:
            self._timer.cancel()
        if self._task is not None:
            self._task.cancel()


def _has_body(scope: Scope) -> bool:
    for name, value in scope["headers"]:
        if name == b"transfer-encoding" or (name == b"content-length" and value != b"0"):
            return True
    return False
