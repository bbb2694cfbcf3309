"""What the tests of the stream share: sessions, messages to append, events to take."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

from iottly_async import Config, Gap, IottlySession, Message, RateLimiter, RetryPolicy
from iottly_async.emulator import Emulator

QUICK = RetryPolicy(initial_delay=0.01, max_delay=0.02)


def session_on(emulator: Emulator, **settings: Any) -> IottlySession:
    """A session that reconnects after 20 ms at most."""
    config = Config(base_url=emulator.base_url, retry=QUICK, settle=0, **settings)
    return IottlySession(emulator.api_key, config=config, limiter=RateLimiter())


def numbers(*values: int) -> list[dict[str, Any]]:
    """Rows to append, with these numbers as payloads."""
    return [{"payload": {"n": value}} for value in values]


def send(fleet: Emulator, device: int, *values: int) -> None:
    """Append messages with these numbers, each in its own millisecond."""
    for value in values:
        fleet.append(fleet.device_ids[device], numbers(value))
        fleet.clock.advance(0.002)


async def until(condition: Callable[[], object]) -> None:
    """Run the event loop until the condition holds."""
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - no event says that bytes have arrived
            await asyncio.sleep(0)


async def take(events: AsyncIterator[Message | Gap], count: int) -> list[Any]:
    """The next events: of a message its number, a gap as it is."""
    found: list[Any] = []
    async with asyncio.timeout(10):
        while len(found) < count:
            event = await anext(events)
            found.append(event.payload["n"] if isinstance(event, Message) else event)
    return found
