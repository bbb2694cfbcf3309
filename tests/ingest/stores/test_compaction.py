"""Compaction of Parquet stores: fewer files, the same rows, at any step of a kill."""

from __future__ import annotations

import os
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from pyarrow.dataset import dataset

from iottly_async.errors import ConfigurationError, StoreInUseError
from iottly_async.ingest.stores.parquet import swap
from iottly_async.ingest.stores.parquet.compaction import compact
from tests.support.scale import sized

from .test_parquet import begun, copied_before, files_of, fill, group, message, state_of


@pytest.fixture
async def path(tmp_path: Path) -> Path:
    """The path of a store with three small files, and a part with one."""
    path = tmp_path / "telemetry.parquet"
    for day in (1, 2, 3):
        await fill(path, group(message("a", day), message("b", day)), target_file_bytes=1)
    await fill(path, group(message("c", 1)), part="other")
    return path


def keys_of(path: Path) -> list[str]:
    """The keys of all rows, in order."""
    return sorted(row["key"] for row in dataset(path).to_table().to_pylist())


async def test_small_files_become_one(path: Path) -> None:
    """The rows are the same, in order, and the next job adds to the file."""
    keys = keys_of(path)
    done = await compact(path)
    assert (done.files_before, done.files) == (4, 2)
    assert files_of(path) == ["other-00000001.parquet", "part-00000004.parquet"]
    assert keys_of(path) == keys
    times = pq.read_table(path / "part-00000004.parquet")["timestamp"].to_pylist()
    assert times == sorted(times)
    await fill(path, group(message("a", 4)))
    assert len(files_of(path)) == 2
    assert dataset(path).count_rows() == 8


async def test_a_compacted_store_is_left_alone(path: Path) -> None:
    """No file is written, so that its readers are not disturbed."""
    await compact(path)
    inode = os.stat(path).st_ino
    done = await compact(path)
    assert (done.files_before, done.files) == (2, 2)
    assert os.stat(path).st_ino == inode


async def test_another_layout(path: Path) -> None:
    """The rows get folders by device, and back; the next job goes on so."""
    keys = keys_of(path)
    await compact(path, partition_by="device")
    assert {name.partition("/")[0] for name in files_of(path)} == {f"device={d}" for d in "abc"}
    assert keys_of(path) == keys
    await fill(path, group(message("a", 4)))
    await compact(path, partition_by="day")
    assert not [name for name in files_of(path) if "/" in name]
    assert dataset(path).count_rows() == 8


@pytest.mark.parametrize("exchange", [False, True])
async def test_a_kill_at_any_step(
    path: Path, exchange: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The store is as it was or compacted at each step, and a next job finds it so."""
    keys = keys_of(path)
    if not exchange:
        monkeypatch.setattr(swap, "_exchanged", lambda one, other: False)
    names = ("replace", "rename", "mkdir", "link", "fsync", "rmdir")
    steps = copied_before(monkeypatch, path, *names)
    await compact(path)
    monkeypatch.undo()
    assert len(steps) > 8
    for step in dict.fromkeys([*steps[:: sized(2, 1)], steps[-1]]):
        if exchange:
            assert keys_of(step) == keys  # a plain reader's view
        assert (await state_of(step)).cursors.keys() == {"a", "b"}
        assert keys_of(step) == keys
        await fill(step, group(message("a", 4)))
        assert dataset(step).count_rows() == 8


async def test_a_reader_with_an_old_list_gets_an_error(path: Path) -> None:
    """It never reads other rows."""
    listed = dataset(path)
    await compact(path)
    with pytest.raises(FileNotFoundError):
        listed.to_table()


async def test_a_reader_with_an_open_file_reads_on(path: Path) -> None:
    """It has the file's rows to the end, though the file is deleted."""
    name, *_ = files_of(path)
    rows = pq.read_table(path / name)
    with pq.ParquetFile(path / name, buffer_size=4096) as opened:
        await compact(path, partition_by="device")
        assert not (path / name).exists()
        assert opened.read().equals(rows)


async def test_a_store_in_use_is_refused(path: Path) -> None:
    """Whichever part a job writes, also a new one."""
    found = files_of(path)
    for part in ("part", "new"):
        store = await begun(path, part=part)
        with pytest.raises(StoreInUseError, match="is being written by another job"):
            await compact(path)
        assert files_of(path) == found
        await store.close()


async def test_no_store(tmp_path: Path) -> None:
    """The error names it, and nothing is made."""
    with pytest.raises(ConfigurationError, match="there is no Parquet store"):
        await compact(tmp_path / "x.parquet")
    assert os.listdir(tmp_path) == []
