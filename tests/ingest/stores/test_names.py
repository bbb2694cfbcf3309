"""Paths that are accepted, and those that are refused before anything is created."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from iottly_async.emulator import EmulatorSettings
from iottly_async.errors import ConfigurationError
from iottly_async.ingest import open_store
from iottly_async.ingest.coverage import survey
from iottly_async.ingest.partitions import Partition, run_partition
from iottly_async.ingest.stores import DuckDBStore, JSONLinesStore, ParquetStore
from iottly_async.ingest.stores.names import checked_path
from iottly_async.integrations.dask import run, submit

STORES: list[Callable[[str], object]] = [DuckDBStore, JSONLinesStore, ParquetStore, open_store]
REFUSED = {
    "x\0y.jsonl": "holds a character that no path can",
    "\ud800.jsonl": "holds a character that no path can",
    "s3://bucket/x.jsonl": "'s3://bucket/x.jsonl'",
    "": "is empty",
}
NO_CLIENT: Any = None
PARTITION = Partition(
    id="000000-ab",
    project="p",
    key_env="KEY",
    redis_env=None,
    base_url="http://127.0.0.1:9",
    type="all",
    concurrency=1,
    windows=(),
)


@pytest.mark.parametrize("store", STORES)
@pytest.mark.parametrize("path", REFUSED)
def test_a_text_that_is_no_path_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, store: Callable[[str], object], path: str
) -> None:
    """Every store says what is wrong, and creates no folder of that name."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigurationError) as refused:
        store(path)
    assert REFUSED[path] in str(refused.value)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("path", REFUSED)
async def test_partitions_and_coverage_refuse_it_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    """A partition is not run into a local folder called "s3:"."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigurationError):
        await survey(path)
    with pytest.raises(ConfigurationError) as refused:
        await run_partition(PARTITION, path)
    assert REFUSED[path] in str(refused.value)
    assert os.listdir(tmp_path) == []


def test_a_colon_in_a_path_is_no_scheme(tmp_path: Path) -> None:
    """A drive letter and a file name may have one."""
    for path in (tmp_path / "12:30.jsonl", r"C:\data\x.jsonl", "jsonl:12:30"):
        assert isinstance(open_store(path), JSONLinesStore)


@pytest.mark.parametrize(
    "path", ["s3://bucket/x", Path("s3://bucket/x"), "file:///srv/x", "a\0b", ""]
)
@pytest.mark.parametrize(
    "take",
    [
        DuckDBStore,
        JSONLinesStore,
        ParquetStore,
        lambda path: checked_path(path, name="path"),
        lambda path: EmulatorSettings(database=path),
        lambda path: EmulatorSettings(jsonl=path),
        lambda path: submit(NO_CLIENT, [], path),
        lambda path: run(NO_CLIENT, [], path),
    ],
    ids=["DuckDB", "JSON lines", "Parquet", "helper", "database", "jsonl", "submit", "run"],
)
def test_what_is_no_path_is_refused(take: Callable[[Any], Any], path: Any) -> None:
    """It would be a folder of that name on this machine. `pathlib` hides one of the slashes."""
    with pytest.raises(ValueError, match=r"path|holds a character|is empty"):
        take(path)


@pytest.mark.parametrize("kind", ["duckdb", "jsonl", "parquet"])
def test_a_url_after_the_kind_of_a_store_is_refused(kind: str) -> None:
    """`parquet:s3://bucket/x` is no path either."""
    with pytest.raises(ConfigurationError, match="must be a path"):
        open_store(f"{kind}:s3://bucket/x")


def test_a_colon_is_no_scheme() -> None:
    """A drive of Windows, and a time in a name, are paths."""
    for path in ("C:/data/x.jsonl", "C:\\data\\x", "runs/12:30/x", "at 12:30"):
        assert checked_path(path, name="path") == path
