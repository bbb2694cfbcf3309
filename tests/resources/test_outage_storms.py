"""Walks at any number of requests at once through outages of every kind: all rows, each once."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import AsyncGenerator, Callable
from typing import Any, Final

import pytest

from iottly_async import Config, IottlySession, Message, RateLimiter
from iottly_async.emulator import Emulator
from iottly_async.resources import Messages
from tests.support.virtual_time import run_virtual

Walk = Callable[[Messages, Emulator, int], AsyncGenerator[Message, None]]

WALKS: dict[str, Walk] = {
    "ordered": lambda messages, emulator, at_once: messages.walk(
        emulator.device_ids[0], concurrency=at_once
    ),
    "unordered": lambda messages, emulator, at_once: messages.walk(
        emulator.device_ids[0], concurrency=at_once, ordered=False
    ),
    "many": lambda messages, _, at_once: messages.walk_many(concurrency=at_once),
}

OUTAGES: Final[list[dict[str, Any]]] = [
    {"kind": "refuse"},
    {"kind": "reset"},
    {"kind": "hang"},
    *({"kind": "html", "status": status} for status in (502, 503, 504)),
]


@pytest.mark.parametrize("at_once", [1, 8, 32, 100])
@pytest.mark.parametrize("walk", WALKS.values(), ids=WALKS)
def test_nothing_is_lost_or_repeated(walk: Walk, at_once: int) -> None:
    """A walk through ten outages of 1 to 60 s has every message exactly once."""
    chance = random.Random(at_once)

    async def main() -> None:
        async with (
            Emulator(devices=2, messages=1500) as emulator,
            IottlySession(
                emulator.api_key,
                config=Config(base_url=emulator.base_url, page_size=20, attempt_timeout=5.0),
                limiter=RateLimiter(),
            ) as session,
        ):
            messages = session.project(emulator.project_id).messages
            found, outages = Counter[str](), 0
            async for message in walk(messages, emulator, at_once):
                found[message.key] += 1
                if found.total() % 50 == 25 and outages < 10:
                    outages += 1
                    emulator.outage(**chance.choice(OUTAGES), seconds=chance.choice([1, 10, 60]))
            devices = emulator.device_ids if walk is WALKS["many"] else emulator.device_ids[:1]
            assert outages == 10
            assert len(found) == sum(len(emulator.stored(device)) for device in devices)
            assert set(found.values()) == {1}
            assert session.stats.failures == 0

    run_virtual(main, listens=True)
