"""Closing a session in every state of its calls, and using it where it cannot be used."""

from __future__ import annotations

import asyncio
import logging
import multiprocessing
import os
import threading
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any

import aiohttp
import pytest

from iottly_async import (
    Config,
    ConfigurationError,
    ConnectionLostError,
    IottlySession,
    RateLimiter,
    SessionClosedError,
    SetupError,
)
from iottly_async.transport import AiohttpTransport, Outgoing
from iottly_async.wire import Answer
from tests.support.calls import GET, POST, Verb, each_verb, failure_of, session_on
from tests.support.leaks import until
from tests.support.raw_server import Peer, RawServer, answer, answering, head
from tests.support.stepping import MOMENTS, Moment, Stepped, cuts
from tests.support.tls import Certificates

SOON = 10.0
"""Seconds within which what ought to end at once has ended on the busiest machine; all that
is waited for here would otherwise take minutes, or for ever."""


async def stalls_by_path(peer: Peer) -> None:
    """Answer ``good``; send half a body for ``half``, a 503 for ``again``, else nothing."""
    while True:
        line = (await peer.request()).line
        if "good" in line:
            await peer.send(answer(200, GET.body.replace(b"dev_1", b"good")))
        elif "pending" in line:
            await peer.send(answer(200, b'{"command_id": "pending", "status": "pending"}'))
        elif "half" in line:
            await peer.send(head(200, length=500) + b'{"id": ')
        elif "again" in line:
            await peer.send(answer(503, b"", "Retry-After: 500"))


def in_every_state(session: IottlySession) -> list[Coroutine[Any, Any, Any]]:
    """Make calls that come to hang in every state that a call can be in."""

    async def walk() -> None:
        async for _ in session.project("p1").messages.walk("d1"):
            pass

    async def walk_at_once() -> None:
        messages = session.project("p1").messages
        async for _ in messages.walk("d1", concurrency=4, ordered=False):
            pass

    async def follow() -> None:
        async for _ in session.project("p1").messages.follow("d1"):
            pass

    async def listen() -> None:
        async with session.stream() as stream:
            async for _ in stream:
                pass

    return [
        session.devices.get("silent"),
        session.devices.get("half"),
        session.devices.get("again"),
        session.commands.send("silent", "uptime"),
        session.commands.wait("pending"),
        session.project("p1").devices.rename("d1", "x"),
        walk(),
        walk_at_once(),
        follow(),
        listen(),
        *(session.devices.get(f"queued_{number}") for number in range(20)),
    ]


async def hanging(session: IottlySession, server: RawServer) -> list[asyncio.Task[Any]]:
    """Start those calls as tasks, and wait until all connections are in use."""
    await session.devices.get("good")  # the limiter has its first answer, and opens
    calls = [asyncio.create_task(call) for call in in_every_state(session)]
    await until(lambda: len(server.requests) >= 8, "the requests")
    return calls


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize("grace", [0.0, 0.05])
async def test_closing_ends_every_call(grace: float, tls: bool, certificates: Certificates) -> None:
    """In whatever state a call is, closing ends it with SessionClosedError at once."""
    async with RawServer(stalls_by_path, tls=certificates.server if tls else None) as server:
        session = session_on(
            server, certificates if tls else None, max_connections=9, timeout=1000.0
        )
        calls = await hanging(session, server)
        async with asyncio.timeout(SOON):
            await session.aclose(grace=grace)
            results = await asyncio.gather(*calls, return_exceptions=True)
            await server.until_closed()
        assert {type(result) for result in results} == {SessionClosedError}
        assert {getattr(result, "sent", None) for result in results} == {"no", "maybe"}


async def test_a_call_ends_well_within_the_grace_period() -> None:
    """A call that is answered within the grace period has its result; a new one is refused."""
    answered = asyncio.Event()

    async def waits(peer: Peer) -> None:
        await peer.request()
        await answered.wait()
        await peer.send(answer(200, GET.body))

    async with RawServer(waits) as server:
        session = session_on(server)
        call = asyncio.create_task(session.devices.get("dev_1"))
        await until(lambda: len(server.requests) == 1, "the request")
        closing = asyncio.create_task(session.aclose(grace=1000))
        await asyncio.sleep(0)
        with pytest.raises(SessionClosedError):
            await session.devices.get("dev_1")
        answered.set()
        async with asyncio.timeout(SOON):
            await closing
        assert (await call).id == "dev_1"
        assert len(server.requests) == 1


async def test_two_may_close_at_once() -> None:
    """If two tasks close the session, the shorter grace period counts, and both return."""
    async with RawServer(stalls_by_path) as server:
        session = session_on(server, None, max_connections=9, timeout=1000.0)
        calls = await hanging(session, server)
        patient = asyncio.create_task(session.aclose(grace=1000))
        await asyncio.sleep(0)
        async with asyncio.timeout(SOON):
            await session.aclose()
            await patient
            results = await asyncio.gather(*calls, return_exceptions=True)
        assert {type(result) for result in results} == {SessionClosedError}


@pytest.mark.parametrize("moment", MOMENTS)
async def test_closing_is_cancelled_at_any_wait(moment: Moment) -> None:
    """If closing is cancelled at any wait, the calls end all the same, and it can be repeated."""
    for cut in cuts(moment):
        async with RawServer(stalls_by_path) as server:
            session = session_on(server, None, max_connections=9, timeout=1000.0)
            calls = await hanging(session, server)
            ended = await Stepped(session.aclose(), cut).ended_by_itself()
            async with asyncio.timeout(SOON):
                results = await asyncio.gather(*calls, return_exceptions=True)
                await session.aclose()
                await server.until_closed()
            assert {type(result) for result in results} == {SessionClosedError}
        if ended:
            return


async def test_closing_twice_does_nothing() -> None:
    """Closing a second time is no error."""
    async with RawServer(answering(200, GET.body)) as server:
        session = session_on(server)
        await session.devices.get("dev_1")
        await session.aclose()
        await session.aclose()


async def test_a_closed_session_sends_nothing() -> None:
    """Every use after closing raises SessionClosedError; nothing is sent."""
    async with RawServer(answering(200, GET.body)) as server:
        session = session_on(server)
        await session.aclose()
        for call in in_every_state(session):
            error = await failure_of(call)
            assert type(error) is SessionClosedError
            assert (error.sent, error.attempts) == ("no", 0)
        assert not server.peers


async def test_a_closed_transport_opens_nothing() -> None:
    """A closed transport opens no connection."""
    async with RawServer(answering(200, GET.body)) as server:
        transport = AiohttpTransport(session_on(server).config)
        await transport.aclose()
        with pytest.raises(SessionClosedError):
            await transport.send(Outgoing("GET", "/v1/devices/dev_1", {}))
        assert not server.peers


async def test_a_caller_who_cancels_in_the_tick_of_closing_is_cancelled() -> None:
    """If the caller cancels in the tick of closing, CancelledError is raised."""
    async with RawServer(stalls_by_path) as server:
        session = session_on(server)
        call = asyncio.create_task(session.devices.get("silent"))
        await until(lambda: len(server.requests) == 1, "the request")
        closing = asyncio.create_task(session.aclose())
        await asyncio.sleep(0)
        call.cancel()
        async with asyncio.timeout(SOON):
            await closing
            with pytest.raises(asyncio.CancelledError):
                await call


class Losing:
    """A transport that turns its cancellation into a loss."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()

    async def send(self, outgoing: Outgoing) -> Answer:
        """Wait for ever; when cancelled, raise a loss."""
        outgoing.may_have_left = True
        self.begun.set()
        with suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        raise ConnectionLostError("lost", sent="maybe")

    async def aclose(self) -> None:
        """Do nothing."""


@each_verb
async def test_a_loss_by_closing_is_reported_as_closing(verb: Verb) -> None:
    """A loss that closing caused is reported as SessionClosedError."""
    http = Losing()
    session = session_on("http://127.0.0.1:1", http=http)
    call = asyncio.ensure_future(verb.make(session))
    await http.begun.wait()
    await session.aclose()
    with pytest.raises(SessionClosedError) as caught:
        await call
    assert (caught.value.sent, caught.value.attempts) == ("maybe", 1)


# --- where a session cannot be used ---------------------------------------------------------


async def test_another_event_loop_is_refused() -> None:
    """A session belongs to the loop of its first call; a call from another loop is refused."""
    errors: list[BaseException] = []

    def elsewhere(session: IottlySession) -> None:
        for use in (session.devices.get("dev_1"), session.aclose()):
            with asyncio.Runner() as runner:
                try:
                    runner.run(use)
                except ConfigurationError as error:
                    errors.append(error)

    async with RawServer(answering(200, GET.body)) as server, session_on(server) as session:
        await session.devices.get("dev_1")
        thread = threading.Thread(target=elsewhere, args=(session,))
        thread.start()
        await until(lambda: not thread.is_alive(), "the other thread's end")
        thread.join()
        assert [("event loop" in str(error)) for error in errors] == [True, True]
        assert len(server.requests) == 1
        await session.devices.get("dev_1")


def in_a_child(session: IottlySession, report: Any) -> None:
    """Use an inherited session, in a forked process."""
    # Another package's handler may wait for a lock that a thread of the parent held.
    logging.disable()
    try:
        asyncio.run(session.devices.get("dev_1"))
    except ConfigurationError as error:
        report.send(str(error))
    finally:
        report.close()
        os._exit(0)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # forking a process with threads
@pytest.mark.parametrize("used", [False, True], ids=["unused", "used"])
async def test_a_forked_process_is_refused(used: bool) -> None:
    """A session that was made before a fork is refused in the child process."""
    async with RawServer(answering(200, GET.body)) as server, session_on(server) as session:
        if used:
            await session.devices.get("dev_1")
        before = len(server.requests)
        ours, theirs = multiprocessing.Pipe(duplex=False)
        child = os.fork()
        if child == 0:
            in_a_child_of_a_running_loop(session, theirs)
        theirs.close()
        reported = await asyncio.to_thread(ours.recv)
        ours.close()
        await asyncio.to_thread(os.waitpid, child, 0)
        assert "before a fork" in reported
        assert len(server.requests) == before


def in_a_child_of_a_running_loop(session: IottlySession, report: Any) -> None:
    """Let a child process, forked within a coroutine, forget the running loop."""
    asyncio._set_running_loop(None)
    in_a_child(session, report)


async def test_a_session_given_as_http_stays_open() -> None:
    """A session given as `http` stays open when ours closes."""
    async with RawServer(answering(200, GET.body)) as server, aiohttp.ClientSession() as http:
        config = Config(base_url=server.url)
        async with IottlySession("key", config=config, http=http, limiter=RateLimiter()) as session:
            await session.devices.get("dev_1")
        assert not http.closed


async def test_a_stream_leaves_a_given_session_open() -> None:
    """A session given as `http` stays open when a stream over it closes."""
    async with RawServer(answering(200, GET.body)) as server, aiohttp.ClientSession() as http:
        transport = AiohttpTransport(Config(base_url=server.url), http)
        upgrading = transport.for_upgrades()
        await upgrading.close()
        await transport.aclose()
        assert upgrading.closed
        async with http.get(server.url) as response:
            await response.read()


async def test_a_closed_http_session_is_refused() -> None:
    """A closed session given as `http` is a SetupError, for reads and commands."""
    http = aiohttp.ClientSession()
    await http.close()
    async with IottlySession("key", config=Config(), http=http, limiter=RateLimiter()) as session:
        for verb in (GET, POST):
            assert type(await failure_of(verb.make(session))) is SetupError
