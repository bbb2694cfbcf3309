"""`iottly compact`: fewer files in a Parquet store."""

from __future__ import annotations

import asyncio
from pathlib import Path

from tests.ingest.stores.test_parquet import files_of, fill, group, message

from .conftest import Run


def test_small_files_become_one(iottly: Run, tmp_path: Path) -> None:
    """The record says how many files there are now, and were before."""
    path = tmp_path / "telemetry.parquet"
    for day in (1, 2):
        asyncio.run(fill(path, group(message("a", day)), target_file_bytes=1))
    done = iottly("compact", str(path), "--partition-by", "device")
    (record,) = done.records
    assert (done.code, record["files_before"], record["files"]) == (0, 2, 1)
    assert files_of(path) == ["device=a/part-00000003.parquet"]


def test_a_folder_of_something_else(iottly: Run, tmp_path: Path) -> None:
    """The error says that there is no store."""
    done = iottly("compact", str(tmp_path))
    assert (done.code, done.out) == (2, "")
    assert "there is no Parquet store" in done.err
