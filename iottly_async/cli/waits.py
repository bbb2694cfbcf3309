"""Says on stderr what a command waits for, so that no screen stays blank without a reason."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

from .console import say

if TYPE_CHECKING:
    from ..clock import Clock
    from ..session import IottlySession

_EVERY: Final = 0.5  # seconds between two looks


@asynccontextmanager
async def waits_shown(session: IottlySession, clock: Clock) -> AsyncIterator[None]:
    """Say once for each wait for quota how long it lasts. Outages are logged by the session.

    Args:
        session: The session whose calls may wait.
        clock: The time.
    """
    # Imported here, so that `iottly --help` loads no client.
    from ..aio.tasks import TaskGroup

    async with TaskGroup() as watching:
        watching.start(_watch(session, clock))
        yield


async def _watch(session: IottlySession, clock: Clock) -> None:
    await clock.sleep(_EVERY)
    from ..ingest.waiting import WaitMeter  # here, as most commands end before

    meter = WaitMeter(clock.monotonic())
    told = False
    while True:
        meter.sample(clock.monotonic(), clock.time(), quota=session.quota, outage=session.outage)
        waiting = meter.current
        if waiting is None or waiting.reason != "quota":
            told = False
        elif not told:
            told = True
            say("waiting for quota" + ("" if (s := waiting.seconds) is None else f": {s:,.0f} s"))
        await clock.sleep(_EVERY)
