"""Coverage of a store that a job is writing: rows and cursors as they stand."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from iottly_async import Config, FollowPace, IottlySession, RateLimiter
from iottly_async.emulator import Emulator, EmulatorThread
from iottly_async.errors import StoreError
from iottly_async.ingest import IngestJob, Progress, open_store
from iottly_async.ingest.coverage import Coverage, survey
from tests.support.other_process import other_process
from tests.support.postgres_server import PostgresServer
from tests.support.store_holders import follow


@pytest.fixture(params=["duckdb", "jsonl", "jsonl.zst", "parquet", "postgresql"])
def store(
    request: pytest.FixtureRequest, tmp_path: Path, postgres: PostgresServer
) -> Iterator[str]:
    """The name of a store of each kind."""
    if request.param != "postgresql":
        yield str(tmp_path / f"telemetry.{request.param}")
        return
    with postgres.database() as url:
        yield url


async def test_rows_of_a_job_that_follows_are_seen(store: str) -> None:
    """Also those that arrived after the range, up to the newest; nothing is missing."""
    told = asyncio.Event()

    def tell(progress: Progress) -> None:
        if progress.following:
            told.set()

    async def until(rows: int) -> Coverage:
        """The first whole coverage that has this number of rows, after one of the next flushes."""
        while True:
            await told.wait()
            told.clear()
            found = await survey(store)
            if found.rows == rows and found.whole:
                return found

    async with Emulator(devices=3, messages=60) as emulator, asyncio.timeout(60):
        config = Config(base_url=emulator.base_url, settle=0.0)
        async with IottlySession(emulator.api_key, config=config, limiter=RateLimiter()) as session:
            job = IngestJob(
                session,
                project=emulator.project_id,
                store=store,
                follow=True,
                flush_every=0.05,
                pace=FollowPace(fastest=0.05, slowest=0.2),
            )
            running = asyncio.create_task(job.run(tell))
            before = await until(60)
            emulator.append(emulator.device_ids[0], 5)
            during = await until(65)
            job.stop()
            await running
            after = await survey(store)
    assert before.whole
    for found in (during, after):
        assert (found.rows, found.whole) == (65, True)
        assert found.grid.end == max(device.until for device in found.devices) > before.grid.end


@pytest.mark.skipif(sys.platform == "win32", reason="forks")
def test_a_job_of_another_process_can_be_asked_and_killed(store: str) -> None:
    """While it follows, coverage has the rows that arrived. After a kill it has them still.

    The job goes on undisturbed, and its store is still its own.
    """
    with EmulatorThread(devices=3, messages=60) as emulator:
        config, pace = (
            Config(base_url=emulator.base_url, settle=0.0),
            FollowPace(fastest=0.05, slowest=0.2),
        )
        arguments = (config, emulator.api_key, emulator.project_id, store, pace)
        with other_process(follow, *arguments) as (process, connection):

            def until(rows: int) -> Coverage:
                """The first coverage with so many rows. They are there after the next flush."""
                while True:
                    assert connection.recv() == "following"
                    found = asyncio.run(survey(store))
                    if found.rows == rows:
                        return found

            first = until(60)
            assert first.whole
            emulator.append(emulator.device_ids[0], 5)
            found = until(65)
            second = open_store(store)
            if "postgresql" not in store:  # it waits for ten seconds
                with pytest.raises(StoreError, match=f"process {process.pid} on "):
                    asyncio.run(second.open())
                asyncio.run(second.close())
            assert process.is_alive()
        killed = asyncio.run(survey(store))
    for one in (found, killed):
        assert (one.rows, one.whole) == (65, True)
        assert one.grid.end > first.grid.end
