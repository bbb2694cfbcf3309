"""Partitions: planned once, run anywhere, any number of times, to the same files."""

from __future__ import annotations

import asyncio
import json
import pickle
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

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
from tests.support.partition_rows import bytes_of, files_of, partition_rows
from tests.support.stored_rows import truth_of

START, END = datetime(2026, 4, 1, tzinfo=UTC), datetime(2026, 5, 1, tzinfo=UTC)
WEEK = timedelta(days=7)

ONE_RUN = """
import asyncio, os, sys
from pathlib import Path
from iottly_async.ingest.partitions import Partition, run_partition
asyncio.run(run_partition(Partition.from_json(Path(sys.argv[1]).read_text()), sys.argv[2]))
"""


@pytest.fixture
async def emulator(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Emulator]:
    """A fleet of five devices and 3,000 messages, and two keys for it."""
    keys = ("a-key-of-one", "a-key-of-two")
    async with Emulator(devices=5, messages=3000, api_keys=keys) as emulator:
        monkeypatch.setenv("KEY_ONE", keys[0])
        monkeypatch.setenv("KEY_TWO", keys[1])
        monkeypatch.setenv("IOTTLY_BASE_URL", emulator.base_url)
        yield emulator


def source(emulator: Emulator, key: str = "KEY_ONE", **more: Any) -> PartitionSource:
    """The emulator's project."""
    return PartitionSource(project=emulator.project_id, key_env=key, **more)


async def planned(emulator: Emulator, **more: Any) -> list[Partition]:
    """A plan for all that the emulator has."""
    options = {"start": START, "end": END, "window": WEEK, "windows_per_partition": 6, **more}
    return await plan([source(emulator)], **options)


async def run_all(
    partitions: list[Partition], folder: Path, form: Literal["jsonl", "parquet"] = "jsonl"
) -> list[PartitionManifest]:
    """Run all, one after the other."""
    limiter = RateLimiter()
    return [await run_partition(one, folder, format=form, limiter=limiter) for one in partitions]


async def test_a_plan_is_all_devices_and_times_once(emulator: Emulator) -> None:
    """Windows meet at multiples of their length, and leave nothing out."""
    partitions = await planned(emulator)
    windows = [window for one in partitions for window in one.windows]
    assert [len(one.windows) for one in partitions] == [6, 6, 6, 6, 6]
    for device_id in emulator.device_ids:
        mine = [(window.start, window.end) for window in windows if window.device_id == device_id]
        assert mine[0][0] == START.timestamp() * 1000
        assert mine[-1][1] == END.timestamp() * 1000
        assert all(before[1] == after[0] for before, after in pairwise(mine))
        assert all(end % (7 * 86_400_000) == 0 for _, end in mine[:-1])


async def test_the_same_plan_made_again_has_the_same_ids(emulator: Emulator) -> None:
    """And another range gives others."""
    first, again = await planned(emulator), await planned(emulator)
    other = await planned(emulator, end=END - timedelta(days=1))
    assert first == again
    assert not {one.id for one in first} <= {one.id for one in other}
    assert len({one.id for one in first}) == len(first)


async def test_an_open_end_is_pinned_once(emulator: Emulator) -> None:
    """All windows end at the server's settled now, at the moment of planning."""
    before = emulator.clock.now().timestamp()
    partitions = await planned(emulator, end=None, window=None)
    (end,) = {window.end for one in partitions for window in one.windows}
    assert before - 6 <= end / 1000 <= emulator.clock.now().timestamp() - 5


async def test_partitions_of_different_keys_take_turns(emulator: Emulator) -> None:
    """So that all quotas are in use from the beginning."""
    one, two, *_ = emulator.device_ids
    partitions = await plan(
        [source(emulator, devices=(one,)), source(emulator, "KEY_TWO", devices=(two,))],
        start=START,
        end=END,
        window=WEEK,
        windows_per_partition=2,
    )
    assert [each.key_env for each in partitions] == ["KEY_ONE", "KEY_TWO"] * 3


async def test_a_partition_is_plain_data_without_the_key(emulator: Emulator) -> None:
    """It survives pickling and JSON, and says where the key is, not what it is."""
    (partition, *_) = await planned(emulator, redis_env="REDIS_URL")
    assert Partition.from_json(partition.to_json()) == partition
    assert pickle.loads(pickle.dumps(partition)) == partition
    shown = partition.to_json().encode() + repr(partition).encode() + pickle.dumps(partition)
    assert b"KEY_ONE" in shown
    assert b"a-key-of-one" not in shown


@pytest.mark.parametrize("form", ["jsonl", "parquet"])
async def test_partitions_hold_every_message_once(
    emulator: Emulator, tmp_path: Path, form: Literal["jsonl", "parquet"]
) -> None:
    """All files together are what the emulator has."""
    manifests = await run_all(await planned(emulator), tmp_path, form)
    assert partition_rows(tmp_path) == truth_of(emulator)
    assert sum(manifest.rows for manifest in manifests) == 3000
    sizes = {name: size for one in manifests for name, size in one.files.items()}
    assert sizes == {path.name: path.stat().st_size for path in files_of(tmp_path)}


@pytest.mark.parametrize("form", ["jsonl", "parquet"])
async def test_the_same_plan_run_twice_gives_the_same_files(
    emulator: Emulator, tmp_path: Path, form: Literal["jsonl", "parquet"]
) -> None:
    """Byte for byte, with the same digests, whatever becomes of the requests on the way."""
    partitions = await planned(emulator)
    first = await run_all(partitions, tmp_path / "first", form)
    emulator.fault("reset", route="paginated", probability=0.2, count=None)
    second = await run_all([*reversed(partitions)], tmp_path / "second", form)
    assert digest_of(first) == digest_of(second)
    assert bytes_of(tmp_path / "first") == bytes_of(tmp_path / "second")


async def test_a_partition_that_was_done_is_not_fetched_again(
    emulator: Emulator, tmp_path: Path
) -> None:
    """Its manifest is read, unless one of its files is gone or cut."""
    (partition, *_) = await planned(emulator)
    (first,) = await run_all([partition], tmp_path)
    seen = len(emulator.requests)
    (again,) = await run_all([partition], tmp_path)
    assert (again.reused, again.digest, len(emulator.requests)) == (True, first.digest, seen)
    (path,) = files_of(tmp_path)
    path.write_bytes(path.read_bytes()[:-1])
    (mended,) = await run_all([partition], tmp_path)
    assert (mended.reused, mended.digest) == (False, first.digest)
    assert path.stat().st_size == mended.files[path.name]


async def test_two_at_once_do_not_harm_each_other(emulator: Emulator, tmp_path: Path) -> None:
    """A cluster may run a task twice, where it takes a worker for dead that is not."""
    (partition, *_) = await planned(emulator)
    emulator.fault("stall", route="paginated", skip=3, count=1)
    slow = asyncio.create_task(run_partition(partition, tmp_path, limiter=RateLimiter()))
    await emulator.until_requests(4, route="paginated")
    quick = await run_partition(partition, tmp_path, limiter=RateLimiter())
    content = bytes_of(tmp_path)
    emulator.clear_faults()
    assert (await slow).digest == quick.digest
    assert {name: content[name] for name in quick.files} == bytes_of(tmp_path)


async def test_a_device_that_refuses_is_in_the_manifest(emulator: Emulator, tmp_path: Path) -> None:
    """The other windows are fetched; run again, it is done anew."""
    (partition,) = await planned(emulator, window=None)
    bad, *good = emulator.device_ids
    emulator.fault("status", status=403, route=f"/v1.0/*/device/{bad}/*", count=None)
    (manifest,) = await run_all([partition], tmp_path)
    ((window, told),) = manifest.failed.items()
    assert window.startswith(bad)
    assert told.startswith("ForbiddenError")
    assert partition_rows(tmp_path) == truth_of(emulator, good)
    emulator.clear_faults()
    (manifest,) = await run_all([partition], tmp_path)
    assert (manifest.failed, manifest.reused) == ({}, False)
    assert partition_rows(tmp_path) == truth_of(emulator)


async def test_what_may_pass_ends_the_run_and_leaves_nothing(
    emulator: Emulator, tmp_path: Path
) -> None:
    """Neither a half file nor a manifest; the next run is as if there had been none."""
    (partition, *_) = await planned(emulator)
    emulator.fault("status", status=503, route="paginated", skip=4, count=None)
    config = Config(base_url=emulator.base_url, retry=RetryPolicy(max_attempts=1))
    with pytest.raises(ServerError):
        await run_partition(partition, tmp_path, config=config, limiter=RateLimiter())
    assert files_of(tmp_path) == []
    emulator.clear_faults()
    (manifest,) = await run_all([partition], tmp_path)
    assert not manifest.reused


async def test_a_key_that_is_refused_is_raised(emulator: Emulator, tmp_path: Path) -> None:
    """Running it again would not help."""
    (partition, *_) = await planned(emulator)
    emulator.fault("status", status=401, route="paginated", count=None)
    with pytest.raises(UnauthorizedError):
        await run_all([partition], tmp_path)


async def test_poison_goes_to_a_file_of_its_own(emulator: Emulator, tmp_path: Path) -> None:
    """With its reason and its bytes; it is counted, and no row."""
    device = emulator.device_ids[0]
    time = END - timedelta(seconds=5)
    emulator.append(device, [{"payload_json": '{"level":NaN}', "timestamp": time}])
    (partition,) = await planned(emulator, window=None)
    (manifest,) = await run_all([partition], tmp_path)
    assert (manifest.rows, manifest.rejected) == (3000, 1)
    (line,) = (tmp_path / f"{partition.id}.rejected.jsonl").read_text().splitlines()
    assert (json.loads(line)["device_id"], bool(json.loads(line)["reason"])) == (device, True)


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_a_killed_process_leaves_nothing_that_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed at one request after another: no file, and the next run gives the right ones."""
    with EmulatorThread(devices=3, messages=3000) as emulator:
        monkeypatch.setenv("KEY", emulator.api_key)
        monkeypatch.setenv("IOTTLY_BASE_URL", emulator.base_url)
        (partition,) = asyncio.run(
            plan(
                [PartitionSource(project=emulator.project_id, key_env="KEY")],
                end=END,
                concurrency=2,
            )
        )
        (tmp_path / "partition.json").write_text(partition.to_json())
        folder = tmp_path / "out"
        command = [sys.executable, "-c", ONE_RUN, str(tmp_path / "partition.json"), str(folder)]
        for requests in (1, 12, 25):
            seen = len(emulator.requests)
            emulator.fault("stall", route="paginated", skip=requests, count=None)
            with subprocess.Popen(command) as job:
                emulator.until_requests(seen + requests + 1, timeout=60)
                job.send_signal(signal.SIGKILL)
            emulator.clear_faults()
            assert not [path for path in files_of(folder) if not path.name.endswith(".aside")]
        subprocess.run(command, check=True)
        assert [path.name for path in files_of(folder)] == [f"{partition.id}.jsonl"]
        assert partition_rows(folder) == truth_of(emulator)


async def test_a_missing_variable_is_named(
    emulator: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether it is the key's or Redis's, and before anything is sent."""
    (partition, *_) = await planned(emulator, redis_env="REDIS_OF_OURS")
    seen = len(emulator.requests)
    with pytest.raises(ConfigurationError, match="REDIS_OF_OURS is not set"):
        await run_partition(partition, tmp_path)
    monkeypatch.delenv("KEY_ONE")
    with pytest.raises(ConfigurationError, match="KEY_ONE is not set"):
        await run_partition(partition, tmp_path)
    assert len(emulator.requests) == seen


async def test_a_folder_that_cannot_be_is_a_stores_error(
    emulator: Emulator, tmp_path: Path
) -> None:
    """The text names it and says what the system said."""
    (partition, *_) = await planned(emulator)
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match=r"file/out.*[Nn]ot a directory"):
        await run_partition(partition, tmp_path / "file" / "out")


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"start": None, "window": WEEK}, "name one"),
        ({"window": timedelta(0)}, "a millisecond or more"),
        ({"windows_per_partition": 0}, "windows_per_partition"),
        ({"concurrency": 0}, "concurrency"),
        ({"type": "others"}, "type must be"),
        ({"start": END, "end": START}, "start must be before"),
        ({"start": datetime(2999, 1, 1, tzinfo=UTC), "end": None}, "start must lie before"),
    ],
)
async def test_a_plan_that_cannot_be_is_refused(
    emulator: Emulator, options: dict[str, Any], told: str
) -> None:
    """The text names the argument."""
    with pytest.raises(ConfigurationError, match=told):
        await planned(emulator, **options)


async def test_no_source_and_no_format_are_refused(emulator: Emulator, tmp_path: Path) -> None:
    """As is a text that is no partition."""
    with pytest.raises(ConfigurationError, match="sources"):
        await plan([])
    (partition, *_) = await planned(emulator)
    with pytest.raises(ConfigurationError, match="format"):
        await run_partition(partition, tmp_path, format="xml")  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="not a partition"):
        Partition.from_json("{}")
