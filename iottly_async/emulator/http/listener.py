"""The port of the emulator: it can be closed and opened again while the server runs."""

import asyncio
import os
import socket

from aiohttp import web

from ..aio import reset_connection

_BACKLOG = 1024


class Listener:
    """Listens on one address for a ``web.Server``.

    Args:
        server: What serves the connections.
        bound: A socket as ``bind`` returns it, which already listens.
    """

    def __init__(self, server: web.Server, bound: socket.socket) -> None:
        self._server = server
        self._address: tuple[str, int] = bound.getsockname()[:2]
        self._bound: socket.socket | None = bound
        self._accepting: asyncio.Server | None = None
        self._starting: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Accept connections."""
        bound, self._bound = self._bound, None
        if bound is not None:
            loop = asyncio.get_running_loop()
            self._accepting = await loop.create_server(self._server, sock=bound, backlog=_BACKLOG)

    def close(self) -> None:
        """Refuse connections from now on; connections that are open stay open.

        The port stays bound, so that nobody else gets it: neither another server, nor a client as
        the port that it connects from.
        """
        if self._accepting is not None:
            self._accepting.close()
            self._accepting = None
            self._bound = _bind(*self._address)

    def open(self) -> None:
        """Accept connections again, at the same port."""
        if self._bound is not None and self._starting is None:
            self._bound.listen(_BACKLOG)
            self._starting = asyncio.get_running_loop().create_task(self._start_again())

    async def _start_again(self) -> None:
        try:
            await self.start()
        finally:
            self._starting = None

    def reset_connections(self, spare: asyncio.BaseTransport | None = None) -> None:
        """Reset every open connection but ``spare``."""
        for connection in self._server.connections:
            transport = connection.transport
            if transport is not spare:
                reset_connection(transport)

    async def aclose(self) -> None:
        """Close the port for good."""
        if self._starting is not None:
            await self._starting
        if self._accepting is not None:
            self._accepting.close()
        if self._bound is not None:
            self._bound.close()
        self._accepting = self._bound = None


def bind(host: str, port: int) -> socket.socket:
    """A listening socket for ``localhost`` or an IP address; port 0 takes a free one.

    Raises ``OSError`` if the port is in use.
    """
    bound = _bind(host, port)
    try:
        bound.listen(_BACKLOG)
    except OSError:
        bound.close()
        raise
    return bound


def _bind(host: str, port: int) -> socket.socket:
    """A socket that is bound and does not listen yet, so that connections are refused."""
    address = "127.0.0.1" if host == "localhost" else host
    made = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
    try:
        if os.name != "nt":  # where it would let two servers share the port
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if made.family == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        made.bind((address, port))
    except OSError as error:
        made.close()
        raise OSError(error.errno, f"{error.strerror} (while binding {address}:{port})") from None
    return made
