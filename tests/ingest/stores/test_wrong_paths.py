"""Paths that no store can have: the error says what is wrong and what to do."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import pytest

from iottly_async.errors import ConfigurationError
from iottly_async.ingest import open_store
from iottly_async.ingest.coverage import survey

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="paths of POSIX")

SUFFIXES = ["duckdb", "jsonl", "jsonl.zst", "parquet"]


def opened(path: Path | str) -> None:
    """Open a store, as a job does before it sends a request."""

    async def opening() -> None:
        store = open_store(path)
        try:
            await store.open()
        finally:
            await store.close()

    asyncio.run(opening())


def error_of(path: Path | str) -> str:
    """The text of the error with which a store is refused."""
    with pytest.raises(ConfigurationError) as caught:
        opened(path)
    return str(caught.value)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_path_that_cannot_be_is_refused(tmp_path: Path, suffix: str) -> None:
    """A missing folder, a file as a folder, a name that is too long, a link to itself, a pipe."""
    (tmp_path / "file").touch()
    (tmp_path / f"loop.{suffix}").symlink_to(tmp_path / f"loop.{suffix}")
    os.mkfifo(tmp_path / f"pipe.{suffix}")
    before = sorted(tmp_path.rglob("*"))
    assert "folder does not exist: create it" in error_of(tmp_path / f"none/x.{suffix}")
    assert "a file where a folder is needed" in error_of(tmp_path / f"file/x.{suffix}")
    # Also a name that is only too long for the files that are written aside.
    for length in (300, 254 - len(suffix)) + (() if suffix == "parquet" else (225,)):
        assert "name a shorter path" in error_of(tmp_path / f"{'n' * length}.{suffix}")
    assert "is a link that leads to itself" in error_of(tmp_path / f"loop.{suffix}")
    assert "is a pipe or a socket" in error_of(tmp_path / f"pipe.{suffix}")
    assert sorted(tmp_path.rglob("*")) == before


def test_a_folder_is_no_file_and_a_file_is_no_folder(tmp_path: Path) -> None:
    """Neither is changed."""
    for suffix in ("jsonl", "jsonl.zst", "duckdb"):
        (tmp_path / f"folder.{suffix}").mkdir()
        text = error_of(tmp_path / f"folder.{suffix}")
        assert "a folder where a file is needed" in text
    (tmp_path / "file.parquet").write_text("mine")
    assert "a file where a folder is needed" in error_of(tmp_path / "file.parquet")
    assert (tmp_path / "file.parquet").read_text() == "mine"


@pytest.mark.parametrize(
    "text", ["", "x\0.jsonl", "jsonl:\ud800", "duckdb:", " ", "s3://x/y.jsonl"]
)
def test_a_text_that_is_no_path_is_refused(text: str) -> None:
    """By jobs and by coverage."""
    assert error_of(text)
    with pytest.raises(ConfigurationError):
        asyncio.run(survey(text))


def test_the_log_of_another_file_is_not_read_into_a_new_one(tmp_path: Path) -> None:
    """A DuckDB file that was deleted after a kill may leave its log. The error names it."""
    log = tmp_path / "telemetry.duckdb.wal"
    log.write_bytes(b"rows")
    assert repr(str(log)) in error_of(tmp_path / "telemetry.duckdb")
    assert log.read_bytes() == b"rows"
