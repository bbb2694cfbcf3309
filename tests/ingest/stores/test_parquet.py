"""The Parquet store: its files, which of them count, and folders that it refuses."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import pyarrow.parquet as pq
import pytest
from pyarrow.dataset import dataset

from iottly_async.errors import ConfigurationError, StoreError
from iottly_async.ingest import Group, Rejected, StoredState
from iottly_async.ingest.stores import ParquetStore
from iottly_async.ingest.stores.parquet import store as parquet
from iottly_async.models import Cursor, Message, MessageType
from tests.support.canary import CANARY


def message(device_id: str, day: int, payload: bytes = b'{"a":1.50}', hour: int = 12) -> Message:
    """A message of a device."""
    return Message(
        device_id=device_id,
        project_id="p",
        timestamp=datetime(2026, 1, day, hour, 0, 0, 968000, tzinfo=UTC),
        type=MessageType.USERDEFINED,
        payload_json=payload,
    )


def group(*messages: Message) -> Group:
    """Messages with a cursor for each of their devices."""
    cursors = {
        one.device_id: Cursor(
            project_id="p",
            device_id=one.device_id,
            type="all",
            order="asc",
            start=None,
            end=None,
            remaining=((one.timestamp.day, 99),),
            pinned_end=99,
        )
        for one in messages
    }
    return Group(messages=list(messages), rejected=[], cursors=cursors)


def files_of(path: Path, pattern: str = "project=*/**/*.parquet") -> list[str]:
    """The paths of files within the store's folder."""
    return sorted(found.relative_to(path).as_posix() for found in path.glob(pattern))


def state_folder(path: Path) -> Path:
    """The folder of the job's own files."""
    return Path(f"{path}.ingest")


def put(path: Path, text: str) -> None:
    """Write a file, in a folder that need not exist."""
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)


async def state_of(path: Path, *, part: str = "part") -> StoredState:
    """The state of a store."""
    store = ParquetStore(path, part=part)
    try:
        return await store.open()
    finally:
        await store.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The path of a store that does not exist yet."""
    return tmp_path / "telemetry.parquet"


async def fill(path: Path, *groups: Group, part: str = "part") -> None:
    """Write groups to a store, each with a flush."""
    store = ParquetStore(path, part=part)
    await store.open()
    await store.begin("a plan")
    for one in groups:
        await store.write(one)
        await store.flush()
    await store.close()


async def test_a_day_of_a_device_is_a_folder(path: Path) -> None:
    """Files are in folders by project, device and day in UTC, and numbered by the flush."""
    await fill(
        path,
        group(message("a", 1, hour=0), message("a", 1, hour=23), message("b", 1)),
        group(message("a", 1), message("a", 2)),
    )
    assert files_of(path) == [
        "project=p/device=a/date=2026-01-01/part-00000001.parquet",
        "project=p/device=a/date=2026-01-01/part-00000002.parquet",
        "project=p/device=a/date=2026-01-02/part-00000002.parquet",
        "project=p/device=b/date=2026-01-01/part-00000001.parquet",
    ]


async def test_other_tools_read_the_folder(path: Path) -> None:
    """DuckDB and pyarrow read the folder as it is, with any ids in its names."""
    odd = "gate: 7=ü*"
    await fill(path, group(message("a", 1), message(odd, 2)))
    query = (
        "SELECT device, date, payload FROM read_parquet($1, hive_partitioning = true) "
        "WHERE date > '2026-01-01'"
    )
    found = duckdb.execute(query, [f"{path}/**/*.parquet"]).fetchall()
    assert found == [(odd, datetime(2026, 1, 2).date(), '{"a":1.50}')]  # noqa: DTZ001 - a date
    rows = dataset(path, partitioning="hive").to_table().to_pylist()
    assert [(row["device"], row["device_id"], row["project"]) for row in rows] == [
        ("a", "a", "p"),
        (odd, odd, "p"),
    ]


async def test_a_row_is_a_message(path: Path) -> None:
    """Times are in UTC, in milliseconds. The payload is as it arrived."""
    one = message("a", 1)
    await fill(path, group(one))
    (name,) = files_of(path)
    file = pq.ParquetFile(path / name)
    assert file.read().to_pylist() == [
        {
            "device_id": "a",
            "timestamp": one.timestamp,
            "device_timestamp": None,
            "type": "userdefined",
            "channel": None,
            "payload": '{"a":1.50}',
            "extra": None,
            "key": one.key,
        }
    ]
    assert file.schema_arrow.metadata[b"iottly_async.schema"] == b"1"


async def test_rejected_rows_are_in_files_of_their_own(path: Path) -> None:
    """They are lines with the reason and the bytes, and not in the folder of rows."""
    bad = Rejected(message=message("a", 1, b"\xff"), reason="because")
    one = group(message("a", 1))
    await fill(path, Group(messages=one.messages, rejected=[bad], cursors=one.cursors))
    (line,) = (state_folder(path) / "rejected/part-00000001.jsonl").read_text("utf-8").splitlines()
    row = json.loads(line)
    assert (row["payload_base64"], row["reason"], row["device_id"]) == ("/w==", "because", "a")
    assert files_of(path, "**/*.*") == files_of(path)


async def test_files_of_an_unfinished_flush_are_deleted(path: Path) -> None:
    """Their rows are fetched again, and the new files have the same names."""
    await fill(path, group(message("a", 1)))
    manifest = (state_folder(path) / "part.json").read_bytes()
    second = group(message("a", 1, hour=13), message("b", 2))
    await fill(path, second)
    # As after a kill before a line was added to the manifest.
    (state_folder(path) / "part.json").write_bytes(manifest)
    (state_folder(path) / "part-00000003-0.aside").write_bytes(b"half a file")
    assert len(files_of(path)) == 3
    state = await state_of(path)
    assert {name: Cursor.from_json(text).remaining for name, text in state.cursors.items()} == {
        "a": ((1, 99),)
    }
    assert files_of(path) == ["project=p/device=a/date=2026-01-01/part-00000001.parquet"]
    assert sorted(os.listdir(state_folder(path))) == ["part.json", "part.pending"]
    await fill(path, second)
    assert "project=p/device=b/date=2026-01-02/part-00000002.parquet" in files_of(path)
    assert dataset(path, partitioning="hive").count_rows() == 3


async def test_rows_in_memory_are_bounded(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store with many rows in memory makes files without a call of `flush`."""
    monkeypatch.setattr(parquet, "MOST_ROWS", 3)
    store = ParquetStore(path)
    await store.open()
    await store.write(group(message("a", 1), message("a", 2)))
    assert files_of(path) == []
    await store.write(group(message("a", 3)))
    assert len(files_of(path)) == 3
    await store.close()
    assert (await state_of(path)).cursors.keys() == {"a"}


async def test_parts_share_a_folder(path: Path) -> None:
    """Each part has its own files, plan and cursors. Both can be open at the same time."""
    one, other = ParquetStore(path, part="one"), ParquetStore(path, part="other")
    await one.open()
    await other.open()
    await one.begin("plan one")
    for store, device in ((one, "a"), (other, "b")):
        await store.write(group(message(device, 1)))
        await store.flush()
    await one.close()
    await other.close()
    assert (await state_of(path, part="one")).plan == "plan one"
    assert (await state_of(path, part="other")).cursors.keys() == {"b"}
    assert dataset(path, partitioning="hive").count_rows() == 2


async def test_a_part_is_written_by_one_job(path: Path) -> None:
    """A second job is refused while the first has the part open."""
    store = ParquetStore(path)
    await store.open()
    with pytest.raises(StoreError, match="is being written by another job"):
        await state_of(path)
    await store.close()


async def test_a_folder_of_something_else_is_refused(path: Path) -> None:
    """The folder is not changed."""
    put(path / "mine.txt", "mine")
    with pytest.raises(ConfigurationError, match="a folder with files of something else"):
        await state_of(path)
    assert os.listdir(path) == ["mine.txt"]


async def test_a_folder_without_its_state_is_refused(path: Path) -> None:
    """The error says that the folder beside it belongs to the store."""
    await fill(path, group(message("a", 1)))
    os.rename(path, path.parent / "moved.parquet")
    with pytest.raises(ConfigurationError, match=r"'moved\.parquet\.ingest' must be moved with it"):
        await state_of(path.parent / "moved.parquet")
    os.rename(f"{path}.ingest", path.parent / "moved.parquet.ingest")
    assert (await state_of(path.parent / "moved.parquet")).cursors.keys() == {"a"}


MOUNTED = """
mount -t tmpfs none "$1" && exec "$2" -m iottly_async ingest --project p --to "$1"
"""


def test_a_file_system_of_its_own_is_refused(path: Path) -> None:
    """Files cannot be renamed into it from beside it; the error names a folder that can be."""
    isolated = ["unshare", "--map-root-user", "--mount"]
    if shutil.which("unshare") is None or subprocess.run([*isolated, "true"]).returncode:
        pytest.skip("needs the command unshare, and the right to mount")
    path.mkdir()
    done = subprocess.run(
        [*isolated, "sh", "-c", MOUNTED, "sh", path, sys.executable],
        env=os.environ | {"IOTTLY_API_KEY": CANARY, "COLUMNS": "400"},
        capture_output=True,
        text=True,
    )
    assert f"name a folder in it, such as '{path}/telemetry.parquet'" in done.stderr
    assert os.listdir(path.parent) == [path.name]


@pytest.mark.parametrize("text", ["", "{}", '{"version":9}', "not JSON"])
async def test_a_malformed_manifest_is_refused(path: Path, text: str) -> None:
    """A manifest of another version, or of something else, is not overwritten."""
    await fill(path)
    (state_folder(path) / "part.json").write_text(text)
    with pytest.raises(ConfigurationError, match="is not a state file of version 1"):
        await state_of(path)
    assert (state_folder(path) / "part.json").read_text() == text


async def test_a_file_is_not_a_store(path: Path) -> None:
    """A file in the place of the folder is refused."""
    put(path, "a file")
    with pytest.raises(ConfigurationError, match="cannot be opened: Not a directory"):
        await state_of(path)


async def test_a_folder_that_cannot_be_created_is_refused(tmp_path: Path) -> None:
    """The error names the store and the system's reason."""
    with pytest.raises(ConfigurationError, match="cannot be opened: No such file"):
        await state_of(tmp_path / "no" / "x.parquet")


async def test_a_folder_that_can_no_longer_be_written_is_a_store_error(path: Path) -> None:
    """The error has the system's reason. What was stored before is still right."""
    await fill(path, group(message("a", 1)))
    store = ParquetStore(path)
    await store.open()
    (path / "project=p/device=b").write_text("in the way")
    await store.write(group(message("b", 1)))
    with pytest.raises(StoreError, match="Not a directory"):
        await store.flush()
    await store.close()
    (path / "project=p/device=b").unlink()
    assert (await state_of(path)).cursors.keys() == {"a"}
    assert len(files_of(path)) == 1
