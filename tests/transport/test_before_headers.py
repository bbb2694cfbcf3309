"""Faults between a request and the head of its answer."""

from __future__ import annotations

import asyncio

import pytest

from iottly_async import ConnectionLostError, DeadlineExceededError, ProtocolError
from tests.support.calls import (
    GET,
    POST,
    PUT,
    Fault,
    Verb,
    assert_fault,
    each_fault,
    each_verb,
    failure_of,
    session_on,
)
from tests.support.raw_server import Peer, RawServer, answer, answering
from tests.support.tls import Certificates

each_transport = pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])


async def closes(peer: Peer) -> None:
    """Send FIN instead of an answer."""
    await peer.request()
    peer.finish()


async def closes_within_the_request(peer: Peer) -> None:
    """Send FIN as soon as any byte has arrived."""
    await peer.arrived(1)
    peer.finish()


async def resets(peer: Peer) -> None:
    """Send RST instead of an answer."""
    await peer.request()
    peer.reset()


async def stalls(peer: Peer) -> None:
    """Send nothing."""
    await peer.request()
    await peer.stall()


async def drips_a_head(peer: Peer) -> None:
    """Send a head that never ends."""
    await peer.request()
    await peer.send(b"HTTP/1.1 200 OK\r\nX-Long: ")
    await peer.drip(b"x" * 1000)


async def promises_for_ever(peer: Peer) -> None:
    """Send 100 Continue again and again."""
    await peer.request()
    while True:
        await peer.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        await peer.stall(0.005)


async def talks_garbage(peer: Peer) -> None:
    """Send bytes that are not HTTP."""
    await peer.request()
    await peer.send(b"\x00\x01\x02 SSH-2.0-OpenSSH_9.2p1\r\n\r\n")
    await peer.stall()


async def cuts_the_head(peer: Peer) -> None:
    """Send half a head, then FIN."""
    await peer.request()
    await peer.send(b"HTTP/1.1 200 OK\r\nContent-Ty")
    peer.finish()


async def switches_protocols(peer: Peer) -> None:
    """Answer 101, which was not requested."""
    await peer.request()
    await peer.send(b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n")
    await peer.stall()


FAULTS = (
    Fault(name="fin", play=closes, error=ConnectionLostError),
    Fault(name="rst", play=resets, error=ConnectionLostError),
    Fault(name="cut-head", play=cuts_the_head, error=ConnectionLostError),
    Fault(name="stall", play=stalls, error=DeadlineExceededError, slow=True),
    Fault(name="drip", play=drips_a_head, error=DeadlineExceededError, slow=True),
    Fault(name="endless-1xx", play=promises_for_ever, error=DeadlineExceededError, slow=True),
    Fault(name="garbage", play=talks_garbage, error=ProtocolError, again=False),
    Fault(name="101", play=switches_protocols, error=ProtocolError, again=False),
)


@each_fault(*FAULTS)
@each_transport
@each_verb
async def test_no_head_of_an_answer(
    verb: Verb, tls: bool, fault: Fault, certificates: Certificates
) -> None:
    """Each fault before the head has its own error; a command is not sent again."""
    await assert_fault(verb, fault, certificates if tls else None)


@each_verb
async def test_a_connection_that_ends_within_the_request(verb: Verb) -> None:
    """If the connection ends while the request is written, the request may have arrived."""
    async with RawServer(closes_within_the_request) as server, session_on(server) as session:
        error = await failure_of(verb.make(session))
        reported = error.__cause__ if verb.command else error
        assert type(reported) is ConnectionLostError
        assert error.sent == "maybe"
        assert len(server.peers) == error.attempts == (1 if verb.command else 2)


@each_transport
async def test_a_lost_read_is_sent_again(tls: bool, certificates: Certificates) -> None:
    """A read that is lost once is sent again and has a result."""

    async def answers(peer: Peer) -> None:
        await peer.request()
        await peer.send(answer(200, GET.body))
        await peer.stall()

    context = certificates.server if tls else None
    async with (
        RawServer(closes, answers, tls=context) as server,
        session_on(server, certificates if tls else None) as session,
    ):
        device = await GET.make(session)
        assert device.id == "dev_1"
        assert len(server.requests) == 2
        assert session.stats.retries == 1


# --- kept-alive connections ----------------------------------------------------------------


async def answers_then_speaks_unasked(peer: Peer) -> None:
    """Send a good answer, and then another that was not requested."""
    await peer.request()
    await peer.send(answer(200, GET.body))
    await peer.send(answer(200, b'{"id": "dev_1", "name": "not this one"}'))
    while True:
        await peer.request()
        await peer.send(answer(200, GET.body))


async def test_an_unrequested_answer_is_never_used() -> None:
    """A kept connection with unread bytes is closed, and the request gets a new one."""
    async with RawServer(answers_then_speaks_unasked) as server, session_on(server) as session:
        for _ in range(3):
            assert (await GET.make(session)).name == "pump"
        assert len(server.requests) == 3
        assert session.stats.attempts == 3


UNASKED = answer(200, b'{"id": "dev_1", "name": "not this one"}')


@pytest.mark.parametrize(
    "unseen", [None, UNASKED, b"HTTP/1.1 408 Too slow\r\n"], ids=["fin", "answer", "half-answer"]
)
@pytest.mark.parametrize("verb", [GET, PUT], ids=lambda verb: verb.method)
async def test_input_that_the_loop_has_not_read(verb: Verb, unseen: bytes | None) -> None:
    """A kept connection that ended, or has input, while the loop was blocked is not written to."""
    async with (
        RawServer(answering(200, verb.body)) as server,
        session_on(server) as session,
    ):
        await verb.make(session)
        server.peers[0].send_at_once(unseen)
        again = await verb.make(session)
        assert again.name == "pump"
        assert session.stats.attempts == len(server.requests) == len(server.peers) == 2


@pytest.mark.parametrize("verb", [GET, PUT], ids=lambda verb: verb.method)
async def test_unrequested_input_that_was_read_is_no_answer(verb: Verb) -> None:
    """Unrequested bytes that the loop has read already are not taken for the next answer."""
    async with (
        RawServer(answering(200, verb.body)) as server,
        session_on(server) as session,
    ):
        await verb.make(session)
        server.peers[0].send_at_once(UNASKED)
        for _ in range(50):
            await asyncio.sleep(0)
        assert (await verb.make(session)).name == "pump"
        assert session.stats.attempts == len(server.requests) == len(server.peers) == 2


async def test_commands_do_not_share_connections() -> None:
    """Each command has a connection of its own, which is closed after the answer."""
    async with RawServer(answering(200, POST.body)) as server, session_on(server) as session:
        for count in (1, 2, 3):
            await POST.make(session)
            assert len(server.peers) == count
            assert ("connection", "close") in server.requests[-1].headers
            await server.until_closed()


async def test_reads_share_a_connection() -> None:
    """Reads one after another use the same connection."""
    async with RawServer(answering(200, GET.body)) as server, session_on(server) as session:
        for _ in range(3):
            await GET.make(session)
        assert len(server.peers) == 1
        assert len(server.requests) == 3
