"""The rest of an answer that declared less than it sent, on a kept connection."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import pytest

from iottly_async import IottlySession, ProtocolError, RetryPolicy
from tests.support.calls import GET, POST, PUT, failure_of, session_on
from tests.support.raw_server import Peer, RawServer, Script, answer

REST = b'ed short": true}\n'


def sends_a_rest(body: bytes) -> Script:
    """A script whose first answer has a rest, which arrives after the next request was sent."""

    async def play(peer: Peer) -> None:
        await peer.request()
        await peer.send(answer(200, body))
        await peer.request()
        await peer.send(REST + answer(200, body))
        await peer.stall()

    return play


async def sends_no_http(peer: Peer) -> None:
    """A script that answers with a rest alone."""
    await peer.request()
    await peer.send(REST + answer(200, GET.body))
    await peer.stall()


WAYS = ("pooled", "trust_env", "given")
each_way = pytest.mark.parametrize("way", WAYS)


@asynccontextmanager
async def session_by(
    way: str, server: RawServer, monkeypatch: pytest.MonkeyPatch, attempts: int = 1
) -> AsyncIterator[IottlySession]:
    """Yield a session whose requests go one of the ways of `transport`."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setenv("NETRC", "/dev/null")
    retry = RetryPolicy(max_attempts=attempts, initial_delay=0.001, max_delay=0.001)
    if way == "given":
        async with (
            aiohttp.ClientSession() as http,
            session_on(server, http=http, retry=retry) as session,
        ):
            yield session
    else:
        trust_env = way == "trust_env"
        async with session_on(server, trust_env=trust_env, retry=retry) as session:
            yield session


@each_way
async def test_a_read_that_meets_a_rest_is_sent_again(
    way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A read that meets the rest of an earlier answer has a result, without any retry allowed."""
    async with (
        RawServer(sends_a_rest(GET.body)) as server,
        session_by(way, server, monkeypatch) as session,
    ):
        for _ in range(2):
            assert (await GET.make(session)).name == "pump"
        assert [len(peer.requests) for peer in server.peers] == [2, 1]
        assert (session.stats.attempts, session.stats.retries) == (3, 1)
        await server.peers[0].closed.wait()


@pytest.mark.parametrize("way", ["pooled", "trust_env"])
async def test_it_is_sent_on_a_connection_of_its_own(
    way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is sent again once, on a new connection, even if others are kept that have a rest too."""
    async with (
        RawServer(sends_a_rest(GET.body), sends_no_http) as server,
        session_by(way, server, monkeypatch) as session,
    ):
        await GET.make(session)
        error = await failure_of(GET.make(session))
        assert type(error) is ProtocolError
        assert (error.sent, error.attempts) == ("maybe", 2)
        assert [len(peer.requests) for peer in server.peers] == [2, 1]
        assert ("connection", "close") in server.requests[-1].headers


@each_way
async def test_a_first_answer_that_is_no_http_is_an_error(
    way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bytes that are no HTTP on a new connection are no rest: the read is not sent again."""
    async with (
        RawServer(sends_no_http) as server,
        session_by(way, server, monkeypatch, attempts=4) as session,
    ):
        error = await failure_of(GET.make(session))
        assert type(error) is ProtocolError
        assert error.attempts == len(server.requests) == 1


@each_way
async def test_the_policy_still_has_all_its_attempts(
    way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a rest, as many attempts may fail as the policy says."""

    async def hangs_up(peer: Peer) -> None:
        await peer.request()
        peer.finish()

    async def answers(peer: Peer) -> None:
        await peer.request()
        await peer.send(answer(200, GET.body))
        await peer.stall()

    scripts = (sends_a_rest(GET.body), hangs_up, answers)
    async with (
        RawServer(*scripts) as server,
        session_by(way, server, monkeypatch, attempts=2) as session,
    ):
        await GET.make(session)
        assert (await GET.make(session)).name == "pump"
        assert len(server.requests) == 4


async def test_a_change_that_meets_a_rest_is_not_sent_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Only reads are sent again."""
    async with (
        RawServer(sends_a_rest(PUT.body)) as server,
        session_by("pooled", server, monkeypatch, attempts=4) as session,
    ):
        await PUT.make(session)
        error = await failure_of(PUT.make(session))
        assert type(error) is ProtocolError
        assert error.attempts == 1
        assert len(server.requests) == 2


async def test_a_command_meets_no_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    """A command has a connection of its own; the rest of its answer reaches no other call."""
    async with (
        RawServer(sends_a_rest(POST.body)) as server,
        session_by("pooled", server, monkeypatch) as session,
    ):
        for _ in range(3):
            assert (await POST.make(session)).id == "cmd_1"
        assert [len(peer.requests) for peer in server.peers] == [1, 1, 1]
        assert session.stats.retries == 0
