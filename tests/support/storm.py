"""Commands and reads through a proxy that has faults, and the books on what became of each."""

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
"""How often a command may have been executed, by what its caller was told."""

_PATIENT = RetryPolicy(max_attempts=4, initial_delay=0.001, max_delay=0.002)


class Storm:
    """Calls by so many tasks at once, through a proxy.

    Args:
        base_url: of the emulator.
        key: that it accepts.
        device: on v1, to which commands go and which is read.
        choose: what befalls the next request.

    Attributes:
        injected: how often each fault has struck.
        retries: how many attempts were made after a call's first.
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
        """Send each command once; what its caller was told became of it."""
        told: dict[str, Outcome] = {}
        waiting = iter(texts)

        async def sender(session: IottlySession) -> None:
            for text in waiting:
                told[text] = await _outcome(session, self._device, text)

        await self._work(sender)
        return told

    async def reads(self, count: int) -> list[IottlyError]:
        """Read the device so often, each time within four attempts; the failures."""
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
    """What the caller of a command is told became of it."""
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


def wrong_outcomes(told: dict[str, Outcome], executed: Counter[str]) -> list[str]:
    """The commands that were executed twice, or otherwise than their caller was told."""
    return [text for text, outcome in told.items() if executed[text] not in ALLOWED[outcome]]
