"""Requests over our own connections, without aiohttp's session.

`ClientSession.request` parses a URL that was just put together, makes a request, a writer
and a response, and handles cookies, redirects, a second sending, traces and timers. None of
these is wanted here, and they are more than half of what a page costs: 134 µs of CPU time,
against 62 µs with aiohttp's connector and parser alone, and 44 µs with a bare asyncio
protocol. So the pool, name resolution, TLS and the HTTP parser are aiohttp's; this file
writes the request and reads the answer. ``tests/transport/test_aiohttp_parts.py`` checks what
it uses of aiohttp beyond the reference. Other versions of aiohttp than those tested are used
through a session (`session`).
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
from .attempt import Outgoing, check_target
from .connection import AttemptConnection, UnusableError, UsedConnections, answer_of
from .connector import connector_for, timeout_of

_KNOWN: Final = "3.14."


def parts_are_known() -> bool:
    """Whether this version of aiohttp has the parts that are used here."""
    return aiohttp.__version__.startswith(_KNOWN)


class PooledConnections:
    """Sends requests over a pool of connections, each with one request at a time.

    Args:
        config: its `base_url`, `connect_timeout`, `max_response_bytes` and `ssl` are used.
        alone: whether each request has a connection of its own, closed after it.
    """

    def __init__(self, config: Config, *, alone: bool) -> None:
        _keep_large_blocks()
        self._most = config.max_response_bytes
        self._alone = alone
        self._timeout = timeout_of(config)
        tls = config.base_url.startswith("https:")  # no request leaves for another address
        self._connector = connector_for(config, force_close=alone, tls=tls)
        url, loop = URL(config.base_url, encoded=True), asyncio.get_running_loop()
        self._address = _Address("GET", url, loop=loop)
        self._used: UsedConnections = WeakKeyDictionary()
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
        """Send one request and read its answer; a redirect is an answer.

        Raises:
            aiohttp.ClientError, HttpProcessingError, UnusableError, OSError: there is no answer.
            TransportError: the answer cannot be used.
            ConfigurationError: the target cannot stand in a request; no byte was sent.
        """
        check_target(outgoing.target)
        attempt = AttemptConnection(outgoing, self._used)
        connection, protocol, transport = await self._connect(attempt)
        try:
            protocol.set_response_params(read_until_eof=True)
            # Not in a variable: the key is in it, and tracebacks may show variables.
            transport.write(self._written(outgoing))
            answer = await self._answer(protocol, outgoing)
        except BaseException:
            attempt.abort()
            connection.close()
            raise
        if self._alone:
            attempt.abort()
        connection.release()
        return answer

    async def _connect(
        self, attempt: AttemptConnection
    ) -> tuple[Connection, ResponseHandler, asyncio.Transport]:
        """Take a usable connection from the pool, or open one."""
        while True:
            try:
                connection = await self._connector.connect(
                    self._address, traces=[], timeout=self._timeout
                )
            except TimeoutError:
                break
            try:
                protocol, transport = attempt.begin(connection)
            except UnusableError as unusable:
                connection.close()
                if not unusable.kept:
                    raise
            else:
                return connection, protocol, transport
        raise ConnectionTimeoutError

    async def _answer(self, protocol: ResponseHandler, outgoing: Outgoing) -> Answer:
        while True:
            message, content = await protocol.read()
            if message.code >= 200 or message.code == 101:
                outgoing.version = message.version
                return await answer_of(message.code, message.headers, content, self._most)

    def _fields(self, headers: Mapping[str, str]) -> str:
        """The lines of the header; kept from the last request, as they seldom change."""
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
    """The address to connect to; a connector needs nothing else of a request."""

    @cached_property
    def connection_key(self) -> ConnectionKey:
        return super().connection_key


@cache
def _keep_large_blocks() -> None:
    """Free one large block, so that glibc keeps the blocks that asyncio reads into.

    asyncio allocates 256 KiB for each read and shrinks them to what arrived. glibc maps a
    block of more than 128 KiB from the system and unmaps it at once, until a larger block
    has been freed: two mappings and 8 page faults a page, about 25 µs.
    """
    bytearray(1 << 20)


def _lines(fields: Mapping[str, str]) -> str:
    return "".join([f"{name}: {value}\r\n" for name, value in fields.items()])
