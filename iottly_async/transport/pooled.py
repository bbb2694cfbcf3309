"""Connections of our own: requests written and answers read without aiohttp's session.

`ClientSession.request` parses a URL that was put together a moment ago, makes a request, a
writer and a response, and sees to cookies, redirects, a second sending, traces and timers,
none of which is wanted here. That is more than half of what a page costs: 134 µs of CPU,
against 62 by its connector and parser alone, and 44 by a bare asyncio protocol. So the
pool, the names, the addresses, TLS and the reading of HTTP are aiohttp's, and what lies
between is this file. What it uses of aiohttp beyond the reference is held by
``tests/transport/test_aiohttp_parts.py``; an aiohttp that those tests have not seen is used
through its session.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from functools import cache, cached_property
from typing import Final
from weakref import WeakKeyDictionary

import aiohttp
from aiohttp import ClientRequest, ConnectionTimeoutError
from aiohttp.client_proto import ResponseHandler
from aiohttp.client_reqrep import ConnectionKey
from aiohttp.connector import Connection
from yarl import URL

from ..auth import RedactedStr
from ..config import Config
from ..wire import Answer
from .answer import read_answer
from .attempt import Outgoing, check_target
from .connection import AttemptConnection, LostError, StaleError, Used
from .settings import connector_for, timeout_of

_KNOWN: Final = "3.14."


def parts_are_known() -> bool:
    """Whether this aiohttp's parts are those that are used here; a later one may have others."""
    return aiohttp.__version__.startswith(_KNOWN)


class PooledConnections:
    """Connections to the service, each with one request at a time.

    Args:
        config: of which it uses the URL, the time to connect, the bound and the TLS settings.
        alone: whether each request has a connection of its own, closed behind it.
    """

    def __init__(self, config: Config, *, alone: bool) -> None:
        _keep_large_blocks()
        self._most = config.max_response_bytes
        self._alone = alone
        self._timeout = timeout_of(config)
        self._connector = connector_for(config, force_close=alone)
        url, loop = URL(config.base_url, encoded=True), asyncio.get_running_loop()
        self._address = _Address("GET", url, loop=loop)
        self._used: Used = WeakKeyDictionary()
        named = self._address.headers
        self._always = _lines(
            {"Host": named["Host"], "Accept-Encoding": named["Accept-Encoding"]}
            | ({"Connection": "close"} if alone else {})
        )

        self._last_headers: Mapping[str, str] = {}
        self._last_fields = RedactedStr(self._always)

    @property
    def closed(self) -> bool:
        """Whether no request can be sent any more."""
        return self._connector.closed

    async def aclose(self) -> None:
        """Close all connections."""
        await self._connector.close()

    async def exchange(self, outgoing: Outgoing) -> Answer:
        """The answer to one request, whatever its status; redirects are answers.

        Raises:
            aiohttp.ClientError, HttpProcessingError, LostError, OSError: there is none.
            TransportError: it is none that can be used.
            ConfigurationError: the target cannot stand in a request; nothing was sent.
        """
        check_target(outgoing.target)
        line = AttemptConnection(outgoing, self._used)
        connection, protocol, transport = await self._connection(line)
        try:
            protocol.set_response_params(read_until_eof=True)
            # Not in a variable: the key is in it, and tracebacks may show variables.
            transport.write(self._written(outgoing))
            answer = await self._answer(protocol)
        except BaseException:
            line.cut()
            connection.close()
            raise
        if self._alone:
            line.cut()
        connection.release()
        return answer

    async def _connection(
        self, line: AttemptConnection
    ) -> tuple[Connection, ResponseHandler, asyncio.Transport]:
        """A connection on which nothing waits; from here on the request may have left."""
        while True:
            try:
                connection = await self._connector.connect(
                    self._address, traces=[], timeout=self._timeout
                )
            except TimeoutError:
                break
            try:
                protocol, transport = line.take(connection)
            except StaleError:
                connection.close()  # nothing was written; another one, in the end a new one
            except LostError:
                connection.close()
                raise
            else:
                return connection, protocol, transport
        raise ConnectionTimeoutError

    async def _answer(self, protocol: ResponseHandler) -> Answer:
        while True:
            message, content = await protocol.read()
            if message.code >= 200 or message.code == 101:
                return await read_answer(message.code, message.headers, content, self._most)

    def _fields(self, headers: Mapping[str, str]) -> str:
        """The header's lines; those of the last request are kept, as they seldom change."""
        if headers is not self._last_headers:
            self._last_headers = headers
            self._last_fields = RedactedStr(self._always + _lines(headers))
        return self._last_fields

    def _written(self, outgoing: Outgoing) -> bytes:
        body = outgoing.body
        length = ""
        if body is not None or outgoing.method != "GET":
            length = f"Content-Length: {len(body or b'')}\r\n"
        head = (
            f"{outgoing.method} {outgoing.target} HTTP/1.1\r\n"
            f"{self._fields(outgoing.headers)}{length}\r\n"
        ).encode("ascii")
        return head if body is None else head + body


class _Address(ClientRequest):
    """Whom to connect to; a connector asks nothing else of a request."""

    @cached_property
    def connection_key(self) -> ConnectionKey:
        return super().connection_key


@cache
def _keep_large_blocks() -> None:
    """Free one large block, after which glibc keeps those that asyncio reads into.

    asyncio asks for 256 KiB at each read and cuts them down to what came. glibc takes a
    block of more than 128 KiB from the system and gives it back at once, until a larger one
    has been freed: two mappings, their undoing and 8 page faults a page, some 25 µs.
    """
    bytearray(1 << 20)


def _lines(fields: Mapping[str, str]) -> str:
    return "".join([f"{name}: {value}\r\n" for name, value in fields.items()])
