"""The behaviour of aiohttp that the transport works around; each test says when it is gone.

No test here is about our own code. On the version in which a behaviour was seen, the test
fails if aiohttp behaves otherwise; on a later version it is skipped, and says which
work-around can be removed.
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
"""Iterations of the loop after which an event that did not happen will not happen."""


def gone(what: str) -> NoReturn:
    """Report that aiohttp does not behave so any more."""
    reported = f"{what}: gone in aiohttp {aiohttp.__version__}; see the transport's list"
    if aiohttp.__version__ == SEEN:
        pytest.fail(reported)
    pytest.skip(reported)


async def run_loop() -> None:
    """Run the loop for `TURNS` iterations."""
    for _ in range(TURNS):
        await asyncio.sleep(0)


async def get(session: aiohttp.ClientSession, url: str) -> bytes:
    """Send a GET and read the whole body."""
    async with session.get(url) as response:
        return await response.read()


async def test_a_bounded_connector_loses_a_wake_up() -> None:
    """A waiter that is cancelled in the tick of its wake-up loses the wake-up of the next one."""
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
        await run_loop()
        hangs = not third.done() and len(server.requests) == 1
        third.cancel()
        await asyncio.gather(third, return_exceptions=True)
    if not hangs:
        gone("a bounded connector hangs after a cancelled waiter")


async def test_a_credential_is_sent_along_on_a_redirect() -> None:
    """Only `Authorization` is removed on a redirect; the body is sent along on a 307."""
    async with RawServer(answering(200, b"{}")) as thief:
        there = answer(307, b"", f"Location: {thief.url}/")
        async with RawServer(playing(there)) as server, aiohttp.ClientSession() as session:
            headers = {"Authentication": "bearer canary"}
            async with session.post(server.url, headers=headers, data=b"the body") as response:
                await response.read()
        received = thief.requests[0]
    if ("authentication", "bearer canary") not in received.headers or received.body != b"the body":
        gone("a redirect takes `Authentication` and the body to another origin")


async def test_an_upgrade_is_redirected_and_resent() -> None:
    """The request that opens a WebSocket follows redirects, and is sent twice when lost."""

    async def hangs_up(peer: Peer) -> None:
        await peer.request()
        peer.finish()

    async with RawServer(hangs_up) as thief:
        there = answer(302, b"", f"Location: {thief.url}/")
        async with RawServer(playing(there)) as server, aiohttp.ClientSession() as session:
            with pytest.raises(aiohttp.ClientError):
                await session.ws_connect(server.url, headers={"Authentication": "bearer canary"})
        received = thief.requests
    if len(received) != 2 or ("authentication", "bearer canary") not in received[0].headers:
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


async def test_an_unrequested_answer_is_taken_for_the_next() -> None:
    """Bytes that arrive on an idle kept connection become the answer to the next request."""

    script = answering(200, b'"its own"')
    async with RawServer(script) as server, aiohttp.ClientSession() as session:
        await get(session, server.url)
        server.peers[0].send_at_once(answer(200, b'"unasked"'))
        await run_loop()
        second = await get(session, server.url)
    if second != b'"unasked"':
        gone("an unrequested answer is taken for the next one")


async def test_unread_input_is_not_noticed() -> None:
    """A kept connection that has ended, unknown to the loop, is written to."""
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
    """A POST on a kept connection that ended while the loop was blocked is not sent again."""
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


async def test_read_decompresses_without_a_limit() -> None:
    """`read()` decompresses a body of any size, and no setting limits it."""
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
    """aiohttp's error for a broken answer shows the credential in its repr or locals."""
    script = playing(b"not HTTP at all\r\n\r\n")
    async with RawServer(script) as server, aiohttp.ClientSession() as session:
        with pytest.raises(aiohttp.ClientResponseError) as caught:
            await session.get(server.url, headers={"Authentication": "bearer so-secret"})
        reported = repr(caught.value) + repr(caught.value.args)
        stack = traceback.StackSummary.extract(
            traceback.walk_tb(caught.value.__traceback__), capture_locals=True
        )
        local = any("so-secret" in str(frame.locals) for frame in stack[1:])
    if "so-secret" not in reported and not local:
        gone("an error holds the headers of the request")


async def test_a_closed_session_raises_a_bare_error() -> None:
    """A session that was closed raises a bare RuntimeError."""
    session = aiohttp.ClientSession()
    await session.close()
    with pytest.raises(RuntimeError) as caught:
        await session.get("http://127.0.0.1:1")
    if type(caught.value) is not RuntimeError:
        gone("a closed session has no class of its own")


async def test_cut_gzip_passes_for_whole() -> None:
    """A gzip stream that is cut within correct framing is returned without an error."""
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
    """A task that reads a body while its session closes waits for ever."""

    async def half(peer: Peer) -> None:
        await peer.request()
        await peer.send(head(200, length=100) + b"half")
        await peer.stall()

    async with RawServer(half) as server:
        session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=None))
        reader = asyncio.create_task(get(session, server.url))
        await until(lambda: len(server.requests) == 1, "the request")
        await run_loop()
        await session.close()
        await run_loop()
        hangs = not reader.done()
        reader.cancel()
        await asyncio.gather(reader, return_exceptions=True)
    if not hangs:
        gone("closing leaves a reader hanging")


async def test_tls_to_a_silent_peer_is_not_closed_at_once(certificates: Certificates) -> None:
    """A response that is closed early waits 30 s for the peer's closing handshake."""

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
        await run_loop()
        open_still = sock.fileno() != -1
        transport.abort()
        await run_loop()
        assert sock.fileno() == -1
    if not open_still:
        gone("TLS to a silent peer is not closed at once")


async def test_time_limits_are_rounded_up() -> None:
    """Time limits above 5 s are rounded up to whole seconds of the loop's clock."""
    if aiohttp.ClientTimeout().ceil_threshold != 5:
        gone("time limits above five seconds are rounded up")
