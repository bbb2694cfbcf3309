"""Jobs whose clocks differ: the one of `Date`, the one that stamps messages, and our own (D11)."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path

import pytest

from iottly_async.emulator import Emulator
from iottly_async.errors import CursorMismatchError
from tests.support.outage_trial import in_virtual_time
from tests.support.stored_rows import keys_of, rows_of, truth_of

from .watched import Watched, job_of, virtual_fleet


def send(emulator: Emulator, rows: int = 1) -> None:
    """Let each device send some messages now."""
    for device_id in emulator.device_ids:
        emulator.set_connected(device_id, connected=True)
        emulator.append(device_id, rows)


def assert_whole(path: Path, emulator: Emulator) -> None:
    """The store has each of the emulator's messages once."""
    assert rows_of(path) == truth_of(emulator)
    assert len(set(keys_of(path))) == len(keys_of(path))


@pytest.mark.parametrize("offset", [-3600, -8, 0, 8, 3600])
def test_runs_lose_nothing_whatever_clock_stamps(tmp_path: Path, offset: float) -> None:
    """Each run goes on behind the newest message that is stored, not where `Date` was."""
    path = tmp_path / "telemetry.jsonl"

    async def main() -> None:
        async with virtual_fleet(devices=2, messages=40, stamp_offset=offset, settle=5.0) as (
            emulator,
            session,
        ):
            for _ in range(12):
                send(emulator)
                await asyncio.sleep(2.7)
                await job_of(session, emulator, path).run()
            emulator.clock.advance(10 + max(offset, 0))
            await job_of(session, emulator, path).run()
            assert_whole(path, emulator)

    in_virtual_time(main)


@pytest.mark.parametrize("offset", [-8, 8])
def test_following_loses_nothing_whatever_clock_stamps(tmp_path: Path, offset: float) -> None:
    """Neither while the job follows, nor between two jobs that do."""
    path = tmp_path / "telemetry.jsonl"

    async def main() -> None:
        async with virtual_fleet(devices=2, messages=40, stamp_offset=offset, settle=5.0) as (
            emulator,
            session,
        ):
            for number in range(1, 4):
                watched = Watched(job_of(session, emulator, path, follow=True))
                running = asyncio.create_task(watched.run())
                for _ in range(6):
                    send(emulator)
                    await asyncio.sleep(2.7)
                if number == 3:
                    await asyncio.sleep(30)
                watched.job.stop()
                await running
            assert_whole(path, emulator)

    in_virtual_time(main)


@pytest.mark.parametrize("answers", [1, 2, 3])
@pytest.mark.parametrize("seconds", [3600, -3600])
def test_a_wrong_date_stops_no_later_run(tmp_path: Path, answers: int, seconds: float) -> None:
    """However many answers had it, the next run goes on at once, and nothing is lost."""
    path = tmp_path / "telemetry.jsonl"

    async def main() -> None:
        async with virtual_fleet(devices=2, messages=40, settle=5.0) as (emulator, session):
            emulator.fault("date", route="paginated", seconds=seconds, count=answers)
            await job_of(session, emulator, path).run()
            for _ in range(3):
                send(emulator)
                await asyncio.sleep(8)
                await job_of(session, emulator, path).run()
            assert_whole(path, emulator)

    in_virtual_time(main)


def test_a_killed_run_with_a_wrong_end_is_resumed_to_the_right_one(tmp_path: Path) -> None:
    """A plan that ends in the future is not kept until that future has come."""
    path = tmp_path / "telemetry.jsonl"

    async def main() -> None:
        async with virtual_fleet(devices=2, messages=200, settle=5.0) as (emulator, session):
            emulator.fault("date", route="paginated", seconds=3600, count=2)
            emulator.fault("stall", route="paginated", skip=9)
            running = asyncio.create_task(job_of(session, emulator, path, concurrency=1).run())
            await emulator.until_requests(10)
            running.cancel()
            await asyncio.wait([running])
            emulator.clear_faults()
            send(emulator)
            await asyncio.sleep(8)
            report = await job_of(session, emulator, path).run()
            assert_whole(path, emulator)
            assert report.end is not None
            assert report.end <= emulator.clock.now().timestamp() * 1000

    in_virtual_time(main)


def test_a_store_of_another_server_is_refused(tmp_path: Path) -> None:
    """Its messages lie in this server's future, and in our own."""
    path = tmp_path / "telemetry.jsonl"

    async def main() -> None:
        async with virtual_fleet(devices=1, messages=40) as (emulator, session):
            future = emulator.clock.now() + timedelta(hours=1)
            emulator.set_connected(emulator.device_ids[0], connected=True)
            emulator.append(emulator.device_ids[0], [{"payload": 1, "timestamp": future}])
            emulator.clock.advance(2 * 3600)
            await job_of(session, emulator, path).run()
            emulator.clock.advance(-2 * 3600)
            with pytest.raises(CursorMismatchError, match="filled from another server"):
                await job_of(session, emulator, path).run()

    in_virtual_time(main)
