"""Faults before a byte of the request is sent."""

from __future__ import annotations

import logging
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import aiohttp
import pytest
from aiohttp.client_reqrep import ConnectionKey

from iottly_async import (
    ConnectError,
    ConnectionLostError,
    DeadlineExceededError,
    IottlyError,
    ProtocolError,
    TLSError,
)
from iottly_async.transport import Outgoing, connector
from iottly_async.transport.errors import translated
from tests.support.calls import Fault, Verb, assert_error, each_verb, failure_of, session_on
from tests.support.raw_server import Peer, RawServer, Script, answering
from tests.support.tls import Certificates


def _fault(error: type[IottlyError], *, again: bool, text: str = "") -> Fault:
    return Fault(name="", play=_silent, error=error, sent="no", again=again, text=text)


async def _silent(peer: Peer) -> None:
    await peer.stall()


async def _resets_the_handshake(peer: Peer) -> None:
    await peer.arrived(1)
    peer.reset()


async def _ends_the_handshake(peer: Peer) -> None:
    await peer.arrived(1)
    peer.finish()


async def _speaks_plain_http(peer: Peer) -> None:
    await peer.arrived(1)
    await peer.send(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
    peer.finish()


@each_verb
async def test_a_refused_connection(verb: Verb) -> None:
    """If nothing listens, the error names the address; commands are tried again too."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: nobody else gets this port
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        async with session_on(url) as session:
            error = await failure_of(verb.make(session))
    assert_error(
        error,
        verb,
        _fault(ConnectError, again=True, text=f"no connection to {url[7:]}: connection refused"),
    )


@each_verb
async def test_a_name_that_is_not_found(verb: Verb) -> None:
    """If the host name is unknown, nothing was sent; commands are tried again too."""
    async with session_on("https://iottly.invalid") as session:
        error = await failure_of(verb.make(session))
    assert_error(error, verb, _fault(ConnectError, again=True, text="host name iottly.invalid"))


async def test_patience_does_not_wait_for_a_name_that_does_not_exist(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A mistyped host name ends patient work at its first attempt, and is not told as an outage."""
    caplog.set_level(logging.WARNING, "iottly_async")
    async with session_on("https://iottly.invalid", patience=300.0) as session:
        walk = session.project("p").messages.walk("d", patience=300.0)
        with pytest.raises(ConnectError, match=r"iottly\.invalid was not found: check base_url"):
            await anext(walk)
        assert session.stats.attempts == 1
        assert session.outage is None
    assert caplog.records == []


@pytest.mark.parametrize(
    ("number", "no_such_host"),
    [(socket.EAI_NONAME, True), (socket.EAI_AGAIN, False), (None, False)],
)
def test_only_the_resolver_can_say_that_a_name_does_not_exist(
    number: int | None, no_such_host: bool
) -> None:
    """A resolver that is not reached, or that tells no reason, may work again."""
    key = ConnectionKey("iottly.invalid", 443, True, True, None, None, None)
    foreign = aiohttp.ClientConnectorDNSError(key, socket.gaierror(number, "no name"))
    error = translated(foreign, Outgoing("GET", "/", {}))
    assert isinstance(error, ConnectError)
    assert error.no_such_host is no_such_host


@contextmanager
def full_queue() -> Iterator[str]:
    """Yield the URL of a listener whose queue is full: a further connection gets no answer."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        waiting = [socket.socket() for _ in range(4)]
        try:
            for each in waiting:
                each.setblocking(False)
                each.connect_ex(listener.getsockname())
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            for each in waiting:
                each.close()


@pytest.mark.skipif(not hasattr(socket, "AF_PACKET"), reason="how long a queue is differs")
@pytest.mark.parametrize(
    ("limit", "error"),
    [("connect_timeout", ConnectError), ("attempt_timeout", DeadlineExceededError)],
)
@each_verb
async def test_a_connection_that_times_out(
    verb: Verb, limit: str, error: type[IottlyError]
) -> None:
    """`connect_timeout` or `attempt_timeout` ends connecting; commands are tried again too."""
    with full_queue() as url:
        settings: dict[str, Any] = {limit: 0.2}
        async with session_on(url, None, **settings) as session:
            found = await failure_of(verb.make(session))
    assert_error(found, verb, _fault(error, again=True))


@pytest.mark.parametrize("which", ["untrusted", "wrong_host", "expired"])
@each_verb
async def test_a_certificate_that_is_not_accepted(
    verb: Verb, which: str, certificates: Certificates
) -> None:
    """A server whose certificate is not accepted gets no request, and is not tried again."""
    context: ssl.SSLContext = getattr(certificates, which)
    async with (
        RawServer(answering(200, verb.body), tls=context) as server,
        session_on(server, certificates) as session,
    ):
        error = await failure_of(verb.make(session))
        assert not server.requests
        await server.until_closed()
    words = {
        "untrusted": "unable to get local issuer",
        "wrong_host": "127.0.0.1",
        "expired": "expired",
    }
    assert_error(error, verb, _fault(TLSError, again=False, text=words[which]))


@pytest.mark.parametrize(
    ("play", "error", "again"),
    [
        (_resets_the_handshake, ConnectError, True),
        (_ends_the_handshake, ConnectError, True),
        (_speaks_plain_http, TLSError, False),
        (_silent, ConnectError, True),
    ],
    ids=["reset", "fin", "plain-http", "stall"],
)
@each_verb
async def test_a_handshake_that_fails(
    verb: Verb, play: Script, error: type[IottlyError], again: bool, certificates: Certificates
) -> None:
    """If the TLS handshake breaks or does not end, nothing was sent."""
    connect_timeout = 0.2 if play is _silent else 10.0
    async with RawServer(play) as server:
        url = server.url.replace("http:", "https:")
        async with session_on(url, certificates, connect_timeout=connect_timeout) as session:
            found = await failure_of(verb.make(session))
            assert_error(found, verb, _fault(error, again=again))
            assert not any(b"Authori" in peer.received for peer in server.peers)
            await server.until_closed()


@each_verb
async def test_plain_http_to_a_tls_port(verb: Verb, certificates: Certificates) -> None:
    """Plain HTTP to a TLS server is a lost connection, or an answer that is not HTTP."""
    async with RawServer(_silent, tls=certificates.server) as server:
        url = server.url.replace("https:", "http:")
        async with session_on(url) as session:
            error = await failure_of(verb.make(session))
        reported = error.__cause__ if verb.command else error
        assert isinstance(reported, ProtocolError | ConnectionLostError)
        assert error.sent == "maybe"
        assert not server.requests


@pytest.mark.parametrize(("scheme", "read"), [("http", 0), ("https", 1)])
async def test_the_systems_authorities_are_read_for_https_alone(scheme: str, read: int) -> None:
    """Reading them takes 30 ms, and a request by http trusts nobody."""
    connector._default_context.cache_clear()
    with (
        mock.patch("ssl.create_default_context", wraps=ssl.create_default_context) as create,
        socket.socket() as taken,
    ):
        taken.bind(("127.0.0.1", 0))  # bound and not listening: nobody else gets this port
        async with session_on(f"{scheme}://127.0.0.1:{taken.getsockname()[1]}") as session:
            with pytest.raises(ConnectError):
                await session.ping()
    assert create.call_count == read
