"""Commands and reads through a proxy that injects faults, and what became of each."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from typing import Literal

from iottly_async import (
    ApiError,
    CommandOutcomeUnknownError,
    Config,
    IottlyError,
    IottlySession,
    RateLimiter,
    RetryPolicy,
)

from .fault_proxy import FaultProxy, NetworkFault

Outcome = Literal["done", "not done", "unknown"]

ALLOWED: dict[Outcome, set[int]] = {"done": {1}, "not done": {0}, "unknown": {0, 1}}
"""How often a command may have been executed, by the outcome that its caller learns."""

_PATIENT = RetryPolicy(max_attempts=4, initial_delay=0.001, max_delay=0.002)


class Storm:
    """Calls by many tasks at once, through a proxy.

    Args:
        base_url: the emulator's base URL.
        key: an API key that the emulator accepts.
        device: the v1 device that gets the commands and is read.
        choose: returns the fault of the next request.
        at_once: how many tasks call at the same time.

    Attributes:
        injected: how often each fault was injected.
        retries: how many attempts followed the first one of a call.
    """

    def __init__(
        self,
        base_url: str,
        key: str,
        device: str,
        choose: Callable[[], NetworkFault],
        *,
        at_once: int,
    ) -> None:
        self.injected: dict[NetworkFault, int] = {}
        self.retries = 0
        self._port = int(base_url.rpartition(":")[2])
        self._key, self._device = key, device
        self._choose, self._at_once = choose, at_once

    async def commands(self, texts: Iterable[str]) -> dict[str, Outcome]:
        """Send each command once; returns the outcome that its caller learns."""
        outcomes: dict[str, Outcome] = {}
        waiting = iter(texts)

        async def sender(session: IottlySession) -> None:
            for text in waiting:
                outcomes[text] = await _outcome(session, self._device, text)

        await self._work(sender)
        return outcomes

    async def reads(self, count: int) -> list[IottlyError]:
        """Read the device `count` times, with up to four attempts each; returns the failures."""
        failures: list[IottlyError] = []
        left = iter(range(count))

        async def reader(session: IottlySession) -> None:
            for _ in left:
                try:
                    await session.devices.get(self._device)
                except IottlyError as error:
                    failures.append(error)

        await self._work(reader)
        return failures

    async def _work(self, worker: Callable[[IottlySession], Awaitable[None]]) -> None:
        async with FaultProxy(self._port, self._choose) as proxy:
            self.injected = proxy.injected
            config = Config(base_url=proxy.url, attempt_timeout=0.5, timeout=60.0, retry=_PATIENT)
            async with IottlySession(self._key, config=config, limiter=RateLimiter()) as session:
                await asyncio.gather(*(worker(session) for _ in range(self._at_once)))
                self.retries = session.stats.retries


async def _outcome(session: IottlySession, device: str, text: str) -> Outcome:
    """The outcome of a command, as its caller learns it."""
    try:
        await session.commands.send(device, text)
    except IottlyError as error:
        failure = error
    else:
        return "done"
    if isinstance(failure, CommandOutcomeUnknownError):
        assert failure.sent == "maybe"
        return "unknown"
    assert failure.sent == ("yes" if isinstance(failure, ApiError) else "no")
    return "not done"


def wrong_outcomes(outcomes: dict[str, Outcome], executed: Counter[str]) -> list[str]:
    """The commands that were executed twice, or whose outcome is not what the caller learned."""
    return [text for text, outcome in outcomes.items() if executed[text] not in ALLOWED[outcome]]
