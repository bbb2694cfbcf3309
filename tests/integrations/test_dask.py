"""A plan on a Dask cluster of two processes, with a Redis; one worker is killed."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dask
import pytest
from distributed import Client, LocalCluster

from iottly_async.emulator import EmulatorThread
from iottly_async.ingest.partitions import Partition, PartitionSource, digest_of, plan
from iottly_async.integrations.dask import run, submit
from tests.support.cluster_trial import dask_context
from tests.support.partition_rows import bytes_of, files_of, partition_rows
from tests.support.redis_server import require_redis, running_redis
from tests.support.stored_rows import truth_of

KEYS = ("a-key-of-one", "a-key-of-two")
START, END = datetime(2026, 4, 1, tzinfo=UTC), datetime(2026, 5, 1, tzinfo=UTC)

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")


@pytest.fixture(scope="module")
def emulator() -> Iterator[EmulatorThread]:
    """An emulator with six devices, and two keys with a quota each."""
    with EmulatorThread(
        devices=6, messages=6000, api_keys=KEYS, rate_limit=60, rate_window=1
    ) as emulator:
        yield emulator


@pytest.fixture(scope="module")
def client(emulator: EmulatorThread) -> Iterator[Client]:
    """A client of a cluster of two processes, with keys, base URL and Redis in the environment."""
    require_redis()
    with running_redis() as redis, pytest.MonkeyPatch.context() as environment:
        settings = {
            "KEY_ONE": KEYS[0],
            "KEY_TWO": KEYS[1],
            "IOTTLY_BASE_URL": emulator.base_url,
            "REDIS_OF_OURS": redis.url,
        }
        for name, value in settings.items():
            environment.setenv(name, value)
        dask_context()  # what it has loaded, a worker need not load
        with (
            dask.config.set({"distributed.worker.multiprocessing-method": "forkserver"}),
            LocalCluster(  # type: ignore[no-untyped-call]
                n_workers=2, threads_per_worker=2, dashboard_address="127.0.0.1:0", env=settings
            ) as cluster,
            Client(cluster) as client,  # type: ignore[no-untyped-call]
        ):
            yield client


@pytest.fixture
def partitions(emulator: EmulatorThread, client: Client) -> Iterator[list[Partition]]:
    """Partitions of all messages; each key has half of the devices."""
    ids = emulator.device_ids
    sources = [
        PartitionSource(project=emulator.project_id, key_env=key, devices=tuple(devices))
        for key, devices in (("KEY_ONE", ids[:3]), ("KEY_TWO", ids[3:]))
    ]
    yield asyncio.run(
        plan(
            sources,
            start=START,
            end=END,
            window=timedelta(days=7),
            windows_per_partition=3,
            redis_env="REDIS_OF_OURS",
        )
    )
    emulator.clear_faults()


def test_a_killed_worker_loses_and_repeats_no_row(
    emulator: EmulatorThread, client: Client, partitions: list[Partition], tmp_path: Path
) -> None:
    """Its partitions are run again, and no incomplete file is left."""
    workers = client.run(os.getpid)
    seen = len(emulator.requests)
    # Both workers have begun their partitions when one of them is killed.
    emulator.fault("stall", route="paginated", skip=12, count=None)
    futures = submit(client, partitions, tmp_path)
    emulator.until_requests(seen + 14, timeout=60)
    assert [*Path(f"{tmp_path}.ingest").rglob("*.aside")]
    killed = min(workers.values())
    os.kill(killed, signal.SIGKILL)
    emulator.clear_faults()
    manifests = client.gather(futures)  # type: ignore[no-untyped-call]
    assert sum(manifest.rows for manifest in manifests) == 6000
    assert partition_rows(tmp_path) == truth_of(emulator)
    assert {path.name for path in files_of(tmp_path)} == {f"{one.id}.jsonl" for one in partitions}
    client.wait_for_workers(2, timeout=60)
    assert killed not in client.run(os.getpid).values()


def test_the_same_plan_run_twice_has_the_same_digests(
    emulator: EmulatorThread, client: Client, partitions: list[Partition], tmp_path: Path
) -> None:
    """In another order and with faults, the bytes are the same, and neither key gets a 429."""
    first = run(client, partitions, tmp_path / "first", format="parquet")
    emulator.fault("reset", route="paginated", probability=0.1, count=None)
    reported: list[Any] = []
    second = run(
        client, partitions[::-1], tmp_path / "second", format="parquet", progress=reported.append
    )
    assert digest_of(first) == digest_of(second)
    assert bytes_of(tmp_path / "first") == bytes_of(tmp_path / "second")
    assert [one.partition_id for one in second] == [one.id for one in partitions[::-1]]
    assert len(reported) == len(partitions)
    assert partition_rows(tmp_path / "first") == truth_of(emulator)
    assert not [one for one in emulator.requests if one.refused]


def test_a_failed_partition_is_raised_after_the_others_are_done(
    emulator: EmulatorThread, client: Client, partitions: list[Partition], tmp_path: Path
) -> None:
    """The error names it, and the next run fetches only what is missing."""
    (tmp_path / f"{partitions[0].id}.jsonl").mkdir()
    with pytest.raises(ExceptionGroup, match="1 of 12 partitions failed") as failed:
        run(client, partitions, tmp_path, retries=1)
    (error,) = failed.value.exceptions
    assert partitions[0].id in str(error.__notes__)
    assert len([path for path in files_of(tmp_path) if path.suffix == ".jsonl"]) == 11
    (tmp_path / f"{partitions[0].id}.jsonl").rmdir()
    manifests = run(client, partitions, tmp_path)
    assert [one.reused for one in manifests] == [False, *[True] * 11]
    assert partition_rows(tmp_path) == truth_of(emulator)
