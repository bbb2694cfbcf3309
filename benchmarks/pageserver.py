"""A server process that sends prebuilt pages of messages.

It answers one kind of request, as fast as a socket can, so that a benchmark measures the
client. Every device has the same messages, under its own id. It prints its port and serves until
its stdin ends:

```sh
python -m benchmarks.pageserver 100000
```
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from email.utils import formatdate
from typing import Final

from .pages import DEVICE, Range

_LIMIT: Final = 100_000_000


class _Server(asyncio.Protocol):
    """One connection: reads the heads of requests and answers each with a page."""

    latency = 0.0
    remaining = _LIMIT
    reset = int(time.time()) + 86_400

    def __init__(self, messages: Range) -> None:
        self._messages = messages
        self._pending = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._pending += data
        while b"\r\n\r\n" in self._pending:
            head, _, self._pending = self._pending.partition(b"\r\n\r\n")
            self._answer(head.partition(b"\r\n")[0].decode())

    def _answer(self, line: str) -> None:
        assert self._transport is not None
        path, _, query = line.split(" ")[1].partition("?")
        parameters = dict(part.split("=", 1) for part in query.split("&") if part)
        body = self._messages.since(parameters.get("from", "").replace("%3A", ":"))
        device = path.split("/")[5]
        if device != DEVICE:
            body = body.replace(DEVICE.encode(), device.encode())
        _Server.remaining -= 1
        head = (
            "HTTP/1.1 200 OK\r\n"
            "Server: pages\r\n"
            f"Date: {formatdate(usegmt=True)}\r\n"
            "Content-Type: application/json; charset=utf-8\r\n"
            f"X-RateLimit-Limit: {_LIMIT}\r\n"
            f"X-RateLimit-Remaining: {self.remaining}\r\n"
            f"X-RateLimit-Reset: {self.reset}\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        if self.latency:
            loop = asyncio.get_running_loop()
            loop.call_later(self.latency, self._transport.write, head.encode() + body)
        else:
            self._transport.write(head.encode() + body)


async def serve(count: int, ties: int, latency: float) -> None:
    """Serve `Range(count, ties)` on a free port of loopback until stdin ends."""
    _Server.latency = latency
    with suppress(PermissionError):
        os.nice(-10)  # it does little work; the client should not wait for it
    loop = asyncio.get_running_loop()
    messages = Range(count, ties)
    server = await loop.create_server(lambda: _Server(messages), "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    async with server:
        await loop.run_in_executor(None, sys.stdin.read)


@contextmanager
def page_server(count: int, ties: int = 1, latency: float = 0.0) -> Iterator[str]:
    """Run a server process for `Range(count, ties)`, which answers after `latency` seconds.

    Yields:
        The server's base URL.
    """
    command = [sys.executable, "-m", __name__, str(count), str(ties), str(latency)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.stdin.close()


if __name__ == "__main__":
    count, ties, latency = [*sys.argv[1:], "1", "0"][:3]
    asyncio.run(serve(int(count), int(ties), float(latency)))
