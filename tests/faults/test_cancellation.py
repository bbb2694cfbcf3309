"""Cancellation at every wait of a call: nothing is kept, nothing is lost.

After each cancellation no permit is held, the one connection is free (another call
succeeds), and no task is left; after all of them, no socket is open.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import pytest

from iottly_async import IottlySession
from tests.support.calls import GET, POST, Verb, each_verb, session_on
from tests.support.leaks import tasks, until
from tests.support.raw_server import Peer, RawServer, Script, answer, answering
from tests.support.stepping import MOMENTS, Cut, Moment, Stepped, cuts
from tests.support.tls import Certificates

each_moment = pytest.mark.parametrize("moment", MOMENTS)
each_transport = pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])


async def make(verb: Verb, session: IottlySession) -> Any:
    """Make the verb's call, as a coroutine."""
    return await verb.make(session)


def own_tasks() -> set[str]:
    """The names of the unfinished tasks that do not belong to a server."""
    return {task.get_name() for task in tasks()} - {"raw-server"}


async def assert_whole(session: IottlySession, verb: Verb) -> None:
    """Assert that a session holds no permit and no task, and can make another call."""
    await until(lambda: not own_tasks(), "the end of all tasks")
    quota = session.quota
    assert (quota.in_flight, quota.waiting) == (0, 0)
    async with asyncio.timeout(10):
        await verb.make(session)
    assert session.quota.in_flight == 0


@asynccontextmanager
async def one_place(
    script: Script, certificates: Certificates | None = None, **settings: Any
) -> AsyncIterator[tuple[RawServer, IottlySession]]:
    """Yield a server, and a session with `max_connections` 1."""
    tls = None if certificates is None else certificates.server
    settings = {"max_connections": 1} | settings
    async with (
        RawServer(script, tls=tls) as server,
        session_on(server, certificates, **settings) as session,
    ):
        yield server, session


@each_transport
@each_moment
@each_verb
async def test_on_a_new_connection(
    verb: Verb, moment: Moment, tls: bool, certificates: Certificates
) -> None:
    """A call is cancelled while it connects, in the handshake, and while it awaits the answer."""
    script = answering(200, verb.body)
    for cut in cuts(moment):
        async with one_place(script, certificates if tls else None) as (server, session):
            stepped = Stepped(make(verb, session), cut)
            if await stepped.ended_by_itself():
                assert cut.wait > 2
                return
            noted = "may have reached" in str(getattr(stepped.error, "__notes__", []))
            if server.requests or cut.wait == 1:  # else it may be on its way
                assert noted == (verb.command and bool(server.requests))
            await assert_whole(session, verb)


@each_transport
@each_moment
async def test_on_a_kept_connection(moment: Moment, tls: bool, certificates: Certificates) -> None:
    """A call on a kept connection is cancelled; the connection does not return to the pool."""
    script = answering(200, GET.body)
    async with one_place(script, certificates if tls else None) as (server, session):
        for cut in cuts(moment):
            await GET.make(session)
            if await Stepped(make(GET, session), cut).ended_by_itself():
                assert cut.wait > 1
                break
            await assert_whole(session, GET)
        await until(lambda: len(server.open) == 1, "the end of all connections but one")


async def refuses_twice(peer: Peer) -> None:
    """Answer 503, 429, and then good answers."""
    for status in (503, 429):
        await peer.request()
        body = b'{"error": {"code": "x", "message": "y"}}'
        await peer.send(answer(status, body, "Retry-After: 0"))
    while True:
        received = await peer.request()
        await peer.send(answer(200, (POST if received.line.startswith("POST") else GET).body))


@each_moment
async def test_in_a_pause_between_attempts(moment: Moment) -> None:
    """A call is cancelled in the pause after a failure, and while it waits after a 429."""
    for cut in cuts(moment):
        async with one_place(refuses_twice) as (_, session):
            if await Stepped(make(GET, session), cut).ended_by_itself():
                assert session.stats.retries == 2
                return
            await assert_whole(session, GET)


class Held:
    """A server whose answers wait until they are released."""

    def __init__(self) -> None:
        self.free = asyncio.Event()

    async def play(self, peer: Peer) -> None:
        """Answer each request once it is released."""
        while True:
            await peer.request()
            await self.free.wait()
            await peer.send(answer(200, GET.body))


@pytest.mark.parametrize("where", ["connection", "limiter"])
@each_moment
async def test_in_a_queue(where: str, moment: Moment) -> None:
    """A waiter is cancelled, also in the tick of its permit: the next waiter gets the permit."""
    held = Held()
    places = 1 if where == "connection" else 10
    async with one_place(held.play, max_connections=places) as (server, session):
        if where == "connection":
            # With one answer the limiter knows that there is no limit; until then it
            # lets one go and has the others wait.
            held.free.set()
            await GET.make(session)
            held.free.clear()
        before = len(server.requests)
        first = asyncio.create_task(make(GET, session))
        await until(lambda: len(server.requests) == before + 1, "the first request")
        stepped = Stepped(make(GET, session), Cut(1, moment))
        second = asyncio.create_task(stepped.ended_by_itself())
        await until(lambda: stepped.waits > 0, "the second call's wait")
        third = asyncio.create_task(make(GET, session))
        await asyncio.sleep(0)
        held.free.set()
        async with asyncio.timeout(10):
            assert not await second
            assert (await first).id == (await third).id == "dev_1"
        assert len(server.requests) == before + 2
        await assert_whole(session, GET)


async def test_many_at_once_in_the_queue() -> None:
    """If half of the waiters are cancelled at once, the other half is served."""
    held = Held()
    async with one_place(held.play) as (server, session):
        calls = [asyncio.create_task(make(GET, session)) for _ in range(100)]
        await until(lambda: len(server.requests) == 1, "the first request")
        for call in calls[1::2]:
            call.cancel()
        held.free.set()
        async with asyncio.timeout(20):
            results = await asyncio.gather(*calls, return_exceptions=True)
        assert [type(result) is asyncio.CancelledError for result in results] == [False, True] * 50
        assert len(server.requests) == 50
        await assert_whole(session, GET)


@pytest.mark.parametrize("size", [1, 300_000], ids=["small", "large"])
@each_moment
async def test_within_a_body(size: int, moment: Moment) -> None:
    """A call is cancelled while the answer's body arrives in chunks."""

    async def in_pieces(peer: Peer) -> None:
        while True:
            await peer.request()
            whole = answer(200, GET.body[:-1] + b" " * size + b"}")
            for start in range(0, len(whole), 100_000):
                await peer.send(whole[start : start + 100_000])

    async with one_place(in_pieces) as (server, session):
        for cut in cuts(moment):
            await GET.make(session)
            if await Stepped(make(GET, session), cut).ended_by_itself():
                break
            await assert_whole(session, GET)
        await until(lambda: len(server.open) == 1, "the end of all connections but one")


Poll = Callable[[IottlySession], Coroutine[Any, Any, Any]]


@each_moment
async def test_while_waiting_for_a_command(moment: Moment) -> None:
    """A cancelled `commands.send` or `wait` leaves nothing; a note says what may have left."""

    async def runs(peer: Peer) -> None:
        polls = 0
        while True:
            received = await peer.request()
            polls += not received.line.startswith("POST")
            status = "completed" if polls == 2 else "pending"
            await peer.send(answer(200, b'{"command_id": "c", "status": "%s"}' % status.encode()))

    async def run(session: IottlySession) -> Any:
        return await session.commands.run("dev_1", "uptime")

    for cut in cuts(moment):
        async with one_place(runs) as (server, session):
            stepped = Stepped(run(session), cut)
            if await stepped.ended_by_itself():
                assert len(server.requests) == 3
                return
            if len(server.requests) > 1:
                assert "was sent before this, as c" in str(getattr(stepped.error, "__notes__", []))
            await assert_whole(session, POST)
