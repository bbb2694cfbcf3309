"""Paths that are accepted, and those that are refused before anything is created."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from iottly_async.errors import ConfigurationError
from iottly_async.ingest import open_store
from iottly_async.ingest.coverage import survey
from iottly_async.ingest.partitions import Partition, run_partition
from iottly_async.ingest.stores import DuckDBStore, JSONLinesStore, ParquetStore

STORES: list[Callable[[str], object]] = [DuckDBStore, JSONLinesStore, ParquetStore, open_store]
REFUSED = {
    "x\0y.jsonl": "holds a character that no path can",
    "\ud800.jsonl": "holds a character that no path can",
    "s3://bucket/x.jsonl": "'s3://bucket/x.jsonl'",
    "": "is empty",
}
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
