"""What aiohttp does that the transport works around: each test tells when it is gone.

None of these is about our own code. On the version on which they were seen, a fact that
does not show is a failure of the test; on a later one it is a skip that says which
work-around may go.
"""

from __future__ import annotations

import asyncio
import gzip
import traceback
from typing import Any, NoReturn

import aiohttp
import pytest

from tests.support.leaks import until
from tests.support.raw_server import Peer, RawServer, answer, answering, head, playing
from tests.support.stepping import Cut, Stepped
from tests.support.tls import Certificates

SEEN = "3.14.5"
TURNS = 300
"""Turns of the loop after which what ought to have come does not come."""


def gone(what: str) -> NoReturn:
    """Tell that a fact does not show any more."""
    told = f"{what}: gone in aiohttp {aiohttp.__version__}; see the transport's list"
    if aiohttp.__version__ == SEEN:
        pytest.fail(told)
    pytest.skip(told)


async def turn() -> None:
    """Let the loop turn often enough."""
    for _ in range(TURNS):
        await asyncio.sleep(0)


async def get(session: aiohttp.ClientSession, url: str) -> bytes:
    """A GET, read to its end."""
    async with session.get(url) as response:
        return await response.read()


async def test_a_bounded_connector_loses_a_wake_up() -> None:
    """A waiter that is cancelled in the tick of its wake-up takes the next one's turn along."""
    free = asyncio.Event()

    async def waits(peer: Peer) -> None:
        while True:
            await peer.request()
            await free.wait()
            await peer.send(answer(200, b"{}"))

    connector = aiohttp.TCPConnector(limit=1)
    async with RawServer(waits) as server, aiohttp.ClientSession(connector=connector) as session:
        first = asyncio.create_task(get(session, server.url))
        await until(lambda: len(server.requests) == 1, "the first request")
        # Its first wait is for a connection; the cancellation comes with the wake-up.
        stepped = Stepped(get(session, server.url), Cut(1, "wake"))
        second = asyncio.create_task(stepped.ended_by_itself())
        await until(lambda: stepped.waits == 1, "the second's wait")
        third = asyncio.create_task(get(session, server.url))
        await asyncio.sleep(0)
        free.set()
        await first
        assert not await second
        await turn()
        hangs = not third.done() and len(server.requests) == 1
        third.cancel()
        await asyncio.gather(third, return_exceptions=True)
    if not hangs:
        gone("a bounded connector hangs after a cancelled waiter")


async def test_a_credential_travels_with_a_redirect() -> None:
    """Of the credentials only `Authorization` is kept back; the body goes along on a 307."""
    async with RawServer(answering(200, b"{}")) as thief:
        there = answer(307, b"", f"Location: {thief.url}/")
        async with RawServer(playing(there)) as server, aiohttp.ClientSession() as session:
            headers = {"Authentication": "bearer canary"}
            async with session.post(server.url, headers=headers, data=b"the body") as response:
                await response.read()
        heard = thief.requests[0]
    if ("authentication", "bearer canary") not in heard.headers or heard.body != b"the body":
        gone("a redirect takes `Authentication` and the body to another origin")


async def test_an_upgrade_is_redirected_and_resent() -> None:
    """The request that opens a WebSocket goes where a redirect leads, and twice when lost."""

    async def hangs_up(peer: Peer) -> None:
        await peer.request()
        peer.finish()

    async with RawServer(hangs_up) as thief:
        there = answer(302, b"", f"Location: {thief.url}/")
        async with RawServer(playing(there)) as server, aiohttp.ClientSession() as session:
            with pytest.raises(aiohttp.ClientError):
                await session.ws_connect(server.url, headers={"Authentication": "bearer canary"})
        heard = thief.requests
    if len(heard) != 2 or ("authentication", "bearer canary") not in heard[0].headers:
        gone("the request of a WebSocket is redirected and resent")


async def test_a_lost_get_is_sent_twice() -> None:
    """A GET whose connection ends without an answer is silently sent again."""

    async def hangs_up(peer: Peer) -> None:
        await peer.request()
        peer.finish()

    async with RawServer(hangs_up) as server, aiohttp.ClientSession() as session:
        with pytest.raises(aiohttp.ServerDisconnectedError):
            await get(session, server.url)
        count = len(server.requests)
    if count != 2:
        gone("a lost GET is sent twice")


async def test_an_unasked_answer_is_handed_to_the_next_question() -> None:
    """Bytes that arrive on an idle kept connection become the answer of the next request."""

    script = answering(200, b'"its own"')
    async with RawServer(script) as server, aiohttp.ClientSession() as session:
        await get(session, server.url)
        server.peers[0].send_at_once(answer(200, b'"unasked"'))
        await turn()
        second = await get(session, server.url)
    if second != b'"unasked"':
        gone("an unasked answer is handed to the next question")


async def test_what_the_loop_did_not_read_is_not_seen() -> None:
    """A kept connection that has ended in the kernel, but not for the loop, is written to."""
    async with RawServer(answering(200, b"{}")) as server, aiohttp.ClientSession() as session:
        await get(session, server.url)
        server.peers[0].send_at_once(None)
        await get(session, server.url)  # the loss is hidden by a second sending
        first, second = server.peers
        written = len(first.requests) == 2 or bool(first.received[len(first.requests[0].head) :])
        assert len(second.requests) == 1
    if not written:
        gone("a kept connection that ended unseen is written to")


async def test_a_post_on_a_stale_connection_fails() -> None:
    """A POST on a kept connection that ended while the loop was blocked is not sent anew."""
    async with RawServer(answering(200, b"{}")) as server, aiohttp.ClientSession() as session:
        await get(session, server.url)
        server.peers[0].send_at_once(None)
        failed = False
        try:
            async with session.post(server.url, data=b"{}") as response:
                await response.read()
        except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError):
            failed = True
    if not failed:
        gone("a POST on a stale connection fails")


async def test_read_unpacks_without_a_bound() -> None:
    """`read()` gives out a body as large as it unpacks to, and no setting bounds it."""
    size = 32 << 20
    packed = gzip.compress(bytes(size))
    assert len(packed) < 1 << 16
    script = answering(200, packed, "Content-Encoding: gzip")
    async with RawServer(script) as server, aiohttp.ClientSession() as session:
        try:
            body = await get(session, server.url)
        except aiohttp.ClientError:
            body = b""
    if len(body) != size:
        gone("`read()` unpacks without a bound")


async def test_an_error_holds_the_headers_of_the_request() -> None:
    """What aiohttp raises for a broken answer shows the credential in its repr and locals."""
    script = playing(b"not HTTP at all\r\n\r\n")
    async with RawServer(script) as server, aiohttp.ClientSession() as session:
        with pytest.raises(aiohttp.ClientResponseError) as caught:
            await session.get(server.url, headers={"Authentication": "bearer so-secret"})
        told = repr(caught.value) + repr(caught.value.args)
        stack = traceback.StackSummary.extract(
            traceback.walk_tb(caught.value.__traceback__), capture_locals=True
        )
        local = any("so-secret" in str(frame.locals) for frame in stack[1:])
    if "so-secret" not in told and not local:
        gone("an error holds the headers of the request")


async def test_a_closed_session_is_told_without_a_class() -> None:
    """A session that was closed raises a bare RuntimeError."""
    session = aiohttp.ClientSession()
    await session.close()
    with pytest.raises(RuntimeError) as caught:
        await session.get("http://127.0.0.1:1")
    if type(caught.value) is not RuntimeError:
        gone("a closed session has no class of its own")


async def test_cut_gzip_passes_for_whole() -> None:
    """A gzip stream that ends early in good framing is handed out without an error."""
    cut = gzip.compress(b"0123456789" * 1000)[:-12]
    script = answering(200, cut, "Content-Encoding: gzip")
    async with RawServer(script) as server, aiohttp.ClientSession() as session:
        try:
            body = await get(session, server.url)
        except aiohttp.ClientPayloadError:
            body = None
    if body is None:
        gone("cut gzip passes for whole")


async def test_closing_leaves_a_reader_hanging() -> None:
    """Whoever reads a body while its session is closed is never told."""

    async def half(peer: Peer) -> None:
        await peer.request()
        await peer.send(head(200, length=100) + b"half")
        await peer.stall()

    async with RawServer(half) as server:
        session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=None))
        reader = asyncio.create_task(get(session, server.url))
        await until(lambda: len(server.requests) == 1, "the request")
        await turn()
        await session.close()
        await turn()
        hangs = not reader.done()
        reader.cancel()
        await asyncio.gather(reader, return_exceptions=True)
    if not hangs:
        gone("closing leaves a reader hanging")


async def test_tls_to_a_silent_peer_is_not_closed_at_once(certificates: Certificates) -> None:
    """A response that is closed before its end waits half a minute for the peer's farewell."""

    async def half_and_deaf(peer: Peer) -> None:
        await peer.request()
        await peer.send(head(200, length=100) + b"half")
        peer.stop_reading()
        await peer.stall()

    connector = aiohttp.TCPConnector(ssl=certificates.client)
    async with (
        RawServer(half_and_deaf, tls=certificates.server) as server,
        aiohttp.ClientSession(connector=connector) as session,
    ):
        response = await session.get(server.url)
        assert response.connection is not None
        transport: Any = response.connection.transport
        sock = transport.get_extra_info("socket")
        response.close()
        await turn()
        open_still = sock.fileno() != -1
        transport.abort()
        await turn()
        assert sock.fileno() == -1
    if not open_still:
        gone("TLS to a silent peer is not closed at once")


async def test_the_rough_timer_rounds_up() -> None:
    """Time limits above five seconds are rounded up to whole seconds of the loop's clock."""
    if aiohttp.ClientTimeout().ceil_threshold != 5:
        gone("time limits above five seconds are rounded up")
