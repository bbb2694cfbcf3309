"""Jobs while the service is away, or refuses some devices: what they store, and what they tell."""

from __future__ import annotations

import asyncio
import logging
import math
from pathlib import Path
from typing import Any

import pytest

from iottly_async import Config, IottlySession, RateLimiter
from iottly_async.emulator import Emulator
from iottly_async.errors import ConfigurationError
from iottly_async.ingest import IngestJob, Outcome, fetch
from tests.support.outage_trial import in_virtual_time
from tests.support.restarted_emulator import running_emulator
from tests.support.scale import LONG
from tests.support.stored_rows import keys_of, rows_of, truth_of

from .watched import PACE, Watched, job_of, virtual_fleet


def refuse(emulator: Emulator, device_id: str, status: int) -> None:
    """Make the service refuse a device's messages from now on."""
    route = f"/v1.0/*/device/{device_id}/messages/*"
    emulator.fault("status", status=status, route=route, count=None)


# --- the service is away ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("suffix", "follow"),
    [("duckdb", False), ("jsonl", True)] + ([("jsonl", False), ("duckdb", True)] if LONG else []),
)
async def test_a_service_that_is_killed_costs_no_row_and_no_device(
    tmp_path: Path, suffix: str, follow: bool
) -> None:
    """Its process is started again on its port, and the job goes on where it was."""
    path = tmp_path / f"telemetry.{suffix}"
    with running_emulator("--devices=6", "--messages=1200", "--latency=0.02") as service:
        config = Config(base_url=service.url, page_size=10)
        async with IottlySession(service.api_key, config=config, limiter=RateLimiter()) as session:
            watched = Watched(
                IngestJob(
                    session,
                    project=service.project_id,
                    store=path,
                    flush_every=0.1,
                    follow=follow,
                    pace=PACE if follow else None,
                )
            )
            async with asyncio.timeout(60):
                running = asyncio.create_task(watched.run())
                await watched.until(lambda progress: progress.rows >= 200)
                service.kill()
                away = await watched.until(lambda progress: progress.waiting_for == "service")
                await asyncio.to_thread(service.start)
                if follow:
                    await watched.until(lambda progress: progress.rows >= 1200)
                    watched.job.stop()
                report = await running
    assert away.failed == 0
    assert (report.rows, report.failed, report.total) == (1200, 0, 1200)
    assert len(set(keys_of(path))) == len(keys_of(path)) == 1200
    assert report.outage_seconds > 0


@pytest.mark.parametrize(
    ("suffix", "kind"),
    [("jsonl", "refuse"), ("duckdb", "html")]
    + ([("jsonl", "html"), ("duckdb", "refuse")] if LONG else []),
)
def test_an_outage_of_ten_seconds_in_the_range_drops_no_device_of_a_job_that_follows(
    tmp_path: Path, suffix: str, kind: Any
) -> None:
    """All devices are followed afterwards, and everything is stored once."""
    path = tmp_path / f"telemetry.{suffix}"

    async def main() -> None:
        async with virtual_fleet(devices=6, messages=1200) as (emulator, session):
            watched = Watched(job_of(session, emulator, path, follow=True))
            running = asyncio.create_task(watched.run())
            await watched.until(lambda progress: progress.rows >= 200)
            emulator.outage(kind, seconds=10)
            shown = await watched.until(lambda progress: (progress.waiting_seconds or 0) >= 6)
            await watched.until(lambda progress: progress.following)
            for device in emulator.device_ids:
                emulator.set_connected(device, connected=True)
                emulator.append(device, 2)
            await watched.until(lambda progress: progress.rows == 1212)
            watched.job.stop()
            report = await running
            assert (shown.waiting_for, shown.failed) == ("service", 0)
            assert (report.done, report.failed, report.followed) == (6, 0, True)
            assert 9 <= report.outage_seconds <= 20
            assert rows_of(path) == truth_of(emulator)
            assert len(set(keys_of(path))) == 1212

    in_virtual_time(main)


@pytest.mark.parametrize("follow", [False, True], ids=["range", "follow"])
def test_a_job_waits_for_the_service_at_its_beginning(tmp_path: Path, follow: bool) -> None:
    """It tells so before it knows any device."""
    path = tmp_path / "telemetry.jsonl"

    async def main() -> None:
        async with virtual_fleet(devices=2, messages=100) as (emulator, session):
            emulator.outage("refuse", seconds=60)
            watched = Watched(job_of(session, emulator, path, follow=follow))
            running = asyncio.create_task(watched.run())
            shown = await watched.until(lambda progress: (progress.waiting_seconds or 0) >= 30)
            await watched.until(lambda progress: progress.rows == 100)
            watched.job.stop()
            report = await running
            assert (shown.waiting_for, shown.devices, shown.share) == ("service", 0, None)
            assert (report.failed, report.rows) == (0, 100)

    in_virtual_time(main)


def test_patience_that_is_used_up_fails_the_devices(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The run ends then, with the last error of each device, and the next run goes on there."""
    path = tmp_path / "telemetry.jsonl"

    async def main() -> None:
        async with virtual_fleet(devices=3, messages=600) as (emulator, session):
            watched = Watched(job_of(session, emulator, path, patience=20))
            running = asyncio.create_task(watched.run())
            await watched.until(lambda progress: progress.rows >= 100)
            begun = watched.seen[-1].seconds
            emulator.outage("html", status=502)
            report = await running
            assert 19 <= report.seconds - begun <= 45
            assert report.failed == 3
            assert {device.status for device in report.devices} == {502}
            emulator.end_outage()
            again = await job_of(session, emulator, path).run()
            assert report.rows + again.rows == 600
            assert rows_of(path) == truth_of(emulator)

    in_virtual_time(main)
    told = [one.getMessage() for one in caplog.records if one.name == "iottly_async.ingest"]
    assert len(told) == 3
    assert all(text.startswith("the job goes on without device ") for text in told)


@pytest.mark.parametrize("patience", [-1, "5", True, math.nan])
async def test_patience_is_a_number_of_seconds(
    session: IottlySession, tmp_path: Path, patience: object
) -> None:
    """Anything else is refused at once."""
    with pytest.raises(ConfigurationError, match="patience must be"):
        IngestJob(session, project="p", store=tmp_path / "x.jsonl", patience=patience)  # type: ignore[arg-type]


# --- quota -----------------------------------------------------------------------------------


def test_a_wait_for_quota_is_shown(tmp_path: Path) -> None:
    """With its seconds, which become fewer; the report has them all."""
    path = tmp_path / "telemetry.jsonl"

    async def main() -> None:
        async with virtual_fleet(devices=2, messages=900, rate_limit=60) as (emulator, session):
            watched = Watched(job_of(session, emulator, path))
            report = await watched.run()
            waits = [
                progress.waiting_seconds
                for progress in watched.seen
                if progress.waiting_for == "quota"
            ]
            known = [seconds for seconds in waits if seconds is not None]
            assert len(known) == len(waits) > 40
            assert max(known) > 20
            assert min(known) < 2
            assert 0.5 * report.seconds <= report.quota_seconds <= report.seconds
            assert (report.rows, report.outage_seconds) == (900, 0.0)

    in_virtual_time(main)


# --- devices that are refused ----------------------------------------------------------------


def test_a_device_is_given_up_at_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The log and the progress say so while the others are still fetched."""

    async def main() -> None:
        async with virtual_fleet(devices=4, messages=2000) as (emulator, session):
            bad = emulator.device_ids[0]
            emulator.fault("status", status=403, route=f"/v1.0/*/device/{bad}/messages/*", skip=1)
            watched = Watched(job_of(session, emulator, tmp_path / "x.jsonl"))
            running = asyncio.create_task(watched.run())
            shown = await watched.until(lambda progress: progress.failed > 0)
            told = [one for one in caplog.records if one.name == "iottly_async.ingest"]
            assert [one.levelno for one in told] == [logging.WARNING]
            assert f"without device {bad}: ForbiddenError" in told[0].getMessage()
            assert shown.done == 0
            report = await running
            assert (report.done, report.failed) == (3, 1)

    in_virtual_time(main)


@pytest.fixture
def short_hour(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the hour after which a device is looked at again be a minute."""
    assert fetch.AGAIN_AFTER == 3600
    monkeypatch.setattr(fetch, "AGAIN_AFTER", 60.0)


@pytest.mark.usefixtures("short_hour")
def test_a_job_that_follows_looks_at_a_failed_device_again_after_an_hour(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A device whose requests are wrong is given up, and fetched whole once they are not."""
    path = tmp_path / "telemetry.jsonl"

    async def main() -> None:
        async with virtual_fleet(devices=3, messages=90) as (emulator, session):
            bad = emulator.device_ids[0]
            emulator.fault(
                "status", status=400, route=f"/v1.0/*/device/{bad}/messages/*", count=None
            )
            watched = Watched(job_of(session, emulator, path, follow=True))
            running = asyncio.create_task(watched.run())
            await watched.until(lambda progress: progress.following and progress.failed == 1)
            await asyncio.sleep(5)  # it is also looked at when following begins
            emulator.clear_faults()
            await asyncio.sleep(50)
            assert watched.seen[-1].failed == 1
            healed = await watched.until(lambda progress: progress.failed == 0)
            await watched.until(lambda progress: progress.rows == 90)
            watched.job.stop()
            report = await running
            assert 60 <= healed.seconds <= 70
            assert (report.failed, report.devices[0].outcome) == (0, Outcome.DONE)
            assert rows_of(path) == truth_of(emulator)

    caplog.set_level(logging.INFO, "iottly_async.ingest")
    in_virtual_time(main)
    told = [one for one in caplog.records if one.name == "iottly_async.ingest"]
    assert told[0].levelno == logging.WARNING
    assert "is fetched again" in told[-1].getMessage()


@pytest.mark.usefixtures("short_hour")
def test_a_refused_device_is_left_alone(tmp_path: Path) -> None:
    """A key without access gets it by no wait: the device costs no more requests."""

    async def main() -> None:
        async with virtual_fleet(devices=3, messages=90) as (emulator, session):
            bad = emulator.device_ids[0]
            emulator.fault(
                "status", status=403, route=f"/v1.0/*/device/{bad}/messages/*", count=None
            )
            watched = Watched(job_of(session, emulator, tmp_path / "x.jsonl", follow=True))
            running = asyncio.create_task(watched.run())
            await watched.until(lambda progress: progress.following)
            seen = sum(bad in one.path for one in emulator.requests)
            await asyncio.sleep(80)
            assert sum(bad in one.path for one in emulator.requests) == seen
            watched.job.stop()
            assert (await running).failed == 1

    in_virtual_time(main)


def test_a_job_that_follows_ends_if_all_its_devices_are_refused(tmp_path: Path) -> None:
    """There is nothing left to follow, and the report says why."""

    async def main() -> None:
        async with virtual_fleet(devices=2, messages=60) as (emulator, session):
            watched = Watched(job_of(session, emulator, tmp_path / "x.jsonl", follow=True))
            running = asyncio.create_task(watched.run())
            await watched.until(lambda progress: progress.following)
            emulator.fault("status", status=403, route="paginated", count=None)
            report = await running
            assert (report.failed, report.done) == (2, 0)
            assert {device.error_type for device in report.devices} == {"ForbiddenError"}

    in_virtual_time(main)
