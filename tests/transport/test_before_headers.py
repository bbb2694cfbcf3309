"""What can happen between a request and the head of its answer."""

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
    befall,
    each_fault,
    each_verb,
    failure_of,
    session_on,
)
from tests.support.raw_server import Peer, RawServer, answer, answering
from tests.support.tls import Certificates

each_transport = pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])


async def closes(peer: Peer) -> None:
    """FIN instead of an answer."""
    await peer.request()
    peer.finish()


async def closes_within_the_request(peer: Peer) -> None:
    """FIN as soon as anything has arrived."""
    await peer.arrived(1)
    peer.finish()


async def resets(peer: Peer) -> None:
    """RST instead of an answer."""
    await peer.request()
    peer.reset()


async def stalls(peer: Peer) -> None:
    """Nothing, ever."""
    await peer.request()
    await peer.stall()


async def drips_a_head(peer: Peer) -> None:
    """A head that grows and never ends."""
    await peer.request()
    await peer.send(b"HTTP/1.1 200 OK\r\nX-Long: ")
    await peer.drip(b"x" * 1000)


async def promises_for_ever(peer: Peer) -> None:
    """100 Continue, again and again."""
    await peer.request()
    while True:
        await peer.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        await peer.stall(0.005)


async def talks_garbage(peer: Peer) -> None:
    """Bytes that are no HTTP."""
    await peer.request()
    await peer.send(b"\x00\x01\x02 SSH-2.0-OpenSSH_9.2p1\r\n\r\n")
    await peer.stall()


async def cuts_the_head(peer: Peer) -> None:
    """Half a head, then FIN."""
    await peer.request()
    await peer.send(b"HTTP/1.1 200 OK\r\nContent-Ty")
    peer.finish()


async def switches_protocols(peer: Peer) -> None:
    """101, which nobody asked for."""
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
    """Each way in which no head arrives has its error; a command is not sent again."""
    await befall(verb, fault, certificates if tls else None)


@each_verb
async def test_a_connection_that_ends_within_the_request(verb: Verb) -> None:
    """The end of a connection while the request is written is a loss that may have arrived."""
    async with RawServer(closes_within_the_request) as server, session_on(server) as session:
        error = await failure_of(verb.make(session))
        told = error.__cause__ if verb.command else error
        assert type(told) is ConnectionLostError
        assert error.sent == "maybe"
        assert len(server.peers) == error.attempts == (1 if verb.command else 2)


@each_transport
async def test_a_read_is_mended_by_a_second_attempt(tls: bool, certificates: Certificates) -> None:
    """A loss, then an answer: one call, two requests, one result."""

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
    """A good answer, and then another that nobody asked for."""
    await peer.request()
    await peer.send(answer(200, GET.body))
    await peer.send(answer(200, b'{"id": "dev_1", "name": "not this one"}'))
    while True:
        await peer.request()
        await peer.send(answer(200, GET.body))


async def test_an_answer_before_its_question_is_never_handed_out() -> None:
    """Bytes that wait on a kept connection belong to no call: it is closed, another opened."""
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
async def test_what_the_loop_had_no_time_to_see_is_seen(verb: Verb, unseen: bytes | None) -> None:
    """A kept connection that ended or spoke while the loop was blocked is not written to."""
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
async def test_an_answer_that_was_read_before_its_question(verb: Verb) -> None:
    """What arrived unasked and was read already is not taken for the next answer either."""
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
    """Each command has a connection of its own, announced as such and closed behind it."""
    async with RawServer(answering(200, POST.body)) as server, session_on(server) as session:
        for count in (1, 2, 3):
            await POST.make(session)
            assert len(server.peers) == count
            assert ("connection", "close") in server.requests[-1].headers
            await server.until_closed()


async def test_reads_share_a_connection() -> None:
    """Calls one after another use one connection."""
    async with RawServer(answering(200, GET.body)) as server, session_on(server) as session:
        for _ in range(3):
            await GET.make(session)
        assert len(server.peers) == 1
        assert len(server.requests) == 3
