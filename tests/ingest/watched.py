"""Jobs that are watched, and fleets in virtual time to run them on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from iottly_async import Config, FollowPace, IottlySession, RateLimiter
from iottly_async.emulator import Emulator
from iottly_async.ingest import IngestJob, IngestReport, Progress
from tests.support.virtual_time import VirtualClock

UNTIL = datetime(2025, 12, 1, tzinfo=UTC)  # before the virtual present
PACE = FollowPace(fastest=0.2, slowest=2.0)


class Watched:
    """A job that runs, and what it has told so far."""

    def __init__(self, job: IngestJob) -> None:
        self.job = job
        self.seen: list[Progress] = []
        self._changed = asyncio.Event()

    async def run(self) -> IngestReport:
        """Run the job."""
        return await self.job.run(self._note)

    def _note(self, progress: Progress) -> None:
        self.seen.append(progress)
        self._changed.set()

    async def until(self, condition: Callable[[Progress], bool]) -> Progress:
        """Wait for a progress that meets a condition."""
        while not self.seen or not condition(self.seen[-1]):
            self._changed.clear()
            await self._changed.wait()
        return self.seen[-1]


@asynccontextmanager
async def virtual_fleet(
    *, settle: float = 0.0, **settings: Any
) -> AsyncIterator[tuple[Emulator, IottlySession]]:
    """A fleet in virtual time, and a session on it with pages of ten messages."""
    async with Emulator(until=UNTIL, latency=0.05, **settings) as emulator:
        emulator.clock._real = VirtualClock().time
        config = Config(base_url=emulator.base_url, page_size=10, settle=settle)
        async with IottlySession(emulator.api_key, config=config, limiter=RateLimiter()) as session:
            yield emulator, session


def job_of(session: IottlySession, emulator: Emulator, path: Path, **more: Any) -> IngestJob:
    """A job for all messages."""
    arguments = {"flush_every": 0.1, **({"pace": PACE} if more.get("follow") else {}), **more}
    return IngestJob(session, project=emulator.project_id, store=path, **arguments)
