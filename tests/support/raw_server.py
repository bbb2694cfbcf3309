"""A server that runs a script on each connection, over plain sockets.

It knows of HTTP only where a request ends. So a script can send what no HTTP library would send,
and every byte that arrives is kept. The n-th connection runs the n-th script; after the last
script, further connections run the last one again.

```python
async def hang_up(peer: Peer) -> None:
    await peer.request()
    peer.finish()

async with RawServer(hang_up, answering(200, b"{}")) as server:
    ...
    assert len(server.requests) == 2
```
"""

import asyncio
import os
import socket
import ssl
import struct
from collections.abc import Awaitable, Callable
from contextlib import suppress
from types import TracebackType
from typing import Self

from attrs import define, field, frozen

Script = Callable[["Peer"], Awaitable[None]]

_LINGER_ZERO = struct.pack("ii", 1, 0)
_TIMEOUT = 8.0  # seconds; less than the 15 after which an idle connection is closed


@frozen
class RawRequest:
    """One whole request as it arrived: the head up to the empty line, and the body."""

    head: bytes
    body: bytes

    @property
    def line(self) -> str:
        """The request line, such as ``GET /v1/devices/dev_1 HTTP/1.1``."""
        return self.head.split(b"\r\n", 1)[0].decode("latin-1")

    @property
    def headers(self) -> list[tuple[str, str]]:
        """Names in lower case and values, in the order of the request."""
        lines = self.head.decode("latin-1").split("\r\n")[1:]
        pairs = (line.partition(":") for line in lines if line)
        return [(name.lower(), value.strip()) for name, _, value in pairs]


class ClientClosedError(Exception):
    """The client closed the connection before a script got what it waits for; ends the script."""


@define(eq=False)
class Peer:
    """One connection, as its script sees it.

    Attributes:
        received: every byte that arrived.
        requests: the whole requests among them.
        closed: set once the client has closed its side.
        broken: whether the client closed by a reset.
    """

    server: "RawServer"
    writer: asyncio.StreamWriter
    received: bytearray = field(factory=bytearray)
    requests: list[RawRequest] = field(factory=list)
    closed: asyncio.Event = field(factory=asyncio.Event)
    broken: bool = False
    _arrived: asyncio.Event = field(factory=asyncio.Event)
    _parsed: int = 0
    _taken: int = 0

    async def request(self) -> RawRequest:
        """Wait for the next whole request.

        Raises:
            ClientClosedError: the client closed before the request was whole.
        """
        while self._taken == len(self.requests):
            if self.closed.is_set():
                raise ClientClosedError
            self._arrived.clear()
            await self._arrived.wait()
        if not self.server.keep_requests:
            return self.requests.pop(0)
        self._taken += 1
        return self.requests[self._taken - 1]

    async def arrived(self, count: int) -> None:
        """Wait until ``count`` bytes have arrived."""
        while len(self.received) < count:
            if self.closed.is_set():
                raise ClientClosedError
            self._arrived.clear()
            await self._arrived.wait()

    async def send(self, data: bytes) -> None:
        """Send bytes, and wait while the client does not read them."""
        if self.closed.is_set():
            raise ClientClosedError
        self.writer.write(data)
        try:
            await self.writer.drain()
            await asyncio.sleep(0)  # drain() does not yield while the buffer has room
        except ConnectionError:
            raise ClientClosedError from None

    async def drip(self, data: bytes, pause: float = 0.02) -> None:
        """Send bytes one by one with ``pause`` seconds between them, until the client closes."""
        for position in range(len(data)):
            await self.send(data[position : position + 1])
            await self.stall(pause)

    async def stall(self, seconds: float | None = None) -> None:
        """Do nothing for ``seconds``, or (None) until the client closes.

        Raises:
            ClientClosedError: the client closed.
        """
        try:
            async with asyncio.timeout(seconds):
                await self.closed.wait()
        except TimeoutError:
            return
        raise ClientClosedError

    def send_at_once(self, data: bytes | None) -> None:
        """Send bytes, or FIN (None), before the event loop runs: the client cannot have seen it."""
        descriptor = os.dup(self.writer.transport.get_extra_info("socket").fileno())
        with socket.socket(fileno=descriptor) as same:
            if data is None:
                same.shutdown(socket.SHUT_WR)
            else:
                same.send(data)

    def stop_reading(self) -> None:
        """Read no more; nothing that the client sends is seen, not even its close."""
        self.writer.transport.pause_reading()  # type: ignore[attr-defined]

    def finish(self) -> None:
        """Close in order: everything sent arrives, then FIN."""
        self.writer.close()

    def reset(self) -> None:
        """Close by RST."""
        transport = self.writer.transport
        sock: socket.socket | None = transport.get_extra_info("socket")
        if sock is not None and not transport.is_closing():
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_ZERO)
        transport.abort()

    async def _listen(self, reader: asyncio.StreamReader) -> None:
        try:
            while data := await reader.read(65536):
                self.received += data
                self._parse()
                self._arrived.set()
        except (ConnectionError, ssl.SSLError):
            self.broken = True
        finally:
            self.closed.set()
            self._arrived.set()
            if not self.server.keep_requests:
                self.server.peers.remove(self)

    def _parse(self) -> None:
        while True:
            end = self.received.find(b"\r\n\r\n", self._parsed)
            if end < 0:
                return
            head = bytes(self.received[self._parsed : end + 4])
            length = int(dict(RawRequest(head, b"").headers).get("content-length", "0"))
            if len(self.received) < end + 4 + length:
                return
            body = bytes(self.received[end + 4 : end + 4 + length])
            request = RawRequest(head, body)
            self.requests.append(request)
            if self.server.keep_requests:
                self._parsed = end + 4 + length
                self.server.requests.append(request)
            else:
                del self.received[: end + 4 + length]


class RawServer:
    """Listens on a free loopback port and runs scripts.

    Args:
        scripts: one for each connection, in the order of accepting; the last one repeats.
        tls: the server's side of TLS; None is plain.
        keep_requests: whether it keeps what arrives; if not, memory does not grow.

    Attributes:
        requests: all whole requests, in the order in which they became whole.
        peers: all connections (with TLS: those whose handshake was completed).
        failures: errors that scripts raised.
    """

    def __init__(
        self, *scripts: Script, tls: ssl.SSLContext | None = None, keep_requests: bool = True
    ) -> None:
        self.keep_requests = keep_requests
        self.requests: list[RawRequest] = []
        self.peers: list[Peer] = []
        self.failures: list[BaseException] = []
        self._scripts = scripts
        self._tls = tls
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        self._server = (
            await asyncio.start_server(
                self._serve, "127.0.0.1", 0, ssl=self._tls, ssl_shutdown_timeout=0.2
            )
            if self._tls
            else await asyncio.start_server(self._serve, "127.0.0.1", 0)
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._server is not None:
            self._server.close()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for peer in self.peers:
            # Before Python 3.11.3, a TLS transport that was closed twice cannot be aborted.
            with suppress(AttributeError):
                peer.writer.transport.abort()
        if error is None and self.failures:
            raise self.failures[0]

    @property
    def port(self) -> int:
        """The port that the server listens on."""
        assert self._server is not None
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    @property
    def url(self) -> str:
        """The server's base URL, by address."""
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}"

    @property
    def open(self) -> list[Peer]:
        """The connections that the client has not closed."""
        return [peer for peer in self.peers if not peer.closed.is_set()]

    async def until_closed(self) -> None:
        """Wait until every client has closed; fails after 8 seconds."""
        async with asyncio.timeout(_TIMEOUT):
            for peer in self.peers:
                await peer.closed.wait()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = Peer(self, writer)
        script = self._scripts[min(len(self.peers), len(self._scripts) - 1)]
        self.peers.append(peer)
        for work in (peer._listen(reader), self._play(script, peer)):
            task = asyncio.create_task(work, name="raw-server")
            self._tasks.add(task)
            task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self.failures.append(error)

    async def _play(self, script: Script, peer: Peer) -> None:
        try:
            await script(peer)
        except ClientClosedError:
            peer.finish()
        except BaseException:
            peer.reset()
            raise


def flooding(first: bytes, again: bytes) -> Script:
    """A script that answers a request with ``first``, and then sends ``again`` without end."""

    async def play(peer: Peer) -> None:
        await peer.request()
        await peer.send(first)
        while True:
            await peer.send(again)

    return play


def head(status: int = 200, *lines: str, length: int | None = None) -> bytes:
    """The head of an answer: status line, header lines and the empty line."""
    all_lines = [f"HTTP/1.1 {status} Whatever", *lines]
    if length is not None:
        all_lines.append(f"Content-Length: {length}")
    return ("\r\n".join(all_lines) + "\r\n\r\n").encode("latin-1")


def answer(status: int, body: bytes, *lines: str) -> bytes:
    """A whole answer, with a JSON content type unless `lines` has another."""
    if not any(line.lower().startswith("content-type:") for line in lines):
        lines = ("Content-Type: application/json", *lines)
    return head(status, *lines, length=len(body)) + body


def playing(data: bytes) -> Script:
    """A script that answers every request with ``data`` and keeps the connection open."""

    async def play(peer: Peer) -> None:
        while True:
            await peer.request()
            await peer.send(data)

    return play


def answering(status: int, body: bytes, *lines: str) -> Script:
    """A script that answers every request with a whole answer."""
    return playing(answer(status, body, *lines))
