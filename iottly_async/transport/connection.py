"""The connection of one attempt: checked before the first byte, read from, and aborted."""

from __future__ import annotations

import asyncio
import select
from collections.abc import Callable, Mapping
from typing import Any
from weakref import WeakKeyDictionary

from aiohttp import StreamReader
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import Connection

from ..errors import ProtocolError, ResponseTooLargeError
from ..wire import Answer
from .attempt import Outgoing


class LostError(Exception):
    """A connection was lost. aiohttp does not know this class, and so does not send again."""


class UnusableError(Exception):
    """A connection cannot be written to; no byte of the request was sent.

    Attributes:
        kept: whether the connection was kept from an earlier request, so that another one
            may be tried.
    """

    def __init__(self, *, kept: bool) -> None:
        super().__init__()
        self.kept = kept


HasInput = Callable[[], Any]
UsedConnections = WeakKeyDictionary[ResponseHandler, HasInput]
"""The protocol of each connection that was written to, with its check for unread input."""


class AttemptConnection:
    """The connection of one attempt.

    Attributes:
        outgoing: the request.
        transport: of the connection; None as long as there is none.
        requested: whether aiohttp's session has made a request of it (`session` alone).
    """

    __slots__ = ("_used", "outgoing", "requested", "transport")

    def __init__(self, outgoing: Outgoing, used: UsedConnections) -> None:
        self.outgoing = outgoing
        self.transport: asyncio.Transport | None = None
        self.requested = False
        self._used = used

    def begin(self, connection: Connection) -> tuple[ResponseHandler, asyncio.Transport]:
        """Check a connection just before the request is written to it.

        Raises:
            UnusableError: the connection is closing, or unread input waits on it.
        """
        protocol, transport = connection.protocol, connection.transport
        has_input = None if protocol is None else self._used.get(protocol)
        if protocol is None or transport is None or transport.is_closing():
            raise UnusableError(kept=has_input is not None)
        if has_input is None:
            self._used[protocol] = _input_check(transport)
        elif protocol.should_close or has_input():
            transport.abort()
            raise UnusableError(kept=True)
        self.transport = transport
        self.outgoing.kept = has_input is not None
        self.outgoing.may_have_left = True
        return protocol, transport

    def abort(self) -> None:
        """Close the connection at once, without TLS's closing handshake.

        A peer that does not answer that handshake would keep the connection open.
        """
        if self.transport is not None:
            self.transport.abort()


def _input_check(transport: asyncio.Transport) -> HasInput:
    """Make a check for input, or an end, that the event loop had no time to read yet."""
    sock = transport.get_extra_info("socket")
    if sock is None:
        return lambda: False
    number = sock.fileno()
    if not hasattr(select, "poll"):
        return lambda: select.select([number], [], [], 0)[0]
    poll = select.poll()
    poll.register(number, select.POLLIN)
    return lambda: poll.poll(0)


async def answer_of(
    status: int, headers: Mapping[str, str], content: StreamReader, most: int
) -> Answer:
    """Read the body of an answer, `most` bytes after decompression.

    Raises:
        ResponseTooLargeError: the body is larger.
        ProtocolError: the service wants to switch to another protocol.
        aiohttp.ClientError: the body ended early or is damaged.
    """
    if status < 200:
        raise ProtocolError(f"the service wants another protocol ({status})", sent="maybe")
    body = await content.read(most + 1)
    # As a rule the whole page has arrived by the time its head is read.
    if content.at_eof() and len(body) <= most:
        return Answer(status, headers, body)
    chunks, size = [body], len(body)
    while size <= most:
        chunk = await content.read(most + 1)
        if not chunk:
            return Answer(status, headers, b"".join(chunks))
        size += len(chunk)
        chunks.append(chunk)
    raise ResponseTooLargeError(
        f"the answer is larger than max_response_bytes, {most} bytes", status=status, sent="maybe"
    )
