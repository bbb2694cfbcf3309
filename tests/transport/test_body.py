"""Bodies that do not arrive, do not end, or differ from what their head says."""

from __future__ import annotations

import gzip
import tracemalloc
import zlib

import aiohttp
import pytest

from iottly_async import (
    DeadlineExceededError,
    DecodeError,
    IottlyError,
    ProtocolError,
    ResponseTooLargeError,
    TruncatedResponseError,
)
from tests.support.calls import (
    GET,
    POST,
    Fault,
    Verb,
    assert_fault,
    each_fault,
    each_verb,
    failure_of,
    session_on,
)
from tests.support.leaks import sockets, until
from tests.support.raw_server import (
    Peer,
    RawServer,
    Script,
    answer,
    answering,
    flooding,
    head,
    playing,
)
from tests.support.tls import Certificates

HALF = b'{"id": "dev_1", "na'


def half_then(what: str, *lines: str) -> Script:
    """Make a script that sends a head and half a body, and then does `what`."""

    async def play(peer: Peer) -> None:
        await peer.request()
        await peer.send(head(200, *(lines or ("Content-Length: 500",))) + HALF)
        if what == "fin":
            peer.finish()
        elif what == "rst":
            await peer.stall(0.01)  # so that the head is read before the reset discards it
            peer.reset()
        elif what == "drip":
            await peer.drip(b" " * 480)
        else:
            await peer.stall()

    return play


def sends(data: bytes, *, then_closes: bool = False) -> Script:
    """Make a script that answers with these bytes, and closes the connection or leaves it open."""

    async def play(peer: Peer) -> None:
        await peer.request()
        await peer.send(data)
        if then_closes:
            peer.finish()
        else:
            await peer.stall()

    return play


async def never_ends(peer: Peer) -> None:
    """Send a chunked body without an end."""
    await peer.request()
    await peer.send(head(200, "Transfer-Encoding: chunked"))
    chunk = b"10000\r\n" + b" " * 65536 + b"\r\n"
    while True:
        await peer.send(chunk)


def _bomb(mebibytes: int) -> bytes:
    """Make a gzip stream of some mebibytes of zeros, without its end."""
    packer, mebibyte = zlib.compressobj(9, wbits=31), bytes(1 << 20)
    first = packer.compress(mebibyte) + packer.flush(zlib.Z_FULL_FLUSH)
    # After a full flush the next block stands for itself, so one serves for all.
    again = packer.compress(mebibyte) + packer.flush(zlib.Z_FULL_FLUSH)
    return first + again * (mebibytes - 1)


def _gzipped(data: bytes) -> bytes:
    return answer(200, data, "Content-Encoding: gzip")


CUT = TruncatedResponseError
FAULTS = (
    Fault(name="rst", play=half_then("rst"), error=CUT),
    Fault(name="short", play=half_then("fin"), error=CUT),
    Fault(
        name="cut-chunk",
        play=sends(head(200, "Transfer-Encoding: chunked") + b"40\r\n" + HALF, then_closes=True),
        error=CUT,
    ),
    Fault(
        name="no-last-chunk",
        play=sends(head(200, "Transfer-Encoding: chunked") + b"2\r\n{}\r\n", then_closes=True),
        error=CUT,
    ),
    Fault(name="not-gzip", play=sends(_gzipped(b"not gzip at all")), error=CUT),
    Fault(name="stall", play=half_then("stall"), error=DeadlineExceededError, slow=True),
    Fault(name="drip", play=half_then("drip"), error=DeadlineExceededError, slow=True),
    Fault(
        name="endless",
        play=never_ends,
        error=ResponseTooLargeError,
        again=False,
        status=200,
        settings={"max_response_bytes": 1 << 20},
    ),
    Fault(
        name="endless-trailers",
        play=flooding(head(200, "Transfer-Encoding: chunked") + b"0\r\n", b"X: y\r\n" * 5000),
        error=ProtocolError,
        again=False,
    ),
    Fault(
        name="too-large",
        play=sends(head(200, length=1 << 20) + b" " * 2000),
        error=ResponseTooLargeError,
        again=False,
        status=200,
        settings={"max_response_bytes": 1024},
    ),
)


@each_fault(*FAULTS)
@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
@each_verb
async def test_no_whole_body(
    verb: Verb, tls: bool, fault: Fault, certificates: Certificates
) -> None:
    """Each fault within the body has its own error; a command is not sent again."""
    await assert_fault(verb, fault, certificates if tls else None)


FLOODS = (
    Fault(
        name="of-1xx",
        play=flooding(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 2000),
        error=DeadlineExceededError,
        slow=True,
    ),
    Fault(
        name="of-one-chunk's-extension",
        play=flooding(head(200, "Transfer-Encoding: chunked") + b"1;", b"a" * 50_000),
        error=DeadlineExceededError,
        slow=True,
    ),
)


@each_fault(*FLOODS)
@pytest.mark.parametrize("verb", [GET, POST], ids=lambda verb: verb.method)
async def test_a_flood_without_a_body(verb: Verb, fault: Fault) -> None:
    """An endless flood that adds nothing to the body ends at the attempt's time limit."""
    await assert_fault(verb, fault, None)


async def deaf_after_half(peer: Peer) -> None:
    """Send half a body, then neither send nor read."""
    await peer.request()
    await peer.send(head(200, length=500) + HALF)
    peer.stop_reading()
    await peer.stall()


@each_verb
async def test_a_deaf_peer_keeps_no_socket_open(verb: Verb, certificates: Certificates) -> None:
    """With TLS too a failed connection is closed at once, without the peer's closing handshake."""
    async with (
        RawServer(deaf_after_half, tls=certificates.server) as server,
        session_on(server, certificates, attempt_timeout=0.25) as session,
    ):
        before = len(sockets())
        await failure_of(verb.make(session))
        # On this side of each connection nothing is left; the server's own side is.
        await until(lambda: len(sockets()) == before + len(server.peers), "the end of sockets")


async def answers_and_is_deaf(peer: Peer) -> None:
    """Send a good answer, then stop reading."""
    await peer.request()
    await peer.send(answer(200, POST.body))
    peer.stop_reading()
    await peer.stall()


async def test_a_command_leaves_no_socket_to_a_deaf_peer(certificates: Certificates) -> None:
    """A command's connection is closed at once after its answer."""
    async with (
        RawServer(answers_and_is_deaf, tls=certificates.server) as server,
        session_on(server, certificates) as session,
    ):
        before = len(sockets())
        await POST.make(session)
        await until(lambda: len(sockets()) == before + 1, "the end of the socket")


@each_verb
async def test_a_decompression_bomb_is_stopped(verb: Verb) -> None:
    """1 GiB in 1 MiB of gzip costs at most a few times `max_response_bytes` in memory."""
    bomb, bound = _gzipped(_bomb(1024)), 4 << 20
    async with (
        RawServer(sends(bomb)) as server,
        session_on(server, max_response_bytes=bound) as session,
    ):
        tracemalloc.start()
        try:
            with pytest.raises(IottlyError) as caught:
                await verb.make(session)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        error = caught.value
        assert peak < 6 * bound
        assert type(error.__cause__ if verb.command else error) is ResponseTooLargeError
        assert len(server.requests) == error.attempts == 1
        await server.until_closed()


@each_verb
async def test_bytes_after_the_length_are_not_the_next_answer(verb: Verb) -> None:
    """Bytes after Content-Length are dropped with their connection, and never read as an answer."""
    other = verb.body.replace(b"pump", b"not this").replace(b"pending", b"not this")
    longer = answer(200, verb.body) + answer(200, other)
    async with RawServer(playing(longer)) as server, session_on(server) as session:
        for count in (1, 2, 3):
            assert "not this" not in repr(await verb.make(session))
            assert len(server.peers) == len(server.requests) == count


async def test_an_answer_of_the_largest_size_is_read() -> None:
    """An answer of exactly `max_response_bytes` is accepted."""
    size = 2000
    async with RawServer(answering(200, GET.body.ljust(size))) as server:
        async with session_on(server, max_response_bytes=size) as session:
            assert (await GET.make(session)).id == "dev_1"
        async with session_on(server, max_response_bytes=size - 1) as session:
            assert type(await failure_of(GET.make(session))) is ResponseTooLargeError


async def test_an_answer_of_the_largest_size_in_chunks_is_read() -> None:
    """A body in chunks may be as large as `max_response_bytes`."""
    size, whole = 2000, GET.body.ljust(2000)

    async def in_two(peer: Peer) -> None:
        while True:
            await peer.request()
            await peer.send(head(200, length=size) + whole[:1000])
            await peer.stall(0.01)
            await peer.send(whole[1000:])

    async with RawServer(in_two) as server:
        async with session_on(server, max_response_bytes=size) as session:
            assert (await GET.make(session)).id == "dev_1"
        async with session_on(server, max_response_bytes=size - 1) as session:
            assert type(await failure_of(GET.make(session))) is ResponseTooLargeError


async def test_a_returned_connection_is_not_aborted() -> None:
    """An answer that fails after its end does not close its connection.

    aiohttp's session returns a connection to its pool at the end of the answer, and another
    call may use it by then. A pooled connection of ours is returned later.
    """
    script = answering(200, GET.body + b" " * 2000)
    async with (
        RawServer(script) as server,
        aiohttp.ClientSession() as http,
        session_on(server, http=http, max_response_bytes=1024) as session,
    ):
        for _ in range(3):
            assert type(await failure_of(GET.make(session))) is ResponseTooLargeError
        assert len(server.requests) == 3
        assert len(server.peers) == 1


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
async def test_a_compressed_answer_is_read(coding: str) -> None:
    """gzip and deflate, which the request offers, are decompressed."""
    packed = gzip.compress(GET.body) if coding == "gzip" else zlib.compress(GET.body)
    script = answering(200, packed, f"Content-Encoding: {coding}")
    async with RawServer(script) as server, session_on(server) as session:
        assert (await GET.make(session)).id == "dev_1"


async def test_an_answer_without_a_length_ends_with_its_connection() -> None:
    """A body that ends with its connection is read if its JSON is whole."""
    script = sends(b"HTTP/1.0 200 OK\r\n\r\n" + GET.body, then_closes=True)
    async with RawServer(script) as server, session_on(server) as session:
        assert (await GET.make(session)).id == "dev_1"


CUT_GZIP = _gzipped(gzip.compress(GET.body + b" " * 5000)[:-20])
UNKNOWN_CODING = answer(200, b"\x01\x02", "Content-Encoding: rot13")


@pytest.mark.parametrize("data", [CUT_GZIP, UNKNOWN_CODING], ids=["cut-gzip", "unknown-coding"])
@each_verb
async def test_a_body_that_cannot_be_decompressed(verb: Verb, data: bytes) -> None:
    """A compressed body that is cut, or of an unknown coding, is an error."""
    async with RawServer(playing(data)) as server, session_on(server) as session:
        error = await failure_of(verb.make(session))
        assert type(error.__cause__ if verb.command else error) is DecodeError
        assert (error.sent, error.attempts) == ("maybe" if verb.command else "yes", 1)
        assert len(server.requests) == 1
