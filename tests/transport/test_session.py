"""Requests through an aiohttp session follow the same rules, whoever made or replaced it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest

from iottly_async import (
    CommandOutcomeUnknownError,
    ConnectError,
    ConnectionLostError,
    IottlyError,
    IottlySession,
    RetryPolicy,
    ServerError,
    UnexpectedRedirectError,
)
from iottly_async.transport import session as transport_session
from tests.support.calls import GET, POST, PUT, Verb, each_verb, failure_of, session_on
from tests.support.leaks import until
from tests.support.raw_server import Peer, RawServer, answering
from tests.support.tls import Certificates


@asynccontextmanager
async def given(server: RawServer | str, **options: Any) -> AsyncIterator[IottlySession]:
    """Yield a session over an aiohttp session of the caller."""
    async with (
        aiohttp.ClientSession(**options) as http,
        session_on(server, http=http) as session,
    ):
        yield session


QUICK = RetryPolicy(initial_delay=0.001, max_delay=0.001)


async def hangs_up(peer: Peer) -> None:
    """Send FIN instead of an answer."""
    await peer.request()
    peer.finish()


@each_verb
async def test_a_lost_request_is_not_resent(verb: Verb) -> None:
    """aiohttp resends nothing: as many requests arrive as the error counts attempts."""
    async with RawServer(hangs_up) as server, given(server) as session:
        error = await failure_of(verb.make(session))
        assert len(server.requests) == error.attempts == (1 if verb.command else 2)
        reported = error.__cause__ if verb.command else error
        assert type(reported) is ConnectionLostError


async def test_an_upgrade_is_not_resent() -> None:
    """aiohttp does not resend the request that opens a stream."""
    async with (
        RawServer(hangs_up) as server,
        session_on(server, retry=QUICK) as session,
        session.stream(),
    ):
        await until(lambda: len(server.requests) >= 4, "the fourth attempt")
        assert len(server.requests) == session.stats.attempts


@each_verb
async def test_no_connection(verb: Verb) -> None:
    """Without a connection, nothing was sent."""
    async with given("http://127.0.0.1:1") as session:
        error = await failure_of(verb.make(session))
    assert type(error) is ConnectError
    assert (error.sent, error.attempts) == ("no", 2)


@each_verb
async def test_raise_for_status_has_no_effect(verb: Verb) -> None:
    """A session with `raise_for_status` does not change the error."""
    body = b'{"error": {"code": "x", "message": "y", "request_id": "req_1"}}'
    async with (
        RawServer(answering(500, body)) as server,
        given(server, raise_for_status=True) as session,
    ):
        error = await failure_of(verb.make(session))
    reported = error.__cause__ if verb.command else error
    assert type(reported) is ServerError
    assert reported.request_id == "req_1"


@each_verb
async def test_no_redirect_is_followed(verb: Verb) -> None:
    """A redirect is an error with a session of the caller too (D12)."""
    async with (
        RawServer(answering(307, b"", "Location: /elsewhere")) as server,
        given(server) as session,
    ):
        assert type(await failure_of(verb.make(session))) is UnexpectedRedirectError
        assert len(server.requests) == 1


async def every_case(certificates: Certificates, **settings: Any) -> None:
    """Make good calls, and calls on stale and lost connections, with and without TLS."""
    for tls in (None, certificates):
        context = None if tls is None else tls.server
        for verb in (GET, PUT, POST):
            async with (
                RawServer(answering(200, verb.body), tls=context) as server,
                session_on(server, tls, **settings) as session,
            ):
                await verb.make(session)
                if not verb.command and tls is None:
                    server.peers[0].send_at_once(None)
                await verb.make(session)
                assert session.stats.attempts == len(server.requests) == 2
            async with (
                RawServer(hangs_up, tls=context) as server,
                session_on(server, tls, **settings) as session,
            ):
                with pytest.raises(IottlyError) as caught:
                    await verb.make(session)
                kind = CommandOutcomeUnknownError if verb.command else ConnectionLostError
                assert type(caught.value) is kind
                await server.until_closed()


def test_on_uvloop(certificates: Certificates) -> None:
    """With uvloop, stale connections are noticed too."""
    uvloop = pytest.importorskip("uvloop")
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(every_case(certificates))


async def test_on_the_ordinary_loop(certificates: Certificates) -> None:
    """The same cases hold on asyncio's own loop."""
    await every_case(certificates)


async def test_with_trust_env(certificates: Certificates, monkeypatch: pytest.MonkeyPatch) -> None:
    """With `trust_env`, requests go through aiohttp's session, with the same results."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setenv("NETRC", "/dev/null")
    await every_case(certificates, trust_env=True)


async def test_an_unknown_aiohttp_is_used_through_its_session(
    certificates: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a later aiohttp, requests go through its session, with the same results."""
    monkeypatch.setattr(aiohttp, "__version__", "3.15.0")
    monkeypatch.setattr("iottly_async.transport.client.PooledConnections", None)
    await every_case(certificates)


# -- traced sessions -----------------------------------------------------------------------------


async def test_a_given_session_traces_and_wraps_requests() -> None:
    """The trace configs and middlewares of a session given as `http` see each request."""
    seen: list[str] = []

    async def traced(_: Any, __: Any, parameters: aiohttp.TraceRequestStartParams) -> None:
        seen.append(f"trace {parameters.method}")

    async def wrapped(
        request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        seen.append(f"middleware {request.method}")
        return await handler(request)

    config = aiohttp.TraceConfig()
    config.on_request_start.append(traced)
    async with (
        RawServer(answering(200, GET.body)) as server,
        given(server, trace_configs=[config], middlewares=(wrapped,)) as session,
    ):
        await GET.make(session)
    assert seen == ["trace GET", "middleware GET"]


# -- an aiohttp that has changed -------------------------------------------------------------------


async def test_a_command_is_sent_once_whatever_aiohttp_calls(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Without the hook before the first byte, a lost command is not sent again (D10).

    aiohttp 4.0's pre-releases have renamed `ClientRequest.send`, which the hook overrides.
    """
    monkeypatch.setattr(aiohttp, "__version__", "4.0.0")
    monkeypatch.delattr(transport_session._CheckedRequest, "send")
    async with RawServer(hangs_up) as server, session_on(server) as session:
        error = await failure_of(POST.make(session))
        assert type(error) is CommandOutcomeUnknownError
        assert (error.sent, error.attempts) == ("maybe", 1)
        assert len(server.requests) == 1
        error = await failure_of(GET.make(session))
        assert (error.sent, error.attempts) == ("maybe", 2)
        assert len(server.requests) == 3


async def test_without_the_hook_no_connection_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """A kept connection that cannot be checked could have unread bytes; none is kept."""
    monkeypatch.setattr(aiohttp, "__version__", "4.0.0")
    monkeypatch.setattr(transport_session, "ClientRequest", object)
    async with RawServer(answering(200, GET.body)) as server, session_on(server) as session:
        await GET.make(session)
        await GET.make(session)
        assert len(server.peers) == 2
