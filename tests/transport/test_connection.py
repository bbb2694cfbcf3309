"""Which connection a request may be written to: one that is about to close is none."""

from __future__ import annotations

from weakref import WeakKeyDictionary

import pytest
from aiohttp import TCPConnector

from iottly_async.transport import Outgoing
from iottly_async.transport.connection import AttemptConnection, LostError, StaleError, Used
from tests.support.leaks import until
from tests.support.raw_server import RawServer, answering

from .test_aiohttp_parts import connected


@pytest.mark.parametrize("kept", [False, True], ids=["new", "kept"])
async def test_what_is_closing_is_not_written_to(kept: bool) -> None:
    """A kept one is replaced by another, a new one is a loss; in neither did anything leave."""
    used: Used = WeakKeyDictionary()
    async with RawServer(answering(200, b"{}")) as server, TCPConnector(limit=0) as connector:
        connection = await connected(connector, server.url)
        assert connection.transport is not None
        if kept:
            AttemptConnection(Outgoing("GET", "/", {}), used).take(connection)
        connection.transport.abort()
        outgoing = Outgoing("GET", "/", {})
        with pytest.raises(StaleError if kept else LostError):
            AttemptConnection(outgoing, used).take(connection)
        assert not outgoing.left
        connection.close()


async def test_what_has_spoken_is_cut() -> None:
    """A kept one on which something waits is of no more use to anybody: it is closed at once."""
    used: Used = WeakKeyDictionary()
    async with RawServer(answering(200, b"{}")) as server, TCPConnector(limit=0) as connector:
        connection = await connected(connector, server.url)
        transport = connection.transport
        assert transport is not None
        AttemptConnection(Outgoing("GET", "/", {}), used).take(connection)
        await until(lambda: len(server.peers) == 1, "the connection on the other side")
        server.peers[0].at_once(b"unasked")
        with pytest.raises(StaleError):
            AttemptConnection(Outgoing("GET", "/", {}), used).take(connection)
        assert transport.is_closing()
        connection.close()


async def test_a_new_one_may_have_left_from_then_on() -> None:
    """Once it is taken the request counts as sent; cutting it closes the connection."""
    used: Used = WeakKeyDictionary()
    async with RawServer(answering(200, b"{}")) as server, TCPConnector(limit=0) as connector:
        connection = await connected(connector, server.url)
        outgoing = Outgoing("POST", "/", {})
        line = AttemptConnection(outgoing, used)
        _, transport = line.take(connection)
        assert outgoing.left
        line.cut()
        assert transport.is_closing()
        connection.close()
        await server.left()
