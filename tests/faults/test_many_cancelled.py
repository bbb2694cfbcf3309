"""Thousands of tasks, of which half are cancelled at random moments, again and again."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest

from iottly_async import IottlySession
from tests.support.calls import GET, POST, PUT, session_on
from tests.support.leaks import until
from tests.support.raw_server import Peer, RawServer, answer
from tests.support.scale import sized
from tests.support.tls import Certificates


async def answers_any(peer: Peer) -> None:
    """Answer each call, now and then with a 429, and announce a quota that never ends."""
    count = 0
    while True:
        line = (await peer.request()).line
        verb = next(verb for verb in (GET, PUT, POST) if line.startswith(verb.method))
        count += 1
        if count % 50 == 0:
            body = b'{"error": {"code": "rate_limited", "message": "m", "request_id": "r"}}'
            await peer.send(answer(429, body, "Retry-After: 0"))
        else:
            await peer.send(answer(200, verb.body))


async def cancel_at_random(victims: list[asyncio.Task[Any]], chance: random.Random) -> None:
    """Cancel the tasks one after another, with some iterations of the loop between."""
    chance.shuffle(victims)
    for victim in victims:
        victim.cancel()
        if chance.random() < 0.1:
            for _ in range(chance.randrange(10)):
                await asyncio.sleep(0)


async def one_round(session: IottlySession, count: int, chance: random.Random) -> None:
    """Make `count` calls at once and cancel half of them; the others all have their result."""
    verbs = [chance.choice((GET, GET, PUT, POST)) for _ in range(count)]

    async def call(number: int) -> Any:
        return await verbs[number].make(session)

    tasks = [asyncio.create_task(call(number)) for number in range(count)]
    chosen = set(chance.sample(range(count), count // 2))
    async with asyncio.timeout(120):
        await cancel_at_random([tasks[number] for number in chosen], chance)
        results = await asyncio.gather(*tasks, return_exceptions=True)
    for number, result in enumerate(results):
        if isinstance(result, asyncio.CancelledError):
            assert number in chosen
        else:
            assert not isinstance(result, BaseException), result
    cancelled = sum(isinstance(result, asyncio.CancelledError) for result in results)
    assert cancelled > count // 10, "they had all ended before"
    await until(lambda: session.quota.in_flight == 0, "the end of all permits")
    assert session.quota.waiting == 0


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
async def test_half_of_many_are_cancelled(tls: bool, certificates: Certificates) -> None:
    """No permit, no connection and no result is lost, however often half are cancelled."""
    chance = random.Random(11)
    count, rounds = (sized(200, 500), 2) if tls else (sized(500, 10_000), sized(3, 100))
    async with (
        RawServer(
            answers_any, tls=certificates.server if tls else None, keep_requests=False
        ) as server,
        session_on(
            server, certificates if tls else None, max_connections=20, timeout=100.0
        ) as session,
    ):
        for _ in range(rounds):
            await one_round(session, count, chance)
            # Every connection is free: as many calls at once succeed as there are connections.
            await one_round_uncancelled(session, 20)


async def one_round_uncancelled(session: IottlySession, count: int) -> None:
    """Make `count` calls at once, all of which succeed."""
    async with asyncio.timeout(30):
        await asyncio.gather(*(GET.make(session) for _ in range(count)))
