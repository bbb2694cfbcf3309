"""A command is never sent twice, and its error says what is known of it."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import chain, repeat
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iottly_async import ConnectError, RetryPolicy
from iottly_async.emulator import EmulatorThread
from iottly_async.transport import AiohttpTransport, Outgoing
from iottly_async.wire import Answer
from tests.support.calls import KEY, POST, session_on
from tests.support.fault_proxy import NETWORK_FAULTS, TRANSIENT_FAULTS, NetworkFault
from tests.support.raw_server import RawServer, answering
from tests.support.scale import sized
from tests.support.storm import Outcome, Storm, wrong_outcomes

PATIENT = RetryPolicy(max_attempts=4, initial_delay=0.001, max_delay=0.002)


@pytest.fixture(scope="module")
def fleet() -> Iterator[EmulatorThread]:
    """An emulator that executes commands and remembers them."""
    with EmulatorThread(devices=1, messages=0, api_keys=(KEY,)) as emulator:
        yield emulator


async def send_all(
    fleet: EmulatorThread, choose: Callable[[], NetworkFault], texts: list[str], at_once: int
) -> tuple[dict[str, Outcome], Storm]:
    """Send commands through faults, and assert that each result is right and none is run twice."""
    storm = Storm(fleet.base_url, KEY, fleet.fleet_ids[0], choose, at_once=at_once)
    reported = await storm.commands(texts)
    executed = Counter(record.body["command"] for record in fleet.commands)
    assert wrong_outcomes(reported, executed) == []
    assert set(reported) == set(texts)
    return reported, storm


quick = [fault for fault in NETWORK_FAULTS if fault != "stall-after"]


@given(faults=st.lists(st.sampled_from(quick), min_size=1, max_size=12))
def test_in_any_run_of_faults(faults: list[NetworkFault], fleet: EmulatorThread) -> None:
    """Under any series of faults, each command is executed at most once."""
    begin = len(fleet.commands)
    texts = [f"uptime {begin} {number}" for number in range(6)]
    none: NetworkFault = "none"
    coming = chain(faults, repeat(none))

    asyncio.run(send_all(fleet, lambda: next(coming), texts, 1))


async def test_in_a_storm_of_faults(fleet: EmulatorThread) -> None:
    """Of thousands of commands under every fault, each is executed at most once."""
    count = sized(600, 20_000)
    chance = random.Random(4)
    weights = [40.0 if m == "none" else 1.0 if m == "stall-after" else 6.0 for m in NETWORK_FAULTS]
    texts = [f"storm {number}" for number in range(count)]
    reported, storm = await send_all(
        fleet, lambda: chance.choices(NETWORK_FAULTS, weights)[0], texts, at_once=20
    )
    kinds = Counter(reported.values())
    assert kinds["done"] > count / 3
    assert kinds["unknown"] > count / 10
    assert kinds["not done"] > count / 50
    assert set(storm.injected) == set(NETWORK_FAULTS)


async def test_reads_get_through(fleet: EmulatorThread) -> None:
    """With faults on a fifth of all requests, 99.5 % of reads succeed within four attempts."""
    count = sized(600, 20_000)
    chance = random.Random(5)

    def choose() -> NetworkFault:
        return chance.choice(TRANSIENT_FAULTS) if chance.random() < 0.2 else "none"

    storm = Storm(fleet.base_url, KEY, fleet.fleet_ids[0], choose, at_once=20)
    failures = await storm.reads(count)
    assert storm.retries > count / 10
    assert len(failures) <= 0.005 * count, Counter(map(repr, failures))


class Unconnected(AiohttpTransport):
    """A transport whose first connections are refused."""

    refusals = 2

    async def send(self, outgoing: Outgoing) -> Answer:
        if self.refusals:
            self.refusals -= 1
            raise ConnectError("refused", sent="no")
        return await super().send(outgoing)


async def test_an_unsent_command_is_sent_again() -> None:
    """A command that found no connection is tried again, and arrives once."""
    async with RawServer(answering(200, POST.body)) as server:
        config = session_on(server).config
        transport = Unconnected(config)
        settings: dict[str, Any] = {"retry": PATIENT}
        async with session_on(server, None, http=transport, **settings) as session:
            assert (await POST.make(session)).id == "cmd_1"
            assert session.stats.attempts == 3
            assert len(server.requests) == 1
