"""Parquet stores that an earlier version made: a file for each device, day and flush."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow.dataset import dataset

from iottly_async.arrow import record_batch
from iottly_async.errors import ConfigurationError, StoreError
from iottly_async.ingest import Rejected
from iottly_async.ingest.stores import ParquetStore
from iottly_async.ingest.stores.rejected_lines import rejected_lines_of
from iottly_async.models import Message
from tests.support.scale import sized
from tests.support.stored_rows import rejected_of

from .test_parquet import (
    copied_before,
    files_of,
    fill,
    group,
    message,
    state_folder,
    state_of,
)

PARTS = ["a", "b"]


def old_flush(path: Path, part: str, flush: int, *messages: Message) -> None:
    """Write the files of a flush as the earlier version did, with a rejected row."""
    files = []
    for one in messages:
        folder = f"project=p/device={one.device_id}/date={one.timestamp.date()}"
        (path / folder).mkdir(parents=True, exist_ok=True)
        files.append(f"{folder}/{part}-{flush:08d}.parquet")
        table = pa.Table.from_batches([record_batch([one])]).drop_columns(["project_id"])
        pq.write_table(table, path / files[-1])
    files.append(f"rejected/{part}-{flush:08d}.jsonl")
    rejected = state_folder(path) / files[-1]
    rejected.parent.mkdir(parents=True, exist_ok=True)
    bad = Rejected(message=message(part, flush, b"\xff"), reason="because")
    rejected.write_bytes(rejected_lines_of([bad]))
    put(path, f"{part}.pending", {"flush": flush, "files": files, "id": "i"})


def put(path: Path, name: str, content: dict[str, Any]) -> None:
    """Write a file of the job's own."""
    text = json.dumps(content, separators=(",", ":"))
    (state_folder(path) / name).write_text(f"{text}\n" if name.endswith("json") else text)


def old_manifest(path: Path, part: str, flush: int) -> None:
    """Write the manifest of the earlier version."""
    state = group(message(part, flush)).cursors
    cursors = {device: cursor.to_json() for device, cursor in state.items()}
    head = {"version": 1, "id": "i", "change": 0, "plan": "a plan", "cursors": cursors}
    put(path, f"{part}.json", head | {"flush": flush, "rows": flush, "rejected": flush})


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The path of a store of two parts; the second flush of the first did not reach its end."""
    path = tmp_path / "telemetry.parquet"
    for part in PARTS:
        old_flush(path, part, 1, message(part, 1), message("both", 1))
        old_manifest(path, part, 1)
    old_flush(path, "a", 2, message("a", 2))
    return path


@pytest.fixture
def first_layout(path: Path) -> Path:
    """The same as the first versions left it, with the job's own files among the rows."""
    os.rename(state_folder(path), path / "_ingest")
    os.rename(path / "_ingest/rejected", path / "_rejected")
    for pending in (path / "_ingest").glob("*.pending"):
        pending.write_text(pending.read_text().replace('"rejected/', '"_rejected/'))
    return path


def everything(path: Path) -> dict[str, bytes]:
    """The content of all files at and beside a path."""
    files = sorted(each for each in path.parent.rglob("*") if each.is_file())
    return {str(each.relative_to(path.parent)): each.read_bytes() for each in files}


async def assert_converted(path: Path) -> None:
    """All parts are whole, in the layout of today."""
    assert files_of(path) == ["a-00000001.parquet", "b-00000001.parquet"]
    rows = dataset(path).to_table().to_pylist()
    assert sorted((row["project_id"], row["device_id"]) for row in rows) == [
        *(("p", "a"), ("p", "b"), ("p", "both"), ("p", "both"))
    ]
    assert sorted(os.listdir(state_folder(path))) == ["a.json", "b.json", "rejected"]
    assert len(rejected_of(path)) == 2
    for part in PARTS:
        reader = ParquetStore(path, part=part).reader()
        assert (await reader.state()).cursors.keys() == {part}
        assert await reader.rejected() == {part: 1}


@pytest.mark.parametrize("layout", ["first_layout", "path"])
async def test_the_next_job_converts_it(layout: str, request: pytest.FixtureRequest) -> None:
    """Rows of an unfinished flush are deleted, and what is added goes on in the same files."""
    path = request.getfixturevalue(layout)
    assert (await state_of(path, part="a")).cursors.keys() == {"a"}
    await assert_converted(path)
    await fill(path, group(message("a", 2)), part="a")
    assert files_of(path) == ["a-00000001.parquet", "b-00000001.parquet"]
    assert dataset(path).count_rows() == 5


@pytest.mark.parametrize("layout", ["first_layout", "path"])
async def test_a_crash_within_the_conversion(
    layout: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At each step, readers find all rows, and the next job does the rest."""
    path = request.getfixturevalue(layout)
    steps = copied_before(monkeypatch, path, "replace", "unlink", "rename", "mkdir")
    await state_of(path, part="a")
    monkeypatch.undo()
    assert len(steps) > 8
    for step in dict.fromkeys([*steps[:: sized(3, 1)], steps[-1]]):
        rows = dataset(step, partitioning="hive").to_table(columns=["key"]).to_pylist()
        assert len(rows) in (4, 5)
        for part in reversed(PARTS):
            await state_of(step, part=part)
        await assert_converted(step)


async def test_a_reader_says_what_to_do(path: Path) -> None:
    """It changes nothing."""
    found = everything(path)
    with pytest.raises(ConfigurationError, match="convert it by iottly compact"):
        await ParquetStore(path, part="a").reader().state()
    assert everything(path) == found


async def test_a_job_of_another_part_is_not_disturbed(path: Path) -> None:
    """While it holds its lock, a new job is refused, and converts nothing."""
    shutil.copytree(state_folder(path), path.parent / "x.ingest")
    (path.parent / "x").mkdir()
    other = ParquetStore(path.parent / "x", part="c")
    (path.parent / "x.ingest/a.json").unlink()
    (path.parent / "x.ingest/b.json").unlink()
    await other.open()
    os.rename(path.parent / "x.ingest/c.lock", state_folder(path) / "b.lock")
    found = everything(path)
    with pytest.raises(StoreError, match="is being written by another job"):
        await state_of(path, part="a")
    assert everything(path) == found
    await other.close()


async def test_two_states_are_refused(first_layout: Path) -> None:
    """A manifest in both places is an error that names them, and neither is changed."""
    state_folder(first_layout).mkdir()
    shutil.copy(first_layout / "_ingest/a.json", state_folder(first_layout) / "a.json")
    found = everything(first_layout)
    with pytest.raises(ConfigurationError, match="are of the same store, and only one"):
        await state_of(first_layout, part="a")
    assert everything(first_layout) == found


@pytest.mark.parametrize("name", ["../../x/a-00000002.parquet", "project=p/mine.parquet"])
async def test_no_file_of_something_else_is_deleted(path: Path, name: str) -> None:
    """A list of files that was altered is refused."""
    put(path, "a.pending", {"flush": 2, "files": [name], "id": "i"})
    found = everything(path)
    with pytest.raises(ConfigurationError, match="was not written by this library"):
        await state_of(path, part="a")
    assert everything(path) == found
