"""The parts of aiohttp that pooled connections use beyond its reference.

A test fails if one of them has changed.
"""

from __future__ import annotations

import asyncio
import inspect

from aiohttp import BaseConnector, ClientRequest, ClientTimeout, StreamReader, TCPConnector
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import Connection
from yarl import URL

from tests.support.raw_server import RawServer, answer, answering, playing

GET = b"GET / HTTP/1.1\r\nHost: here\r\n\r\n"


async def connected(connector: BaseConnector, url: str) -> Connection:
    """Take a connection from the connector, for a request that is never sent."""
    request = ClientRequest("GET", URL(url), loop=asyncio.get_running_loop())
    return await connector.connect(request, traces=[], timeout=ClientTimeout())


async def asked(connector: BaseConnector, url: str) -> tuple[Connection, ResponseHandler]:
    """Write a request to a connection; return the connection and its protocol."""
    connection = await connected(connector, url)
    protocol, transport = connection.protocol, connection.transport
    assert protocol is not None
    assert transport is not None
    protocol.set_response_params(read_until_eof=True)
    transport.write(GET)
    return connection, protocol


async def test_a_connector_needs_no_session() -> None:
    """A connector needs only a request, which has the headers that we send."""
    async with RawServer(answering(200, b"{}")) as server, TCPConnector(limit=0) as connector:
        connection = await connected(connector, server.url)
        assert isinstance(connection.protocol, ResponseHandler)
        assert connection.transport is not None
        connection.close()
    request = ClientRequest("GET", URL("http://[::1]:80"), loop=asyncio.get_running_loop())
    assert request.headers["Host"] == "[::1]"
    assert "gzip" in request.headers["Accept-Encoding"]


async def test_an_answer_is_read_from_the_protocol() -> None:
    """The protocol reads an answer as a message with code and headers, and a stream."""
    script = answering(200, b"the body", "X-Twice: 1", "x-twice: 2")
    async with RawServer(script) as server, TCPConnector(limit=0) as connector:
        connection, protocol = await asked(connector, server.url)
        message, content = await protocol.read()
        assert message.code == 200
        assert message.headers["x-TWICE"] == "1"
        assert isinstance(content, StreamReader)
        assert await content.readany() == b"the body"
        assert content.at_eof()
        assert not protocol.should_close
        connection.release()
        again = await connected(connector, server.url)
        assert again.protocol is protocol
        again.close()
        await server.until_closed()


async def test_bytes_after_an_answer_are_noticed() -> None:
    """A protocol with bytes after its answer should be closed, and is not kept."""
    script = playing(answer(200, b"{}") + answer(200, b"unasked"))
    async with RawServer(script) as server, TCPConnector(limit=0) as connector:
        connection, protocol = await asked(connector, server.url)
        _, content = await protocol.read()
        assert await content.readany() == b"{}"
        assert protocol.should_close
        connection.release()
        await server.until_closed()


def test_the_defaults_of_set_response_params() -> None:
    """By default, bodies are decompressed and the length of lines is limited."""
    parameters = inspect.signature(ResponseHandler.set_response_params).parameters
    wanted = {
        "timer": None,
        "skip_payload": False,
        "auto_decompress": True,
        "read_timeout": None,
        "max_line_size": 8190,
        "max_field_size": 8190,
        "max_headers": 128,
    }
    assert {name: parameters[name].default for name in wanted} == wanted
