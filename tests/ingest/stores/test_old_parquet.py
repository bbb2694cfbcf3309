"""Parquet stores that an earlier version made, with the job's own files among the rows."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from pyarrow.dataset import dataset

from iottly_async.errors import ConfigurationError, StoreError
from iottly_async.ingest import Group, Rejected
from iottly_async.ingest.stores import ParquetStore
from tests.support.stored_rows import rejected_of

from .test_parquet import files_of, fill, group, message, state_folder, state_of

PARTS = ["a", "b"]


@pytest.fixture
async def path(tmp_path: Path) -> Path:
    """The path of a store as an earlier version left it, with two parts and rejected rows."""
    path = tmp_path / "telemetry.parquet"
    for part in PARTS:
        bad = Rejected(message=message(part, 1, b"\xff"), reason="because")
        one = group(message(part, 1))
        both = Group(messages=one.messages, rejected=[bad], cursors=one.cursors)
        await fill(path, both, part=part)
    os.rename(state_folder(path), path / "_ingest")
    os.rename(path / "_ingest/rejected", path / "_rejected")
    for pending in (path / "_ingest").glob("*.pending"):
        pending.write_text(pending.read_text().replace('"rejected/', '"_rejected/'))
    return path


def everything(path: Path) -> dict[str, bytes]:
    """The content of all files at and beside a path."""
    files = sorted(each for each in path.parent.rglob("*") if each.is_file())
    return {str(each.relative_to(path.parent)): each.read_bytes() for each in files}


async def test_it_is_read_where_it_is(path: Path) -> None:
    """A reader finds cursors and rejected rows, and changes nothing."""
    before = everything(path)
    for part in PARTS:
        reader = ParquetStore(path, part=part).reader()
        assert (await reader.state()).cursors.keys() == {part}
        assert await reader.rejected() == {part: 1}
    assert everything(path) == before


async def test_a_job_moves_its_own_files(path: Path) -> None:
    """The other part is still read; after its job, only rows are in the folder."""
    for part in PARTS:
        assert (await state_of(path, part=part)).cursors.keys() == {part}
        for each in PARTS:
            assert await ParquetStore(path, part=each).reader().rejected() == {each: 1}
    assert files_of(path, "**/*.*") == files_of(path)
    assert os.listdir(path) == ["project=p"]
    assert len(rejected_of(path)) == 2
    await fill(path, group(message("a", 2)), part="a")
    assert dataset(path, partitioning="hive").count_rows() == 3


@pytest.mark.parametrize("moved", range(3))
async def test_a_crash_within_the_move(
    path: Path, moved: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next job moves the rest, and until then a reader finds everything."""
    replace, moves = os.replace, iter(range(moved))

    def fail(old: str, new: str) -> None:
        if next(moves, None) is None:
            raise OSError("crashed")
        replace(old, new)

    with monkeypatch.context() as patched:
        patched.setattr(os, "replace", fail)
        with pytest.raises(ConfigurationError, match="crashed"):
            await state_of(path, part="a")
    reader = ParquetStore(path, part="a").reader()
    assert (await reader.state()).cursors.keys() == {"a"}
    assert await reader.rejected() == {"a": 1}
    assert (await state_of(path, part="a")).cursors.keys() == {"a"}
    assert await reader.rejected() == {"a": 1}


async def test_an_unfinished_flush_is_undone(path: Path) -> None:
    """Files that the manifest does not count are deleted, rejected rows too."""
    for name in ("a.json", "a.pending"):
        file = path / "_ingest" / name
        whole = file.read_text()
        file.write_text(whole.splitlines(True)[0] if name == "a.json" else whole)
    for suffix in ("parquet", "jsonl"):
        assert files_of(path, f"**/a-*.{suffix}")
    (path / "_ingest/a-00000001-0.aside").touch()
    assert (await state_of(path, part="a")).cursors == {}
    assert not [*path.parent.rglob("a-*")]
    assert (await state_of(path, part="b")).cursors.keys() == {"b"}


async def test_a_job_of_an_earlier_version_is_not_disturbed(path: Path) -> None:
    """While it holds its lock, a new job is refused, and moves nothing."""
    shutil.copytree(path / "_ingest", path.parent / "x.ingest")
    old = ParquetStore(path.parent / "x", part="a")
    await old.open()
    os.rename(path.parent / "x.ingest/a.lock", path / "_ingest/a.lock")
    before = everything(path)
    with pytest.raises(StoreError, match="is being written by another job"):
        await state_of(path, part="a")
    assert everything(path) == before
    await old.close()


async def test_two_states_are_refused(path: Path) -> None:
    """A manifest in both places is an error that names them, and neither is changed."""
    await state_of(path, part="a")
    os.makedirs(path / "_ingest", exist_ok=True)
    shutil.copy(state_folder(path) / "a.json", path / "_ingest/a.json")
    before = everything(path)
    with pytest.raises(ConfigurationError, match="are of the same store, and only one"):
        await state_of(path, part="a")
    assert everything(path) == before
