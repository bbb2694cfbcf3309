"""Running partitions: the same files, wherever and however often they are run."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from base64 import b64decode
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Literal

import pytest

from iottly_async import Config, RateLimiter, ServerError, UnauthorizedError
from iottly_async.config import RetryPolicy
from iottly_async.emulator import Emulator, EmulatorThread
from iottly_async.errors import ConfigurationError, StoreError
from iottly_async.ingest.partitions import (
    Partition,
    PartitionManifest,
    PartitionSource,
    digest_of,
    plan,
    run_partition,
)
from iottly_async.ingest.partitions.reader import PartitionsReader
from tests.support.other_process import other_process
from tests.support.partition_rows import bytes_of, files_of, partition_rows, rejected_files_of
from tests.support.store_holders import run_one_partition
from tests.support.stored_rows import truth_of

from .plans import END, START, planned


async def run_all(
    partitions: list[Partition], folder: Path, form: Literal["jsonl", "parquet"] = "jsonl"
) -> list[PartitionManifest]:
    """Run partitions one after the other."""
    limiter = RateLimiter()
    return [await run_partition(one, folder, format=form, limiter=limiter) for one in partitions]


@pytest.mark.parametrize("form", ["jsonl", "parquet"])
async def test_partitions_hold_every_message_once(
    emulator: Emulator, tmp_path: Path, form: Literal["jsonl", "parquet"]
) -> None:
    """All files together hold the emulator's messages."""
    manifests = await run_all(await planned(emulator), tmp_path, form)
    assert partition_rows(tmp_path) == truth_of(emulator)
    assert sum(manifest.rows for manifest in manifests) == 3000
    sizes = {name: size for one in manifests for name, size in one.files.items()}
    assert sizes == {path.name: path.stat().st_size for path in files_of(tmp_path)}


async def test_a_partition_does_not_list_the_files_of_the_others(
    emulator: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its beginning costs the same in a folder of a thousand files."""
    for number in range(1000):
        (tmp_path / f"{number}.jsonl").touch()
    seen: list[str] = []
    listing = os.listdir

    def noted(path: str) -> list[str]:
        found: list[str] = listing(path)
        seen.extend(found)
        return found

    monkeypatch.setattr(os, "listdir", noted)
    one, *_ = await planned(emulator)
    await run_all([one], tmp_path)
    assert len(seen) < 10


@pytest.mark.parametrize("form", ["jsonl", "parquet"])
async def test_the_same_plan_run_twice_gives_the_same_files(
    emulator: Emulator, tmp_path: Path, form: Literal["jsonl", "parquet"]
) -> None:
    """The files are equal byte for byte, with the same digests, even if requests fail."""
    partitions = await planned(emulator)
    first = await run_all(partitions, tmp_path / "first", form)
    emulator.fault("reset", route="paginated", probability=0.2, count=None)
    second = await run_all([*reversed(partitions)], tmp_path / "second", form)
    assert digest_of(first) == digest_of(second)
    assert bytes_of(tmp_path / "first") == bytes_of(tmp_path / "second")


async def test_a_complete_partition_is_not_fetched_again(
    emulator: Emulator, tmp_path: Path
) -> None:
    """Its manifest is read, unless one of its files is missing or cut."""
    (partition, *_) = await planned(emulator)
    (first,) = await run_all([partition], tmp_path)
    seen = len(emulator.requests)
    (again,) = await run_all([partition], tmp_path)
    assert (again.reused, again.digest, len(emulator.requests)) == (True, first.digest, seen)
    (path,) = files_of(tmp_path)
    path.write_bytes(path.read_bytes()[:-1])
    (repaired,) = await run_all([partition], tmp_path)
    assert (repaired.reused, repaired.digest) == (False, first.digest)
    assert path.stat().st_size == repaired.files[path.name]


async def test_two_runs_at_the_same_time_do_not_disturb_each_other(
    emulator: Emulator, tmp_path: Path
) -> None:
    """A cluster may run a task twice if it takes a live worker for dead."""
    (partition, *_) = await planned(emulator)
    emulator.fault("stall", route="paginated", skip=3, count=1)
    slow = asyncio.create_task(run_partition(partition, tmp_path, limiter=RateLimiter()))
    await emulator.until_requests(4, route="paginated")
    quick = await run_partition(partition, tmp_path, limiter=RateLimiter())
    content = bytes_of(tmp_path)
    emulator.clear_faults()
    assert (await slow).digest == quick.digest
    assert {name: content[name] for name in quick.files} == bytes_of(tmp_path)


async def test_a_device_that_fails_is_in_the_manifest(emulator: Emulator, tmp_path: Path) -> None:
    """The other devices are fetched. The next run fetches its partition again."""
    partitions = await planned(emulator, window=None)
    bad, *good = emulator.device_ids
    emulator.fault("status", status=403, route=f"/v1.0/*/device/{bad}/*", count=None)
    (manifest, *others) = await run_all(partitions, tmp_path)
    ((window, error),) = manifest.failed.items()
    assert window.startswith(bad)
    assert error.startswith("ForbiddenError")
    assert not any(other.failed for other in others)
    assert partition_rows(tmp_path) == truth_of(emulator, good)
    emulator.clear_faults()
    (manifest, *others) = await run_all(partitions, tmp_path)
    assert (manifest.failed, manifest.reused) == ({}, False)
    assert all(other.reused for other in others)
    assert partition_rows(tmp_path) == truth_of(emulator)


async def test_an_error_that_outlasts_patience_ends_the_run_without_files(
    emulator: Emulator, tmp_path: Path
) -> None:
    """There is no unfinished file and no manifest. The next run fetches everything."""
    (partition, *_) = await planned(emulator)
    emulator.fault("status", status=503, route="paginated", skip=4, count=None)
    config = Config(base_url=emulator.base_url, retry=RetryPolicy(max_attempts=1))
    with pytest.raises(ServerError):
        await run_partition(partition, tmp_path, config=config, limiter=RateLimiter(), patience=0)
    assert files_of(tmp_path) == []
    emulator.clear_faults()
    (manifest,) = await run_all([partition], tmp_path)
    assert not manifest.reused


async def test_a_refused_key_is_raised(emulator: Emulator, tmp_path: Path) -> None:
    """Another run would not help."""
    (partition, *_) = await planned(emulator)
    emulator.fault("status", status=401, route="paginated", count=None)
    with pytest.raises(UnauthorizedError):
        await run_all([partition], tmp_path)


async def test_invalid_payloads_go_to_a_file_of_their_own(
    emulator: Emulator, tmp_path: Path
) -> None:
    """The file has the reason and the bytes. The message is counted, but not as a row."""
    device = emulator.device_ids[0]
    time = END - timedelta(seconds=5)
    emulator.append(device, [{"payload_json": '{"level":NaN}', "timestamp": time}])
    (partition, *_) = await planned(emulator, window=None)
    (manifest,) = await run_all([partition], tmp_path)
    assert (manifest.rows, manifest.rejected) == (truth_of(emulator, [device]).total() - 1, 1)
    (path,) = rejected_files_of(tmp_path)
    assert path.name == f"{partition.id}.rejected.jsonl"
    (line,) = path.read_text().splitlines()
    assert (json.loads(line)["device_id"], bool(json.loads(line)["reason"])) == (device, True)


@pytest.mark.parametrize("form", ["jsonl", "parquet"])
async def test_rows_that_are_no_messages_go_to_the_file_of_the_rejected(
    emulator: Emulator, tmp_path: Path, form: Literal["jsonl", "parquet"]
) -> None:
    """No window fails of them, also none that has no other row. Each is there once with its bytes
    and the reason, is counted, and makes the same files again; coverage shows it."""
    device, truth = emulator.device_ids[0], truth_of(emulator)
    bad = ["Invalid date", None, [1], {"from": device, "timestamp": "", "payload": {"n": 1}}]
    for number, row in enumerate(bad):
        emulator.append_raw(device, [row], timestamp=START + timedelta(days=7 * number))
    emulator.append_raw(device, ["alone"], timestamp=START - timedelta(days=100))
    partitions = await planned(emulator, start=START - timedelta(days=105))
    manifests = await run_all(partitions, tmp_path / "first", form)
    assert not any(one.failed for one in manifests)
    assert sum(one.rejected for one in manifests) == len(bad) + 1
    assert partition_rows(tmp_path / "first") == truth
    lines = [
        json.loads(line)
        for path in rejected_files_of(tmp_path / "first")
        for line in path.read_text().splitlines()
    ]
    kept = [json.dumps(json.loads(b64decode(line["raw_base64"]))) for line in lines]
    assert sorted(kept) == sorted(map(json.dumps, [*bad, "alone"]))
    assert {line["device_id"] for line in lines} == {device}
    assert all(line["reason"] for line in lines)
    assert await PartitionsReader(str(tmp_path / "first")).rejected() == {device: len(bad) + 1}
    await run_all([*reversed(partitions)], tmp_path / "second", form)
    assert bytes_of(tmp_path / "first") == bytes_of(tmp_path / "second")


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_a_killed_process_leaves_nothing_that_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that is killed at a request leaves no file. The next run makes the right ones."""
    with EmulatorThread(devices=1, messages=3000) as emulator:
        monkeypatch.setenv("KEY", emulator.api_key)
        monkeypatch.setenv("IOTTLY_BASE_URL", emulator.base_url)
        (partition,) = asyncio.run(
            plan(
                [PartitionSource(project=emulator.project_id, key_env="KEY")],
                end=END,
                concurrency=2,
            )
        )
        folder = tmp_path / "out"
        variables = {"KEY": emulator.api_key, "IOTTLY_BASE_URL": emulator.base_url}
        run = partial(other_process, run_one_partition, partition.to_json(), folder, variables)
        for requests in (1, 12, 25):
            seen = len(emulator.requests)
            emulator.fault("stall", route="paginated", skip=requests, count=None)
            with run() as (job, _):
                emulator.until_requests(seen + requests + 1, timeout=60)
                job.kill()
                job.join()
            emulator.clear_faults()
            assert not [*folder.iterdir()]
        with run() as (_, connection):
            assert connection.recv() == "done"
        assert [path.name for path in files_of(folder)] == [f"{partition.id}.jsonl"]
        assert partition_rows(folder) == truth_of(emulator)


async def test_a_missing_variable_is_named(
    emulator: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """This applies to the key's and to Redis's. Nothing is sent before."""
    (partition, *_) = await planned(emulator, redis_env="REDIS_OF_OURS")
    seen = len(emulator.requests)
    with pytest.raises(ConfigurationError, match="REDIS_OF_OURS is not set"):
        await run_partition(partition, tmp_path)
    monkeypatch.delenv("KEY_ONE")
    with pytest.raises(ConfigurationError, match="KEY_ONE is not set"):
        await run_partition(partition, tmp_path)
    assert len(emulator.requests) == seen


async def test_a_folder_that_cannot_be_created_is_a_store_error(
    emulator: Emulator, tmp_path: Path
) -> None:
    """The error names the folder and the system's reason."""
    (partition, *_) = await planned(emulator)
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match=r"file/out.*[Nn]ot a directory"):
        await run_partition(partition, tmp_path / "file" / "out")


async def test_another_format_is_refused(emulator: Emulator, tmp_path: Path) -> None:
    """The error names the argument."""
    (partition, *_) = await planned(emulator)
    with pytest.raises(ConfigurationError, match="format"):
        await run_partition(partition, tmp_path, format="xml")  # type: ignore[arg-type]
