"""A WebSocket server for tests, which follows a script."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import WSMsgType, web

from iottly_async import Config, IottlySession, RateLimiter, RetryPolicy

WELCOME = '{"type":"welcome","version":1,"heartbeat":10}'
SUBSCRIBED = '{"type":"subscribed","seq":0,"at":"2026-03-01T12:00:00.000Z"}'

Socket = web.WebSocketResponse
Script = Callable[[Socket], Awaitable[None]]


def message(number: int) -> str:
    """A message frame of the default protocol."""
    row = {"from": "d", "timestamp": "2026-03-01T12:00:01", "payload": {"n": number}}
    return json.dumps({"type": "message", "seq": number, "message": row})


async def good(socket: Socket) -> None:
    """Greet, confirm the subscription and send one message."""
    for frame in (WELCOME, SUBSCRIBED, message(1)):
        await socket.send_str(frame)
    await read_only(socket)


async def next_text(socket: Socket) -> str:
    """The next text frame; a ping before it is answered."""
    while (found := await socket.receive()).type is WSMsgType.PING:
        await socket.pong(found.data)
    assert found.type is WSMsgType.TEXT
    text: str = found.data
    return text


async def read_only(socket: Socket) -> None:
    """Send nothing, not even a pong, and read until the other side closes."""
    while (await socket.receive()).type in (WSMsgType.TEXT, WSMsgType.PING):
        pass


class Service:
    """A WebSocket server that runs one script a connection, and the last one for all others."""

    def __init__(self, *scripts: Script) -> None:
        self._scripts = list(scripts)
        self.requests: list[web.BaseRequest] = []

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Serve one connection."""
        script = self._scripts.pop(0) if len(self._scripts) > 1 else self._scripts[0]
        self.requests.append(request)
        socket = Socket(autoping=False, timeout=0.01, max_msg_size=0)
        await socket.prepare(request)
        await script(socket)
        return socket


@asynccontextmanager
async def session_with(service: Service, **settings: Any) -> AsyncIterator[IottlySession]:
    """A session on the service that reconnects after 20 ms at most."""
    # Without an access log, because an address may have the key in its query.
    runner = web.ServerRunner(web.Server(service.handle, access_log=None), shutdown_timeout=0.1)
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
    """The number of the first message of a stream."""
    async with asyncio.timeout(10), session.stream(**options) as stream:
        async for found in stream.messages():
            return found.payload["n"]
    return None


def sending(*frames: str | bytes) -> Script:
    """A script that sends these frames and then only reads."""

    async def script(socket: Socket) -> None:
        for frame in frames:
            await (socket.send_str(frame) if isinstance(frame, str) else socket.send_bytes(frame))
        await read_only(socket)

    return script
