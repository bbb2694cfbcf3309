"""Typed columns in the files of a Parquet store: all of them have the same, at any time."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.parquet as pq
import pytest

from iottly_async.errors import ConfigurationError
from iottly_async.ingest import Group, PayloadColumn
from iottly_async.ingest.stores import ParquetStore
from iottly_async.ingest.stores.parquet.compaction import compact
from iottly_async.ingest.stores.parquet.schema import PartitionBy
from iottly_async.models import Message, MessageType

NUMBER = PayloadColumn("n", "n", "number")
TEXT = PayloadColumn("name", "room.name", "text")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Of a store that does not exist."""
    return tmp_path / "telemetry.parquet"


def group(day: int, *payloads: Any) -> Group:
    """Messages of two devices on one day."""
    messages = [
        Message(
            device_id="ab"[place % 2],
            project_id="p",
            timestamp=datetime(2026, 1, day, 12, 0, 0, place * 1000, tzinfo=UTC),
            type=MessageType.USERDEFINED,
            payload_json=json.dumps(payload).encode(),
        )
        for place, payload in enumerate(payloads)
    ]
    return Group(messages=messages, rejected=[], cursors={})


async def begun(path: Path, columns: Sequence[PayloadColumn], **options: Any) -> ParquetStore:
    """A store that has begun, with these columns."""
    store = ParquetStore(path, **options)
    await store.open()
    await store.begin("plan")
    await store.keep_columns(columns)
    return store


async def fill(
    path: Path, columns: Sequence[PayloadColumn], *groups: Group, **options: Any
) -> None:
    """What a whole run does."""
    store = await begun(path, columns, **options)
    for each in groups:
        await store.write(each)
        await store.flush()
    await store.close()


def files_in(path: Path) -> list[Path]:
    """The files of rows."""
    return sorted(path.rglob("*.parquet"))


def read(path: Path) -> list[dict[str, Any]]:
    """The rows, in order of time, as a reader finds them that takes one schema for all files."""
    schemas = [pq.read_schema(file) for file in files_in(path)]
    assert all(schema.equals(schemas[0], check_metadata=True) for schema in schemas)
    with duckdb.connect() as db:
        rows = db.sql(f"FROM '{path}/**/*.parquet' ORDER BY timestamp, key").to_arrow_table()
    found: list[dict[str, Any]] = rows.to_pylist()
    return found


@pytest.mark.parametrize("partition_by", ["day", "device"])
async def test_files_get_the_columns_of_later_runs(path: Path, partition_by: PartitionBy) -> None:
    """They are written again, with the values of messages that were stored before."""
    options = {"partition_by": partition_by, "target_file_bytes": 1}
    await fill(path, [], group(1, {"n": 1}, {"room": {"name": "hall"}}), **options)
    await fill(path, [NUMBER], group(2, {"n": 2.5}, {"n": "two"}), **options)
    assert [row["n"] for row in read(path)] == [1, None, 2.5, None]
    before = files_in(path)
    await fill(path, [NUMBER, TEXT], **options)  # nothing new arrives
    assert files_in(path) == before
    assert [row["name"] for row in read(path)] == [None, "hall", None, None]
    await fill(path, [PayloadColumn("n", "room.name", "text")], **options)
    assert [row["n"] for row in read(path)] == [None, "hall", None, None]
    assert "name" not in read(path)[0]
    await fill(path, [NUMBER], **options)
    assert [row["n"] for row in read(path)] == [1, None, 2.5, None]


async def test_a_file_is_written_again_only_if_columns_change(path: Path) -> None:
    """A run that goes on leaves full files as they are."""
    await fill(path, [NUMBER], group(1, {"n": 1}), target_file_bytes=1)
    (first,) = files_in(path)
    inode = first.stat().st_ino
    await fill(path, [NUMBER], group(2, {"n": 2}), target_file_bytes=1)
    assert first.stat().st_ino == inode
    assert len(files_in(path)) == 2


async def test_a_type_may_be_found_late(path: Path) -> None:
    """The column is in no file before, and in all files after."""
    store = await begun(path, [PayloadColumn("n", "n")], target_file_bytes=1)
    await store.write(group(1, {"n": None}, {}))
    await store.flush()
    await store.settle()
    assert "n" not in read(path)[0]
    await store.keep_columns([NUMBER])
    await store.write(group(2, {"n": 2}))
    await store.flush()
    await store.close()
    assert [row["n"] for row in read(path)] == [None, None, 2]
    store = ParquetStore(path)
    assert (await store.open()).columns == {"n": NUMBER}
    await store.close()


async def test_stored_rows_show_a_type(path: Path) -> None:
    """Those in files, and those that a killed job left in its log."""
    columns = [PayloadColumn("n", "n"), PayloadColumn("name", "room.name")]
    await fill(path, [], group(1, {"n": 1}))
    store = await begun(path, [])
    await store.write(group(2, {"room": {"name": "hall"}}))
    await store.flush()
    assert await store.keep_columns(columns) == [NUMBER, TEXT]
    await store.close()
    assert [(row["n"], row["name"]) for row in read(path)] == [(1, None), (None, "hall")]


async def test_a_kill_while_files_get_a_column(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At any step, the next run ends it: one schema, and each row once with its value."""
    await fill(path, [], group(1, {"n": 1}), group(2, {"n": 2}), target_file_bytes=1)
    await fill(path, [], group(3, {"n": 3}), target_file_bytes=1)
    store = await begun(path, [NUMBER], target_file_bytes=1)
    await store.write(group(4, {"n": 4}))
    await store.flush()
    steps: list[Path] = []

    def copied(function: Any) -> Any:
        def call(*given: Any, **named: Any) -> Any:
            step = path.parent / str(len(steps)) / path.name
            shutil.copytree(path, step)
            lock = shutil.ignore_patterns("*.lock")
            shutil.copytree(f"{path}.ingest", f"{step}.ingest", ignore=lock)
            steps.append(step)
            return function(*given, **named)

        return call

    for name in ("replace", "unlink", "fsync"):
        monkeypatch.setattr(os, name, copied(getattr(os, name)))
    await store.close()
    monkeypatch.undo()
    assert len(steps) > 8
    for step in [*steps, path]:
        await fill(step, [NUMBER])
        assert [row["n"] for row in read(step)] == [1, 2, 3, 4]


@pytest.mark.parametrize("partition_by", ["day", "device"])
async def test_compacting_keeps_columns(path: Path, partition_by: PartitionBy) -> None:
    """Also where it divides the rows in another way."""
    for day in (1, 2, 3):
        await fill(path, [NUMBER], group(day, {"n": day}, {"n": True}), target_file_bytes=1)
    await compact(path, partition_by=partition_by)
    assert len(files_in(path)) < 3
    assert [row["n"] for row in read(path)] == [1, None, 2, None, 3, None]
    await fill(path, [NUMBER], group(4, {"n": 4}))
    assert read(path)[-1]["n"] == 4


async def test_other_parts_have_no_columns(path: Path) -> None:
    """One part would have files without them: the later job is refused, whichever it is."""
    await fill(path, [NUMBER], group(1, {"n": 1}))
    other = ParquetStore(path, part="other")
    with pytest.raises(ConfigurationError, match=r"made by part 'part'.*name another folder"):
        await other.open()
    await other.close()
    plain = path.with_name("plain.parquet")
    await fill(plain, [], group(1, {"n": 1}), part="one")
    store = ParquetStore(plain)
    await store.open()
    await store.begin("plan")
    with pytest.raises(ConfigurationError, match=r"other parts \(one\).*leave out columns"):
        await store.keep_columns([NUMBER])
    await store.close()


async def test_a_column_is_not_named_like_a_folder(path: Path) -> None:
    """Readers would find the device's id in its place."""
    store = ParquetStore(path)
    await store.open()
    await store.begin("plan")
    with pytest.raises(ConfigurationError, match="'device'; give yours another name"):
        await store.keep_columns([PayloadColumn("Device", "n")])
    await store.close()
