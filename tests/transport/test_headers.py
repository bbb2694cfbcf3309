"""Invalid heads of answers."""

from __future__ import annotations

import pytest

from iottly_async import ProtocolError
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


def sends(data: bytes) -> Script:
    """Make a script that answers one request with these bytes and leaves the connection open."""

    async def play(peer: Peer) -> None:
        await peer.request()
        await peer.send(data)
        await peer.stall()

    return play


def _bad(name: str, data: bytes) -> Fault:
    return Fault(name=name, play=sends(data), error=ProtocolError, again=False)


FAULTS = (
    _bad("long-status-line", b"HTTP/1.1 200 " + b"a" * 9000 + b"\r\n\r\n"),
    _bad("long-line", head(200, "X-Long: " + "a" * 9000, length=0)),
    _bad("long-name", head(200, "X" * 9000 + ": a", length=0)),
    _bad("hundreds", head(200, *(f"X-{number}: a" for number in range(500)), length=0)),
    _bad("two-lengths", head(200, "Content-Length: 2", "Content-Length: 5") + b"{}   "),
    _bad("the-same-length-twice", head(200, "Content-Length: 2", "Content-Length: 2") + b"{}"),
    _bad("negative-length", head(200, "Content-Length: -1") + b"{}"),
    _bad("no-length", head(200, "Content-Length: two") + b"{}"),
    _bad("huge-length", head(200, f"Content-Length: {'9' * 30}") + b"{}"),
    _bad(
        "length-and-chunked",
        head(200, "Content-Length: 2", "Transfer-Encoding: chunked") + b"2\r\n{}\r\n0\r\n\r\n",
    ),
    Fault(
        name="endless",
        play=flooding(b"HTTP/1.1 200 OK\r\n", b"X: y\r\n" * 5000),
        error=ProtocolError,
        again=False,
    ),
    _bad("nul", b"HTTP/1.1 200 OK\r\nX: a\0b\r\nContent-Length: 0\r\n\r\n"),
    _bad("no-colon", b"HTTP/1.1 200 OK\r\nX\r\nContent-Length: 0\r\n\r\n"),
    _bad("status-no-number", b"HTTP/1.1 OK 200\r\nContent-Length: 0\r\n\r\n"),
    _bad("http-2", b"HTTP/2 200 OK\r\nContent-Length: 0\r\n\r\n"),
)


@each_fault(*FAULTS)
@each_verb
async def test_a_broken_head(verb: Verb, fault: Fault) -> None:
    """An invalid head is a ProtocolError at once, and the connection is closed."""
    await assert_fault(verb, fault, None)


async def test_a_repeated_field_counts_by_its_first_value() -> None:
    """A header that is repeated is no error; its first value counts."""
    first_soon = answer(503, b"", "Retry-After: 0", "Retry-After: 100000", "X: 1", "X: 2")
    first_late = answer(503, b"", "Retry-After: 100000", "Retry-After: 0")
    for twice, attempts in ((first_soon, 2), (first_late, 1)):
        async with RawServer(playing(twice)) as server, session_on(server) as session:
            assert (await failure_of(GET.make(session))).attempts == attempts


@pytest.mark.parametrize("value", ["-1", "nan", "1e999", "9" * 400, "", "☃".encode().decode("l1")])
async def test_invalid_limit_headers_are_ignored(value: str) -> None:
    """Invalid limit headers disturb neither this call nor the next one."""
    names = ("X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset", "Retry-After")
    lines = [f"{name}: {value}" for name in names]
    async with RawServer(answering(200, GET.body, *lines)) as server, session_on(server) as session:
        for _ in range(3):
            assert (await GET.make(session)).id == "dev_1"
        assert session.quota.in_flight == 0


async def test_a_command_with_an_odd_head_is_done() -> None:
    """HTTP/1.0, a missing reason and an unknown header are accepted."""
    data = b"HTTP/1.0 201\r\nX-Unknown: \xff\r\nContent-Length: %d\r\n\r\n" % len(POST.body)
    async with RawServer(playing(data + POST.body)) as server, session_on(server) as session:
        assert (await POST.make(session)).id == "cmd_1"
        assert len(server.requests) == 1
