"""Which folders partitions take: one of its own, that only this version has written."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from iottly_async import RateLimiter
from iottly_async.emulator import Emulator
from iottly_async.errors import ConfigurationError
from iottly_async.ingest.coverage import survey
from iottly_async.ingest.partitions import plan, run_partition
from iottly_async.ingest.stores.parquet.compaction import compact
from tests.support.partition_rows import bytes_of

from .plans import planned, source


@pytest.mark.parametrize("name", ["_manifests", "_plan.json", "_unfinished"])
async def test_a_folder_of_an_earlier_version_is_refused(
    emulator: Emulator, tmp_path: Path, name: str
) -> None:
    """Its rows have other columns, so one table of both cannot be read. Nothing is sent, and the
    folder stays as it is."""
    partition, *_ = await planned(emulator)
    (tmp_path / "rows" / name).mkdir(parents=True)
    seen, folder = len(emulator.requests), tmp_path / "rows"
    for work in (
        plan([source(emulator)], folder),
        run_partition(partition, folder),
        survey(folder),
    ):
        with pytest.raises(ConfigurationError, match=r"rows' was written by an earlier.*another"):
            await work
    assert len(emulator.requests) == seen
    assert (os.listdir(tmp_path), os.listdir(folder)) == (["rows"], [name])


async def test_the_place_of_a_mount_is_refused(emulator: Emulator) -> None:
    """Other machines would have the rows and not the plan. The text names a folder within it."""
    partition, *_ = await planned(emulator)
    seen = len(emulator.requests)
    for work in (plan([source(emulator)], "/"), run_partition(partition, "/")):
        with pytest.raises(ConfigurationError, match=r"mounted at '/'.*such as '/telemetry'"):
            await work
    assert len(emulator.requests) == seen


async def test_a_link_to_the_folder_is_the_same_folder(emulator: Emulator, tmp_path: Path) -> None:
    """Its plan and its partitions are found, and nothing is fetched again."""
    (tmp_path / "link").symlink_to(tmp_path / "rows")
    partition, *_ = partitions = await planned(emulator, to=tmp_path / "rows")
    await run_partition(partition, tmp_path / "rows", limiter=RateLimiter())
    assert await planned(emulator, to=tmp_path / "link") == partitions
    assert (await run_partition(partition, tmp_path / "link")).reused
    assert len((await survey(tmp_path / "link")).devices) == len(emulator.device_ids)
    assert sorted(os.listdir(tmp_path)) == ["link", "rows", "rows.ingest"]


async def test_the_folder_is_no_store_to_compact(emulator: Emulator, tmp_path: Path) -> None:
    """`iottly compact` refuses it, and its files stay."""
    partition, *_ = await planned(emulator)
    await run_partition(partition, tmp_path, format="parquet", limiter=RateLimiter())
    before = bytes_of(tmp_path)
    with pytest.raises(ConfigurationError, match=r"plan.json.*another store"):
        await compact(tmp_path)
    assert bytes_of(tmp_path) == before
    assert (await run_partition(partition, tmp_path, format="parquet")).reused
