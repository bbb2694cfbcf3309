"""Coverage of stores that jobs have filled."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import pytest

from iottly_async import Config, IottlySession, RateLimiter
from iottly_async.emulator import Emulator, EmulatorHandle
from iottly_async.errors import ConfigurationError
from iottly_async.ingest import IngestJob, Progress
from iottly_async.ingest.coverage import Coverage, State, survey
from tests.support.postgres_server import execute

from .values import states

START, MIDDLE, END = (datetime(2026, 4, day, tzinfo=UTC) for day in (1, 16, 30))
HOUR = timedelta(hours=1)


@pytest.fixture
async def emulator() -> AsyncIterator[Emulator]:
    """A fleet with a device without messages, one that is refused, and an invalid payload."""
    async with Emulator(devices=6, messages=900) as emulator:
        emulator.append(
            emulator.device_ids[0], [{"payload_json": "[NaN]", "timestamp": MIDDLE - HOUR}]
        )
        refuse(emulator)
        yield emulator


def refuse(emulator: EmulatorHandle) -> None:
    """Make the service refuse the last device."""
    device = emulator.device_ids[-1]
    emulator.fault("status", status=403, route=f"/v1.0/*/device/{device}/*", count=None)


async def fill(emulator: Emulator, store: str | Path) -> None:
    """Store the first half of the range, and of the second half one device."""
    config = Config(base_url=emulator.base_url)
    async with IottlySession(emulator.api_key, config=config, limiter=RateLimiter()) as session:

        def job(end: datetime) -> IngestJob:
            return IngestJob(
                session,
                project=emulator.project_id,
                start=START,
                end=end,
                store=store,
                concurrency=1,
                flush_every=0.001,
            )

        await job(MIDDLE).run()
        second = job(END)

        def stop(progress: Progress) -> None:
            if progress.done:
                second.stop()

        emulator.fault("stall", route="paginated", skip=4, count=1)
        await second.run(stop)


def expected_rows(emulator: Emulator, device_id: str, low: int, high: int) -> int:
    """The number of the emulator's messages of a device in an interval."""
    return sum(low <= row["timestamp_ms"] < high for row in emulator.stored(device_id))


def check(found: Coverage, emulator: Emulator) -> None:
    """The coverage shows what `fill` has stored."""
    grid = found.grid
    middle = MIDDLE.timestamp() * 1000
    assert (grid.start, grid.end) == (START.timestamp() * 1000, END.timestamp() * 1000)
    by_id = {device.device_id: device for device in found.devices}
    assert set(by_id) == set(emulator.device_ids)
    bad = by_id.pop(emulator.device_ids[-1])
    assert set(states(bad)) == {State.FAILED}
    assert (bad.failed or "").startswith("ForbiddenError")
    for device in by_id.values():
        assert all(low >= middle for low, _ in device.missing)
        for index, cell in enumerate(device.cells):
            if not cell.missing:
                rows = expected_rows(emulator, device.device_id, *grid.interval(index))
                assert (cell.rows, cell.state) == (rows, "fetched" if rows else "empty")
    complete = [device for device in by_id.values() if not device.missing]
    assert 1 <= len(complete) < 5
    assert found.count(State.EMPTY)
    assert found.count(State.MISSING)


async def test_a_store_in_files_is_surveyed(emulator: Emulator, path: Path) -> None:
    """Coverage is the same for every kind of store, and counts rejected rows."""
    await fill(emulator, path)
    check(await survey(path, bins=58), emulator)


async def test_a_database_is_surveyed(emulator: Emulator, database: str) -> None:
    """Coverage is the same as for a store in files."""
    await fill(emulator, database)
    check(await survey(database, bins=58), emulator)


async def test_a_range_without_a_start_begins_with_the_first_message(
    session: IottlySession, emulator: Emulator, path: Path
) -> None:
    """There is nothing to store before it."""
    emulator.clear_faults()
    await IngestJob(session, project=emulator.project_id, end=END, store=path).run()
    found = await survey(path)
    stored = [row for device in emulator.device_ids for row in emulator.stored(device)]
    assert found.grid.start == min(row["timestamp_ms"] for row in stored)
    assert (found.whole, found.complete) == (True, 1.0)


@pytest.mark.parametrize("suffix", ["jsonl", "parquet"])
async def test_a_store_is_surveyed_while_it_is_written(
    session: IottlySession, emulator: Emulator, tmp_path: Path, suffix: str
) -> None:
    """Durable rows count. The job is not disturbed."""
    path = tmp_path / f"telemetry.{suffix}"
    emulator.clear_faults()
    emulator.fault("stall", route="paginated", skip=5, count=None)
    job = IngestJob(
        session, project=emulator.project_id, store=path, concurrency=1, flush_every=0.001
    )
    stored = asyncio.Event()
    running = asyncio.create_task(job.run(lambda now: stored.set() if now.rows else None))
    await stored.wait()
    found = await survey(path)
    assert not found.whole
    job.stop()
    assert (await running).total >= found.rows


@pytest.mark.parametrize("name", ["x.jsonl", "x.duckdb", "x.parquet"])
async def test_a_store_that_does_not_exist_is_not_created(tmp_path: Path, name: str) -> None:
    """The error names the store."""
    with pytest.raises(ConfigurationError, match=name):
        await survey(tmp_path / name)
    assert not os.listdir(tmp_path)


async def test_a_database_without_a_store_is_an_error(database: str) -> None:
    """Nothing is created in it."""
    with pytest.raises(ConfigurationError, match="there is no store"):
        await survey(database)


@pytest.mark.parametrize("bins", [0, 2001])
async def test_too_few_or_too_many_bins_are_refused(tmp_path: Path, bins: int) -> None:
    """The error comes before anything is read."""
    with pytest.raises(ConfigurationError, match="bins"):
        await survey(tmp_path / "x.jsonl", bins=bins)


def alter(state: Path) -> None:
    """Change the version in a state file."""
    state.write_text(re.sub('"version":[0-9]+', '"version":99', state.read_text(), count=1))


@pytest.mark.parametrize("suffix", ["jsonl", "duckdb", "parquet", "postgresql"])
async def test_another_version_is_refused(
    session: IottlySession, emulator: Emulator, tmp_path: Path, database: str, suffix: str
) -> None:
    """A reader checks the version of the store's format, as the store does."""
    emulator.clear_faults()
    store = database if suffix == "postgresql" else str(tmp_path / f"telemetry.{suffix}")
    await IngestJob(session, project=emulator.project_id, end=END, store=store).run()
    match suffix:
        case "duckdb":
            with duckdb.connect(store) as db:
                db.execute("UPDATE ingest.job SET version = 99")
        case "postgresql":
            execute(store, "UPDATE iottly.ingest_store SET version = 99")
        case _:
            alter(Path(f"{store}.ingest/part.json" if suffix == "parquet" else f"{store}.cursor"))
    with pytest.raises(ConfigurationError, match="version"):
        await survey(store)
