"""The WebSocket of the open-source platform, as it is described; it shares nothing with the SDK.

It listens on a port of its own. A client sends ``{"projectid": "<P>"}`` and gets no answer. From
then on it gets frames: ``{"events": {"msgs": [m, m, ...]}}`` with the messages of all devices of
the project, and ``{"devices": {"registration": ...}}`` and ``{"interface": ...}``. Nothing is
numbered, filtered or acknowledged, and there is no heartbeat.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import WSMsgType, web


class OpenSourceServer:
    """The server of one project.

    Attributes:
        url: of the WebSocket.
        requests: those that opened a connection, or tried to.
        openings: the first frame of each connection.
    """

    def __init__(self, project_id: str) -> None:
        self.url = ""
        self.requests: list[web.BaseRequest] = []
        self.openings: list[Any] = []
        self.refusing: int | None = None
        self._project_id = project_id
        self._clients: dict[web.WebSocketResponse, web.BaseRequest] = {}
        self._changed = asyncio.Event()

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Serve one connection."""
        self.requests.append(request)
        if self.refusing is not None:
            return web.Response(status=self.refusing, text="<html>")
        client = web.WebSocketResponse(timeout=0.1)
        await client.prepare(request)
        async for frame in client:
            if frame.type is WSMsgType.TEXT:
                opening = json.loads(frame.data)
                self.openings.append(opening)
                if opening == {"projectid": self._project_id}:
                    self._clients[client] = request
                    self._changed.set()
        self._clients.pop(client, None)
        return client

    async def until_clients(self, openings: int) -> None:
        """Return once so many connections have named the project."""
        while len(self.openings) < openings or not self._clients:
            self._changed.clear()
            await self._changed.wait()

    async def send(self, *texts: str) -> None:
        """Send frames to all clients."""
        for client in tuple(self._clients):
            for text in texts:
                await client.send_str(text)

    async def publish(self, *rows: dict[str, Any]) -> None:
        """Send messages to all clients, all in one frame."""
        await self.send(json.dumps({"events": {"msgs": rows}}))

    def drop(self) -> None:
        """Reset all connections, so that what is sent meanwhile is lost."""
        for client, request in self._clients.items():
            transport = request.transport
            assert isinstance(transport, asyncio.Transport), client
            transport.abort()
        self._clients.clear()


@asynccontextmanager
async def open_source_server(project_id: str) -> AsyncIterator[OpenSourceServer]:
    """The server on a free port."""
    server = OpenSourceServer(project_id)
    runner = web.ServerRunner(web.Server(server.handle, access_log=None), shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    server.url = f"ws://127.0.0.1:{runner.addresses[0][1]}/messages"
    try:
        yield server
    finally:
        await runner.cleanup()
