"""The connection of one attempt: when it may be written to, and that it is written to once."""

from __future__ import annotations

import asyncio
import select
from typing import Any
from weakref import WeakSet

import aiohttp
from aiohttp import ClientRequest, ClientResponse

from .outgoing import Outgoing


class LostError(Exception):
    """A connection was lost; unknown to aiohttp, which therefore does not resend."""


class StaleError(Exception):
    """A kept connection was closed, or spoke unasked, before anything was written to it."""


class Line:
    """The connection of one attempt: looked at before the first byte, and cut when it fails."""

    __slots__ = ("_used", "outgoing", "transport")

    def __init__(self, outgoing: Outgoing, used: WeakSet[Any]) -> None:
        self.outgoing = outgoing
        self.transport: asyncio.Transport | None = None
        self._used = used

    def take(self, connection: aiohttp.connector.Connection) -> None:
        """Mark the request as about to leave by this connection, if nothing waits on it."""
        protocol, transport = connection.protocol, connection.transport
        if protocol is None:
            raise StaleError
        if protocol in self._used and (protocol.should_close or _has_spoken(transport)):
            if transport is not None:
                transport.abort()
            raise StaleError
        self._used.add(protocol)
        self.transport = transport
        self.outgoing.left = True

    def cut(self) -> None:
        """Close at once, without the farewell of TLS, for which a silent peer lets us wait."""
        if self.transport is not None:
            self.transport.abort()


def _has_spoken(transport: asyncio.Transport | None) -> bool:
    """Whether bytes or an end wait on a connection that the loop had no time to read yet."""
    sock = None if transport is None else transport.get_extra_info("socket")
    if sock is None:
        return False
    if not hasattr(select, "poll"):
        return bool(select.select([sock.fileno()], [], [], 0)[0])
    poll = select.poll()
    poll.register(sock.fileno(), select.POLLIN)
    return bool(poll.poll(0))


class MarkedRequest(ClientRequest):
    """A request that asks its line before it is written."""

    line: Line | None = None

    async def send(self, conn: aiohttp.connector.Connection) -> ClientResponse:
        if self.line is not None:
            self.line.take(conn)
        return await super().send(conn)


def never_resending(line: Line) -> aiohttp.ClientMiddlewareType:
    """A middleware that gives the request its line, and keeps aiohttp from sending it again."""

    async def mark_and_never_resend(
        request: ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> ClientResponse:
        if isinstance(request, MarkedRequest):
            request.line = line
        else:
            line.outgoing.left = True  # a session of the caller's: when it writes is not known
        while True:
            try:
                return await handler(request)
            except StaleError:
                continue  # nothing was written; another connection, in the end a new one
            except _NEVER_CONNECTED:
                line.outgoing.left = False
                raise
            except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError):
                break
        raise LostError

    return mark_and_never_resend


_NEVER_CONNECTED = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError)
