"""The connection of one attempt: when it may be written to, and that it is written to once."""

from __future__ import annotations

import asyncio
import select
from collections.abc import Callable
from typing import Any
from weakref import WeakKeyDictionary

from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import Connection

from .attempt import Outgoing


class LostError(Exception):
    """A connection was lost; unknown to aiohttp, which therefore does not resend."""


class StaleError(Exception):
    """A kept connection was closed, or spoke unasked, before anything was written to it."""


Look = Callable[[], Any]
Used = WeakKeyDictionary[ResponseHandler, Look]
"""By the protocol of each connection that was written to: how to look at it."""


class AttemptConnection:
    """The connection of one attempt: looked at before the first byte, and cut when it fails."""

    __slots__ = ("_used", "outgoing", "transport")

    def __init__(self, outgoing: Outgoing, used: Used) -> None:
        self.outgoing = outgoing
        self.transport: asyncio.Transport | None = None
        self._used = used

    def take(self, connection: Connection) -> tuple[ResponseHandler, asyncio.Transport]:
        """Mark the request as about to leave by this connection, if nothing waits on it.

        Raises:
            StaleError: it was kept, and is of no use; another one is to be taken.
            LostError: it is new, and of no use.
        """
        protocol, transport = connection.protocol, connection.transport
        look = None if protocol is None else self._used.get(protocol)
        if protocol is None or transport is None or transport.is_closing():
            raise LostError if look is None else StaleError
        if look is None:
            self._used[protocol] = _looking_at(transport)
        elif protocol.should_close or look():
            transport.abort()
            raise StaleError
        self.transport = transport
        self.outgoing.left = True
        return protocol, transport

    def cut(self) -> None:
        """Close at once, without the farewell of TLS, for which a silent peer lets us wait."""
        if self.transport is not None:
            self.transport.abort()


def _looking_at(transport: asyncio.Transport) -> Look:
    """Tells whether bytes or an end wait on a connection that the loop had no time to read yet."""
    sock = transport.get_extra_info("socket")
    if sock is None:
        return lambda: False
    number = sock.fileno()
    if not hasattr(select, "poll"):
        return lambda: select.select([number], [], [], 0)[0]
    poll = select.poll()
    poll.register(number, select.POLLIN)
    return lambda: poll.poll(0)
