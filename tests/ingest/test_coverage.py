"""Coverage: what a store has of which device and time, told by cursors and rows."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from iottly_async import Config, Cursor, IottlySession, RateLimiter
from iottly_async.emulator import Emulator, EmulatorHandle
from iottly_async.errors import ConfigurationError
from iottly_async.ingest import IngestJob, IngestPlan, Progress, Query
from iottly_async.ingest.coverage import Coverage, DeviceCoverage, State, page_of, survey
from iottly_async.ingest.coverage.model import coverage_of
from iottly_async.ingest.grid import TimeGrid
from tests.support.browser import browsing, installed

START, MIDDLE, END = (datetime(2026, 4, day, tzinfo=UTC) for day in (1, 16, 30))
HOUR = timedelta(hours=1)


def plan(end: int, **failed: str) -> IngestPlan:
    """A plan for all devices from 0 on."""
    query = Query(project_id="p", start=0)
    return IngestPlan(query=query, pinned_end=end, ended=True, failed=failed)


def cursor(device_id: str, *remaining: tuple[int, int], end: int) -> Cursor:
    """A cursor of a device, with what of its walk to `end` is left."""
    return Cursor(
        project_id="p",
        device_id=device_id,
        type="all",
        order="asc",
        start=0,
        end=end,
        remaining=remaining,
        pinned_end=end,
    )


def covered(plan: IngestPlan, *cursors: Cursor, bins: int = 4, **counts: list[int]) -> Coverage:
    """The coverage of a store with these cursors and rows."""
    grid = TimeGrid.over(0, plan.pinned_end, bins)
    return coverage_of(plan, {one.device_id: one for one in cursors}, counts, grid)


def states(device: DeviceCoverage) -> list[str]:
    """The states of its cells."""
    return [str(cell.state) for cell in device.cells]


def test_what_a_cursor_is_past_is_fetched_or_empty() -> None:
    """Where rows are, and where none are."""
    found = covered(plan(100), cursor("d", end=100), d=[3, 0, 0, 1])
    (device,) = found.devices
    assert states(device) == ["fetched", "empty", "empty", "fetched"]
    assert (device.complete, device.missing, found.whole) == (1.0, (), True)


def test_what_remains_of_a_walk_is_missing() -> None:
    """Whatever rows are there already; a cell says how much of it is."""
    found = covered(plan(100), cursor("d", (30, 40), (75, 100), end=100), d=[1, 5, 0, 0])
    (device,) = found.devices
    assert states(device) == ["fetched", "missing", "empty", "missing"]
    assert [cell.missing for cell in device.cells] == [0, 0.4, 0, 1]
    assert (device.complete, device.missing) == (0.65, ((30, 40), (75, 100)))
    assert not found.whole


def test_what_lies_behind_an_older_walk_is_missing() -> None:
    """A cursor of a run that ended earlier leaves the rest of the range, joined to its own."""
    (device,) = covered(plan(100), cursor("d", (40, 50), end=50)).devices
    assert device.missing == ((40, 100),)


def test_a_device_that_failed_is_failed_where_it_lacks_something() -> None:
    """Also one that never had a cursor."""
    one, two = covered(
        plan(100, one="an error", two="another"),
        cursor("one", (50, 100), end=100),
        one=[1, 1, 0, 0],
    ).devices
    assert states(one) == ["fetched", "fetched", "failed", "failed"]
    assert states(two) == ["failed"] * 4
    assert (one.failed, two.complete) == ("an error", 0.0)


@pytest.mark.parametrize(
    ("start", "end", "bins", "expected"),
    [(0, 100, 4, (25, 4)), (0, 101, 4, (26, 4)), (0, 3, 10, (1, 3)), (5, 5, 10, (1, 1))],
)
def test_an_axis_reaches_the_end(
    start: int, end: int, bins: int, expected: tuple[int, int]
) -> None:
    """In stretches of whole milliseconds, of which the last may be shorter."""
    grid = TimeGrid.over(start, end, bins)
    assert (grid.width, grid.bins) == expected
    assert grid.interval(grid.bins - 1)[1] == grid.end


@pytest.fixture
async def emulator() -> AsyncIterator[Emulator]:
    """A fleet with a device that never sent, one that refuses, and a poisoned message."""
    async with Emulator(devices=6, messages=900) as emulator:
        emulator.append(
            emulator.device_ids[0], [{"payload_json": "[NaN]", "timestamp": MIDDLE - HOUR}]
        )
        refuse(emulator)
        yield emulator


def refuse(emulator: EmulatorHandle) -> None:
    """Let the last device refuse."""
    device = emulator.device_ids[-1]
    emulator.fault("status", status=403, route=f"/v1.0/*/device/{device}/*", count=None)


async def fill(emulator: Emulator, store: str | Path) -> None:
    """Half of the range whole, and the other half as far as one device."""
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
    """How many messages the emulator has of a device in a stretch."""
    return sum(low <= row["timestamp_ms"] < high for row in emulator.stored(device_id))


def check(found: Coverage, emulator: Emulator) -> None:
    """What was filled above is what is found."""
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
    """Of every kind the same: rows and rejected ones where they are, the rest as it is."""
    await fill(emulator, path)
    check(await survey(path, bins=58), emulator)


async def test_a_database_is_surveyed(emulator: Emulator, database: str) -> None:
    """As a store in files."""
    await fill(emulator, database)
    check(await survey(database, bins=58), emulator)


async def test_a_range_without_a_start_begins_with_the_first_message(
    session: IottlySession, emulator: Emulator, path: Path
) -> None:
    """For before it there is nothing to have."""
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
    """What is durable counts, and nothing of it is changed."""
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
async def test_a_store_that_is_not_there_is_not_made(tmp_path: Path, name: str) -> None:
    """The error names it."""
    with pytest.raises(ConfigurationError, match=name):
        await survey(tmp_path / name)
    assert not os.listdir(tmp_path)


async def test_a_database_without_a_store_is_told(database: str) -> None:
    """Nothing is made in it."""
    with pytest.raises(ConfigurationError, match="there is no store"):
        await survey(database)


@pytest.mark.parametrize("bins", [0, 2001])
async def test_too_few_or_too_many_stretches_are_refused(tmp_path: Path, bins: int) -> None:
    """Before anything is read."""
    with pytest.raises(ConfigurationError, match="bins"):
        await survey(tmp_path / "x.jsonl", bins=bins)


HOSTILE = "</script><script>document.title='taken'</script>"


def page(devices: int = 3) -> str:
    """A page with a device whose id would be a script, and one that failed."""
    names = [HOSTILE, *(f"device-{number:05d}" for number in range(devices - 1))]
    cursors = [cursor(name, end=100) for name in names[:-1]]
    counts = {name: [number, 0, 1, 0] for number, name in enumerate(names[:-1])}
    kept = plan(100, **{names[-1]: "an <i>error</i>"})
    by_device = {one.device_id: one for one in cursors}
    found = coverage_of(kept, by_device, counts, TimeGrid.over(0, 100, 4))
    return page_of(found, store="<b>store</b>")


def test_a_page_needs_nothing_else_and_quotes_what_it_shows() -> None:
    """No address of anything in it; no id, error or name of a store becomes markup."""
    text = page()
    assert HOSTILE not in text
    assert "<i>error" not in text
    assert "<b>store" not in text
    assert not [word for word in ("http:", "https:", "src=", "href=", "@import") if word in text]


@pytest.mark.skipif(installed() is None, reason="Chromium is not installed")
async def test_a_page_is_drawn_by_a_browser(tmp_path: Path) -> None:
    """Tiles, rows and the search work, for 5,000 devices as for three, without an error."""
    for devices in (3, 5000):
        (tmp_path / f"{devices}.html").write_text(page(devices), "utf-8")
    async with asyncio.timeout(60), browsing(tmp_path / "profile") as tab:
        await tab.open((tmp_path / "3.html").as_uri())
        assert await tab.run("document.title") == "Coverage of <b>store</b>"
        assert await tab.run("document.querySelectorAll('.row').length") == 3
        assert "2 of 3" in await tab.text("#tiles")
        assert await tab.text(".row code") == HOSTILE
        await tab.run(
            "document.querySelector('.row:last-child canvas').dispatchEvent("
            "new PointerEvent('pointermove', {bubbles: true, clientX: 400, clientY: 300}))"
        )
        assert "an <i>error</i>" in await tab.text("#tip")
        await tab.open((tmp_path / "5000.html").as_uri())
        assert await tab.run("document.querySelectorAll('.row').length") < 100
        await tab.run(
            "const find = document.getElementById('find'); find.value = '04321';"
            "find.dispatchEvent(new Event('input'))"
        )
        assert await tab.text("#rows code") == "device-04321"
        assert tab.errors == []
