"""The Parquet store: its files, which of them count, and folders that it refuses."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import duckdb
import pyarrow.parquet as pq
import pytest
from attrs import evolve
from pyarrow.dataset import dataset

from iottly_async.clock import SYSTEM_CLOCK, SystemClock
from iottly_async.errors import ConfigurationError, StoreError
from iottly_async.ingest import Group, Rejected, StoredState
from iottly_async.ingest.grid import TimeGrid
from iottly_async.ingest.stores import ParquetStore
from iottly_async.ingest.stores.parquet import store as parquet
from iottly_async.ingest.stores.parquet.merge import LEAST_GROUP
from iottly_async.ingest.stores.parquet.schema import PartitionBy
from iottly_async.models import Cursor, Message, MessageType
from iottly_async.models._time import epoch_ms
from tests.support.canary import CANARY
from tests.support.scale import sized

SECOND: Final = timedelta(seconds=1)


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


def files_of(path: Path, pattern: str = "**/*.parquet") -> list[str]:
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


async def begun(path: Path, **options: Any) -> ParquetStore:
    """An open store with a plan."""
    store = ParquetStore(path, **options)
    await store.open()
    await store.begin("a plan")
    return store


async def fill(path: Path, *groups: Group, **options: Any) -> None:
    """Write groups to a store, each with a flush."""
    store = ParquetStore(path, **options)
    try:
        await store.open()
        await store.begin("a plan")
        for one in groups:
            await store.write(one)
            await store.flush()
    finally:
        await store.close()


def copy_of(path: Path) -> Path:
    """A copy of a store as it is now."""
    folder = Path(tempfile.mkdtemp(dir=path.parent))
    for each in (path, state_folder(path)):
        if each.exists():
            shutil.copytree(each, folder / each.name)
    (folder / f"{path.name}.ingest/part.lock").unlink(missing_ok=True)
    return folder / path.name


def copied_before(monkeypatch: pytest.MonkeyPatch, path: Path, *names: str) -> list[Path]:
    """Copy a store before each call of functions of `os`, as a kill at that step leaves it.

    Args:
        monkeypatch: Its `undo` ends the copying.
        path: The store.
        names: The functions.

    Returns:
        The copies, to which each call adds one.
    """
    copies: list[Path] = []
    copying = False

    def copying_first(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            nonlocal copying
            if not copying:  # a copy calls these functions, too
                copying = True
                copies.append(copy_of(path))
                copying = False
            return function(*arguments, **named)

        return call

    for name in names:
        monkeypatch.setattr(os, name, copying_first(getattr(os, name)))
    return copies


async def test_jobs_add_to_one_file(path: Path) -> None:
    """The rows of two jobs are in one file, in order of day, device and time."""
    await fill(path, group(message("a", 1, hour=23), message("b", 1), message("a", 1, hour=0)))
    await fill(path, group(message("a", 1), message("a", 2), message("b", 1, hour=9)))
    assert files_of(path) == ["part-00000001.parquet"]
    rows = pq.read_table(path).to_pylist()
    assert [(row["timestamp"].day, row["device_id"], row["timestamp"].hour) for row in rows] == [
        *((1, "a", hour) for hour in (0, 12, 23)),
        *((1, "b", hour) for hour in (9, 12)),
        (2, "a", 12),
    ]


async def test_a_folder_for_each_device(path: Path) -> None:
    """With `partition_by="device"`, a later job that names no layout goes on with it."""
    odd = "gate: 7=ü*"
    await fill(path, group(message("a", 1), message(odd, 1)), partition_by="device")
    await fill(path, group(message(odd, 2), message("c", 2)))
    assert files_of(path) == [
        "device=a/part-00000001.parquet",
        "device=c/part-00000003.parquet",
        f"device={quote(odd, safe='')}/part-00000002.parquet",
    ]
    rows = dataset(path, partitioning="hive").to_table().to_pylist()
    assert len(rows) == 4
    assert all(row["device"] == row["device_id"] for row in rows)
    query = "SELECT payload FROM read_parquet($1, hive_partitioning = true) WHERE device = $2"
    assert len(duckdb.execute(query, [f"{path}/**/*.parquet", odd]).fetchall()) == 2


async def test_another_layout_is_refused(path: Path) -> None:
    """The error says which command changes the layout."""
    await fill(path, group(message("a", 1)))
    with pytest.raises(ConfigurationError, match=r"is divided by day: .* --partition-by device"):
        await fill(path, partition_by="device")


async def test_a_query_for_a_day_reads_its_row_groups_alone(path: Path) -> None:
    """The statistics of times prune days, and those of devices prune within a day."""
    times = [
        (device, day, minute) for device in "ab" for day in (1, 2) for minute in range(LEAST_GROUP)
    ]
    rows = [
        evolve(message(device, day), timestamp=datetime(2026, 1, day, tzinfo=UTC) + minute * SECOND)
        for device, day, minute in times
    ]
    await fill(path, group(*rows))
    metadata = pq.read_metadata(path / "part-00000001.parquet")
    names = metadata.schema.names
    device, time = names.index("device_id"), names.index("timestamp")
    groups = [metadata.row_group(index) for index in range(metadata.num_row_groups)]
    days = [(g.column(time).statistics.min.day, g.column(time).statistics.max.day) for g in groups]
    assert days == [(1, 1), (2, 2)]
    assert groups[0].column(device).statistics.min == "a"


async def test_a_full_file_gets_no_more_rows(path: Path) -> None:
    """A file is closed when it has the target's size; the next rows make a new one."""
    await fill(path, group(message("a", 1)), target_file_bytes=1)
    await fill(path, group(message("a", 2)), target_file_bytes=1)
    assert files_of(path) == ["part-00000001.parquet", "part-00000002.parquet"]


async def test_a_row_is_a_message(path: Path) -> None:
    """Times are in UTC, in milliseconds. The payload is as it arrived."""
    one = message("a", 1)
    await fill(path, group(one))
    (name,) = files_of(path)
    file = pq.ParquetFile(path / name)
    assert file.read().to_pylist() == [
        {
            "project_id": "p",
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
    assert file.schema_arrow.metadata[b"iottly_async.schema"] == b"2"


async def test_rejected_rows_are_in_files_of_their_own(path: Path) -> None:
    """They are lines with the reason and the bytes, and not in the folder of rows."""
    bad = Rejected(message=message("a", 1, b"\xff"), reason="because")
    one = group(message("a", 1))
    await fill(path, Group(messages=one.messages, rejected=[bad], cursors=one.cursors))
    (line,) = (state_folder(path) / "rejected/part.rejected.jsonl").read_text("utf-8").splitlines()
    row = json.loads(line)
    assert (row["payload_base64"], row["reason"], row["device_id"]) == ("/w==", "because", "a")
    assert files_of(path, "**/*.*") == files_of(path)


async def test_rows_are_durable_before_they_are_in_a_file(path: Path) -> None:
    """After a kill the next job finds rows and cursors, and puts the rows into a file."""
    store = await begun(path)
    await store.write(group(message("a", 1)))
    await store.flush()
    await store.write(group(message("a", 2)))
    copied = copy_of(path)  # as a kill leaves it
    await store.close()
    reader = ParquetStore(copied).reader()
    assert await reader.first() == epoch_ms(message("a", 1).timestamp)
    assert Cursor.from_json((await reader.state()).cursors["a"]).remaining == ((1, 99),)
    assert files_of(copied) == []
    await fill(copied, group(message("a", 2)))
    assert [row["timestamp"].day for row in pq.read_table(copied).to_pylist()] == [1, 2]


@pytest.mark.parametrize("partition_by", ["day", "device"])
async def test_a_kill_at_any_step_of_a_cut(
    path: Path, partition_by: PartitionBy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Readers find each row once or not yet at each step, ours all rows; a next job ends it."""
    await fill(path, group(message("a", 1), message("b", 1)), partition_by=partition_by)
    store = await begun(path)
    await store.write(group(message("a", 2), message("b", 2), message("c", 2)))
    await store.flush()
    steps = copied_before(monkeypatch, path, "replace", "unlink", "fsync", "mkdir")
    await store.close()
    monkeypatch.undo()
    assert len(steps) > 8
    for step in [*steps[:: sized(2, 1)], path]:
        for number in range(2):
            rows = dataset(step).to_table().to_pylist() if number else []
            keys = [row["key"] for row in rows]
            assert len(keys) == len({*keys})
            assert number == 0 or len(keys) == 5 or step != path
            grid = TimeGrid.over(epoch_ms(message("a", 1).timestamp), 1 << 42, 1)
            counts = await ParquetStore(step).reader().counts(grid)
            assert {name: sum(bins) for name, bins in counts.items()} == {"a": 2, "b": 2, "c": 1}
            await fill(step)
        assert dataset(step).count_rows() == 5


async def test_readers_find_rows_after_half_a_minute(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A flush puts them into a file then, though nothing was written since."""
    store = await begun(path)
    now = SYSTEM_CLOCK.monotonic()
    monkeypatch.setattr(SystemClock, "monotonic", lambda _: now)
    await store.write(group(message("a", 1)))
    assert not store.awaits_flush
    await store.flush()
    assert store.awaits_flush
    assert files_of(path) == []
    now += parquet.READABLE_AFTER
    await store.flush()
    assert not store.awaits_flush
    assert dataset(path).count_rows() == 1
    await store.close()


async def test_a_long_log_becomes_files(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that the disk need not hold every row twice."""
    monkeypatch.setattr(parquet, "LOG_BYTES", 2_000)
    store = await begun(path)
    await store.write(group(message("a", 1)))
    assert files_of(path) == []
    await store.write(group(message("a", 2)))
    assert dataset(path).count_rows() == 2
    assert not store.awaits_flush
    await store.close()


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
    assert dataset(path).count_rows() == 2


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
    with pytest.raises(ConfigurationError, match="is not a state file of version 2"):
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
    await fill(path, group(message("a", 1)), partition_by="device")
    store = await begun(path)
    (path / "device=b").write_text("in the way")
    await store.write(group(message("b", 1)))
    await store.flush()
    with pytest.raises(StoreError, match="Not a directory"):
        await store.close()
    (path / "device=b").unlink()
    assert (await state_of(path)).cursors.keys() == {"a", "b"}
    await fill(path)
    assert dataset(path).count_rows() == 2


async def test_a_manifest_of_another_time_is_refused(path: Path) -> None:
    """A file that it does not count is not replaced; the error says what to do."""
    await fill(path, group(message("a", 1)))
    manifest = (state_folder(path) / "part.json").read_bytes()
    for day in (2, 3):
        await fill(path, group(message("a", day)), target_file_bytes=1)
    before = files_of(path)
    (state_folder(path) / "part.json").write_bytes(manifest)
    with pytest.raises(ConfigurationError, match=r"is not the manifest that .* belongs to"):
        await state_of(path)
    (state_folder(path) / "part.pending").unlink()
    with pytest.raises(StoreError, match=r"exists already, and .* does not count it"):
        await fill(path, group(message("a", 4)), target_file_bytes=1)
    assert files_of(path) == before


async def test_a_manifest_that_lost_its_last_lines_is_refused(path: Path) -> None:
    """Its cursors are older than the files, whose rows would be stored again."""
    await fill(path, group(message("a", 1)))
    manifest = state_folder(path) / "part.json"
    first, *_ = manifest.read_bytes().splitlines(keepends=True)
    manifest.write_bytes(first)
    store = ParquetStore(path)
    with pytest.raises(ConfigurationError, match="it is an old one"):
        await store.open()
    await store.close()
