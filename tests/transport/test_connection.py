"""Which connection a request may be written to, and what is known of it after a failure."""

from __future__ import annotations

from weakref import WeakKeyDictionary

import pytest
from aiohttp import TCPConnector

from iottly_async.transport import Outgoing
from iottly_async.transport.connection import AttemptConnection, UnusableError, UsedConnections
from tests.support.leaks import until
from tests.support.raw_server import RawServer, answering

from .test_aiohttp_parts import connected


def outgoing_of(method: str = "GET") -> Outgoing:
    """A request that waits for a connection."""
    outgoing = Outgoing("POST" if method == "POST" else "GET", "/", {})
    outgoing.may_have_left = False
    return outgoing


@pytest.mark.parametrize("kept", [False, True], ids=["new", "kept"])
async def test_a_closing_connection_is_not_written_to(kept: bool) -> None:
    """The error says whether the connection was kept; no byte was sent."""
    used: UsedConnections = WeakKeyDictionary()
    async with RawServer(answering(200, b"{}")) as server, TCPConnector(limit=0) as connector:
        connection = await connected(connector, server.url)
        assert connection.transport is not None
        if kept:
            AttemptConnection(outgoing_of(), used).begin(connection)
        connection.transport.abort()
        outgoing = outgoing_of()
        with pytest.raises(UnusableError) as caught:
            AttemptConnection(outgoing, used).begin(connection)
        assert caught.value.kept == kept
        assert not outgoing.may_have_left
        connection.close()


async def test_a_kept_connection_with_unread_input_is_aborted() -> None:
    """Bytes that wait on a kept connection would be taken for the next answer."""
    used: UsedConnections = WeakKeyDictionary()
    async with RawServer(answering(200, b"{}")) as server, TCPConnector(limit=0) as connector:
        connection = await connected(connector, server.url)
        transport = connection.transport
        assert transport is not None
        AttemptConnection(outgoing_of(), used).begin(connection)
        await until(lambda: len(server.peers) == 1, "the connection on the other side")
        server.peers[0].send_at_once(b"unasked")
        with pytest.raises(UnusableError):
            AttemptConnection(outgoing_of(), used).begin(connection)
        assert transport.is_closing()
        connection.close()


async def test_a_request_may_have_left_once_its_connection_is_checked() -> None:
    """From `begin` on the request counts as sent; aborting closes the connection."""
    used: UsedConnections = WeakKeyDictionary()
    async with RawServer(answering(200, b"{}")) as server, TCPConnector(limit=0) as connector:
        connection = await connected(connector, server.url)
        outgoing = outgoing_of("POST")
        attempt = AttemptConnection(outgoing, used)
        _, transport = attempt.begin(connection)
        assert outgoing.may_have_left
        attempt.abort()
        assert transport.is_closing()
        connection.close()
        await server.until_closed()
