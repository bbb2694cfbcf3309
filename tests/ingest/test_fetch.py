"""Jobs that follow: they store the range, then new messages, each of them once."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from iottly_async import Config, Cursor, FollowPace, IottlySession, RateLimiter, UnauthorizedError
from iottly_async.emulator import Emulator, EmulatorThread
from iottly_async.errors import ConfigurationError
from iottly_async.ingest import IngestJob, IngestPlan, IngestReport, Outcome, Progress
from iottly_async.ingest.stores import JSONLinesStore
from iottly_async.ingest.stores.jsonl.schema import read_sidecar
from tests.support.other_process import other_process
from tests.support.store_holders import follow
from tests.support.stored_rows import keys_of, rows_of, truth_of

FOLLOW: dict[str, Any] = {
    "follow": True,
    "pace": FollowPace(fastest=0.1, slowest=0.1),
    "flush_every": 0.2,
}


@pytest.fixture
async def session(emulator: Emulator) -> AsyncIterator[IottlySession]:
    """A session without a settle time."""
    config = Config(base_url=emulator.base_url, settle=0)
    async with IottlySession(emulator.api_key, config=config, limiter=RateLimiter()) as session:
        yield session


class Watched:
    """A running job and its last progress."""

    def __init__(self, job: IngestJob) -> None:
        self.job = job
        self._changed = asyncio.Event()
        self.last: Progress | None = None
        self.report: IngestReport | None = None

    def on_progress(self, progress: Progress) -> None:
        """Remember a progress."""
        self.last = progress
        self._changed.set()

    async def until(self, condition: Callable[[Progress], bool]) -> Progress:
        """Wait for the first progress that meets the condition."""
        while self.last is None or not condition(self.last):
            self._changed.clear()
            await self._changed.wait()
        return self.last


@asynccontextmanager
async def following(
    session: IottlySession, emulator: Emulator, path: Path, **more: Any
) -> AsyncIterator[Watched]:
    """Run a job that follows, and stop it at the end."""
    watched = Watched(
        IngestJob(session, project=emulator.project_id, store=path, **{**FOLLOW, **more})
    )
    async with asyncio.timeout(60):
        running = asyncio.create_task(watched.job.run(watched.on_progress))
        waiting = asyncio.create_task(watched.until(lambda progress: progress.following))
        await asyncio.wait({running, waiting}, return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        yield watched
        watched.job.stop()
        watched.report = await running


async def test_a_job_follows_after_its_range(
    session: IottlySession, emulator: Emulator, path: Path
) -> None:
    """The store holds the history and the new messages. A stop is not an interruption."""
    async with following(session, emulator, path) as watched:
        for device in emulator.device_ids:
            emulator.append(device, 3)
        await watched.until(lambda progress: progress.rows == 609)
    assert watched.report is not None
    assert (watched.report.rows, watched.report.interrupted, watched.report.followed) == (
        609,
        False,
        True,
    )
    assert rows_of(path) == truth_of(emulator)
    assert len(set(keys_of(path))) == 609


async def test_messages_between_two_runs_are_fetched_by_the_second(
    session: IottlySession, emulator: Emulator, tmp_path: Path
) -> None:
    """Nothing is lost and nothing repeated, whether the next run follows or not."""
    path = tmp_path / "telemetry.jsonl"
    async with following(session, emulator, path) as watched:
        emulator.append(emulator.device_ids[0], 2)
        await watched.until(lambda progress: progress.rows == 602)
    emulator.append(emulator.device_ids[1], 4)
    emulator.clock.advance(2)
    again = await IngestJob(session, project=emulator.project_id, store=path).run()
    assert again.rows == 4
    emulator.append(emulator.device_ids[2], 5)
    async with following(session, emulator, path) as watched:
        await watched.until(lambda progress: progress.rows == 5)
    assert rows_of(path) == truth_of(emulator)


async def test_a_job_that_was_stopped_in_its_range_is_resumed(
    session: IottlySession, emulator: Emulator, tmp_path: Path
) -> None:
    """A job that follows and is stopped within its range is interrupted, and can be resumed."""
    path = tmp_path / "telemetry.jsonl"
    job = IngestJob(session, project=emulator.project_id, store=path, concurrency=1, **FOLLOW)
    emulator.fault("stall", route="paginated", skip=3, count=1)
    running = asyncio.create_task(job.run())
    await emulator.until_requests(5)
    job.stop()
    report = await running
    emulator.clear_faults()
    assert report.interrupted
    assert not report.followed
    async with following(session, emulator, path) as watched:
        await watched.until(lambda progress: progress.rows + report.rows == 600)
    assert rows_of(path) == truth_of(emulator)


async def test_a_device_that_fails_is_no_longer_followed(
    session: IottlySession, emulator: Emulator, tmp_path: Path
) -> None:
    """Its error is in the report, the others are still followed, and the next run fetches it."""
    path = tmp_path / "telemetry.jsonl"
    bad, good, _ = emulator.device_ids
    async with following(session, emulator, path) as watched:
        emulator.fault("status", status=403, route=f"/v1.0/*/device/{bad}/*", count=None)
        emulator.append(bad, 1)
        await watched.until(lambda progress: progress.failed == 1)
        emulator.append(good, 2)
        await watched.until(lambda progress: progress.rows == 602)
    assert watched.report is not None
    failed = {one.device_id: one.error_type for one in watched.report.devices if one.error}
    assert failed == {bad: "ForbiddenError"}
    emulator.clear_faults()
    emulator.clock.advance(2)
    again = await IngestJob(session, project=emulator.project_id, store=path).run()
    assert (again.rows, again.failed) == (1, 0)
    assert rows_of(path) == truth_of(emulator)


async def test_a_device_that_failed_in_the_range_is_not_followed(
    session: IottlySession, emulator: Emulator, tmp_path: Path
) -> None:
    """It stays failed, and costs no more requests."""
    path = tmp_path / "telemetry.jsonl"
    bad = emulator.device_ids[0]
    emulator.fault("status", status=403, route=f"/v1.0/*/device/{bad}/*", count=None)
    async with following(session, emulator, path) as watched:
        seen = len([one for one in emulator.requests if bad in one.path])
        emulator.append(emulator.device_ids[1], 1)
        await watched.until(lambda progress: progress.waiting == 0 and bool(progress.rows))
    assert len([one for one in emulator.requests if bad in one.path]) == seen
    assert watched.report is not None
    assert watched.report.devices[0].outcome is Outcome.FAILED


async def test_a_refused_key_ends_a_job_that_follows(
    session: IottlySession, emulator: Emulator, tmp_path: Path
) -> None:
    """The error is raised. Everything that was fetched before is stored."""
    path = tmp_path / "telemetry.jsonl"

    def refuse(progress: Progress) -> None:
        if progress.following and not progress.waiting:
            emulator.fault("status", status=401, route="paginated", count=None)

    job = IngestJob(session, project=emulator.project_id, store=path, **FOLLOW)
    with pytest.raises(UnauthorizedError):
        await job.run(refuse)
    assert rows_of(path) == truth_of(emulator)


async def test_polls_without_messages_move_the_cursors(
    session: IottlySession, emulator: Emulator, tmp_path: Path
) -> None:
    """Polls that find nothing move the cursors, and with them the end of the plan."""
    path = tmp_path / "telemetry.jsonl"

    def moved(progress: Progress) -> bool:
        sidecar = read_sidecar(str(path))
        assert sidecar is not None
        return all(json.loads(cursor)["end"] is None for cursor in sidecar.cursors.values())

    async with following(session, emulator, path) as watched:
        await watched.until(moved)
    store = JSONLinesStore(path)
    state = await store.open()
    await store.close()
    assert state.plan is not None
    ends = [Cursor.from_json(text).pinned_end for text in state.cursors.values()]
    assert IngestPlan.from_json(state.plan).pinned_end == min(ends)


async def test_a_job_that_follows_takes_no_end(session: IottlySession, tmp_path: Path) -> None:
    """`end` and `follow` together raise an error."""
    with pytest.raises(ConfigurationError, match="has no end"):
        IngestJob(
            session,
            project="p",
            store=tmp_path / "x.jsonl",
            end=datetime(2026, 1, 1, tzinfo=UTC),
            follow=True,
        )


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_a_follower_that_is_killed_loses_nothing_and_repeats_nothing(tmp_path: Path) -> None:
    """A job is killed while messages arrive, and started again. The store ends complete."""
    path = tmp_path / "telemetry.jsonl"
    with EmulatorThread(devices=3, messages=300) as emulator:
        config, project = Config(base_url=emulator.base_url), emulator.project_id
        arguments = (config, emulator.api_key, project, str(path), FollowPace())
        emulator.start_appending(200)
        for requests in (9, 15):
            seen = len(emulator.requests)
            with other_process(follow, *arguments) as (job, _):
                emulator.until_requests(seen + requests, timeout=60)
                job.kill()
                job.join()
        emulator.stop_appending()
        emulator.clock.advance(6)

        async def complete() -> None:
            async with IottlySession(emulator.api_key, config=config) as session:
                for _ in range(2):  # first to the end of the killed run, then to the present
                    await IngestJob(session, project=project, store=path).run()

        asyncio.run(complete())
        assert rows_of(path) == truth_of(emulator)
        assert len(set(keys_of(path))) == len(keys_of(path))
