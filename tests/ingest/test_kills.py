"""Jobs that are killed at any moment, and run again until they are done.

``python -m benchmarks kills`` kills each store's job 200 times.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from iottly_async.emulator import EmulatorThread
from tests.support.kill_trial import STORES, Trial, fleet, trial
from tests.support.killable_jobs import Nursery, nursery
from tests.support.postgres_server import PostgresServer

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="jobs are forked and killed")

KILLS = 10
FILE_SIZES = [  # bytes; the smaller ones do not hold an empty store
    ("duckdb", 4_000),
    ("duckdb", 8_000),
    ("duckdb", 12_288),
    ("duckdb", 274_432),
    ("duckdb", 900_000),
    ("jsonl", 400),
    ("jsonl", 1_500),
    ("jsonl", 300_000),
    ("jsonl.zst", 400),
    ("jsonl.zst", 20_000),
    ("parquet", 400),
    ("parquet", 1_500),
    ("parquet", 3_000),
]


@pytest.fixture(scope="module")
def emulator() -> Iterator[EmulatorThread]:
    """A fleet with as many messages as the kills need. Jobs do not change it."""
    with fleet(KILLS) as emulator:
        yield emulator


@pytest.fixture(scope="module")
def jobs() -> Iterator[Nursery]:
    """Starts the jobs in processes of their own."""
    with nursery() as jobs:
        yield jobs


@pytest.fixture
def trial_of(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    emulator: EmulatorThread,
    jobs: Nursery,
    postgres: PostgresServer,
) -> Iterator[Trial]:
    """The trial of one kind of store."""
    with trial(request.param, tmp_path, emulator=emulator, jobs=jobs, postgres=postgres) as one:
        yield one


@pytest.mark.parametrize("trial_of", STORES, indirect=True)
def test_a_killed_job_loses_nothing_and_repeats_nothing(trial_of: Trial) -> None:
    """Jobs are killed at requests and within steps of their store, while connections are lost
    and requests refused, and a second job is refused each time. The store ends complete, and
    the last run resumed the one before."""
    trial_of.kill(KILLS)
    trial_of.finish()
    assert sum(trial_of.killed.values()) == KILLS
    assert trial_of.killed["step"]
    assert trial_of.refused >= KILLS // 2
    assert len(trial_of.restarted) < len(trial_of.emulator.device_ids)


@pytest.fixture(scope="module")
def small_fleet() -> Iterator[EmulatorThread]:
    """A fleet whose messages fill the largest of the files."""
    with EmulatorThread(devices=6, messages=5_000) as emulator:
        yield emulator


@pytest.mark.parametrize(("store", "size"), FILE_SIZES)
def test_a_full_disk_leaves_a_store_that_can_be_resumed(
    store: str, size: int, tmp_path: Path, small_fleet: EmulatorThread, jobs: Nursery
) -> None:
    """The job reports the system's reason. With more room, the next run completes the store."""
    with trial(store, tmp_path, emulator=small_fleet, jobs=jobs) as one:
        code, output = one.start(file_size=size).wait()
        assert code == 1, output
        assert "Traceback" not in output
        assert "large" in output
        one.finish()
