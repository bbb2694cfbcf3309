"""The deadline of a call, in every state of the call, and the caller's own time limits."""

from __future__ import annotations

import asyncio

import pytest

from iottly_async import (
    CommandOutcomeUnknownError,
    DeadlineExceededError,
    RateLimitedError,
    RetryPolicy,
    ServerError,
)
from tests.support.calls import GET, Verb, each_verb, failure_of, session_on
from tests.support.leaks import until
from tests.support.raw_server import Peer, RawServer, answer, answering, head
from tests.support.tls import Certificates

SHORT = 0.25


async def silent(peer: Peer) -> None:
    """Send no answer."""
    await peer.stall()


async def half(peer: Peer) -> None:
    """Send half an answer."""
    await peer.request()
    await peer.send(head(200, length=100) + b"{")
    await peer.stall()


@pytest.mark.parametrize("play", [silent, half], ids=["head", "body"])
@each_verb
async def test_while_an_answer_is_awaited(verb: Verb, play: object) -> None:
    """The timeout ends a call in its first attempt; the outcome of a command is unknown."""
    script = silent if play is silent else half
    async with RawServer(script) as server, session_on(server, timeout=SHORT) as session:
        error = await failure_of(verb.make(session))
        reported = error.__cause__ if verb.command else error
        assert type(reported) is DeadlineExceededError
        assert isinstance(reported, TimeoutError)
        assert (error.sent, error.attempts) == ("maybe", 1)
        if verb.command:
            assert type(error) is CommandOutcomeUnknownError
        await server.until_closed()


@each_verb
async def test_while_it_connects(verb: Verb, certificates: Certificates) -> None:
    """A call that its deadline ends in the TLS handshake was not sent, commands neither."""
    async with RawServer(silent) as server:
        url = server.url.replace("http:", "https:")
        async with session_on(url, certificates, timeout=SHORT) as session:
            error = await failure_of(verb.make(session))
            assert type(error) is DeadlineExceededError
            assert (error.sent, error.attempts) == ("no", 1)
            await server.until_closed()


@pytest.mark.parametrize("places", [1, 5], ids=["connection", "limiter"])
async def test_while_it_waits_in_a_queue(places: int) -> None:
    """A call that its deadline ends in a queue was not sent; the call before it goes on."""
    free = asyncio.Event()

    async def waits(peer: Peer) -> None:
        while True:
            await peer.request()
            await free.wait()
            await peer.send(answer(200, GET.body))

    async with RawServer(waits) as server, session_on(server, max_connections=places) as session:
        if places == 1:
            free.set()
            await GET.make(
                session
            )  # the limiter has its first answer; the next call waits for a connection
            free.clear()
        before = len(server.requests)
        first = asyncio.create_task(session.devices.get("dev_1"))
        await until(lambda: len(server.requests) > before, "the first request")
        error = await failure_of(session.with_options(timeout=SHORT).devices.get("dev_1"))
        assert isinstance(error, DeadlineExceededError | RateLimitedError)
        assert error.sent == "no"
        free.set()
        assert (await first).id == "dev_1"
        assert len(server.requests) == before + 1


async def test_a_pause_beyond_it_is_not_begun() -> None:
    """If the pause before the next attempt passes the deadline, the call fails at once."""
    policy = RetryPolicy(max_attempts=4, initial_delay=10_000.0, max_delay=10_000.0)
    async with (
        RawServer(answering(503, b"", "Retry-After: 900")) as server,
        session_on(server, retry=policy) as session,
    ):
        error = await failure_of(GET.make(session))
    assert type(error) is ServerError
    assert error.attempts == 1


async def test_it_ends_retries_too() -> None:
    """Retries end at the deadline."""
    policy = RetryPolicy(max_attempts=100_000, initial_delay=0.01, max_delay=0.01, budget=10**9)
    async with (
        RawServer(answering(503, b"")) as server,
        session_on(server, retry=policy, timeout=SHORT) as session,
    ):
        error = await failure_of(GET.make(session))
    assert isinstance(error, ServerError | DeadlineExceededError)
    assert error.attempts > 1
    assert len(server.requests) in (error.attempts, error.attempts - 1)


@each_verb
async def test_the_callers_own_limit_is_the_callers(verb: Verb) -> None:
    """`asyncio.timeout` around a call cancels it and raises TimeoutError."""
    async with RawServer(silent) as server, session_on(server) as session:
        with pytest.raises(TimeoutError) as caught:
            async with asyncio.timeout(SHORT):
                await verb.make(session)
        assert type(caught.value) is TimeoutError
        cancelled = caught.value.__context__  # its cause, too, from Python 3.11.3 on
        assert isinstance(cancelled, asyncio.CancelledError)
        notes = getattr(cancelled, "__notes__", [])
        assert any("may have reached the device" in note for note in notes) == verb.command
        await server.until_closed()


async def test_a_cancellation_in_the_tick_of_the_deadline_wins() -> None:
    """If the caller cancels in the tick of the deadline, CancelledError is raised."""
    async with RawServer(silent) as server, session_on(server, timeout=SHORT) as session:
        loop = asyncio.get_running_loop()
        call = asyncio.create_task(session.devices.get("dev_1"))
        await until(lambda: bool(server.requests), "the request")
        # The loop is blocked until both timers are due: they run in one iteration.
        due = loop.time() + SHORT
        loop.call_at(due, call.cancel)
        while loop.time() < due:
            pass
        async with asyncio.timeout(10):
            await asyncio.wait([call])
        assert call.cancelled()
