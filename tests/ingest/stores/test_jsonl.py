"""The JSON lines store: which lines count, and files that it refuses."""

from __future__ import annotations

import json
import os
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import pytest
from zstandard import ZstdDecompressor

from iottly_async import Config, IottlySession, RateLimiter
from iottly_async.emulator import Emulator
from iottly_async.errors import ConfigurationError, StoreError
from iottly_async.ingest import Group, IngestJob, Rejected
from iottly_async.ingest.stores import JSONLinesStore
from iottly_async.models import Cursor, Message


def group(second: int) -> Group:
    """A valid message and a rejected one, with a cursor."""
    time = datetime(2026, 1, 1, 12, 0, second, tzinfo=UTC)
    good = Message(device_id="d", timestamp=time, payload_json=b'{"a":1.50}')
    bad = Message(device_id="d", timestamp=time, payload_json=b"\xff")
    cursor = Cursor(
        project_id="p",
        device_id="d",
        type="all",
        order="asc",
        start=None,
        end=None,
        remaining=((second, 99),),
        pinned_end=99,
    )
    return Group(
        messages=[good],
        rejected=[Rejected(message=bad, reason="because")],
        cursors={"d": cursor},
    )


async def killed_after_one_flush(path: Path) -> None:
    """Make a store whose first group was flushed and whose second was not."""
    store = JSONLinesStore(path)
    await store.open()
    await store.begin("a plan")
    await store.write(group(1))
    await store.flush()
    await store.write(group(2))
    await store.close()


def text_of(path: Path, *, suffix: str = "") -> str:
    """The content of a file of the store."""
    return Path(f"{path}{suffix}").read_text("utf-8")


def put(path: Path, text: str, *, suffix: str = "") -> None:
    """Write a file of the store."""
    Path(f"{path}{suffix}").write_text(text, "utf-8")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The path of a store that does not exist yet."""
    return tmp_path / "telemetry.jsonl"


async def test_lines_without_a_cursor_after_them_are_cut_off(path: Path) -> None:
    """Opening a store cuts lines and rejected lines back to the last flush."""
    await killed_after_one_flush(path)
    store = JSONLinesStore(path)
    state = await store.open()
    await store.close()
    assert state.plan == "a plan"
    assert state.cursors == {"d": group(1).cursors["d"].to_json()}
    lines = [json.loads(line) for line in text_of(path).splitlines()]
    assert [line["timestamp"] for line in lines] == ["2026-01-01T12:00:01.000Z"]
    aside = text_of(path, suffix=".rejected").splitlines()
    rejected = [json.loads(line) for line in aside]
    assert [(row["payload_base64"], row["reason"]) for row in rejected] == [("/w==", "because")]


async def test_a_line_is_a_message(path: Path) -> None:
    """A line has the model's names, ISO times and the payload as it arrived."""
    await killed_after_one_flush(path)
    line = text_of(path).splitlines()[0]
    key = group(1).messages[0].key
    assert line == (
        f'{{"key":"{key}","device_id":"d","timestamp":"2026-01-01T12:00:01.000Z",'
        '"device_timestamp":null,"type":null,"channel":null,"payload":{"a":1.50},"extra":null}'
    )


async def test_rejected_lines_that_were_not_flushed_are_cut_off(path: Path) -> None:
    """This includes the first ones, which the sidecar does not know."""
    store = JSONLinesStore(path)
    await store.open()
    await store.begin("a plan")
    await store.write(group(1))
    await store.close()
    store = JSONLinesStore(path)
    await store.open()
    await store.close()
    assert text_of(path) == text_of(path, suffix=".rejected") == ""


async def test_a_file_of_something_else_is_refused(path: Path) -> None:
    """A file of lines without a sidecar is not changed."""
    put(path, '{"mine": 1}\n')
    store = JSONLinesStore(path)
    with pytest.raises(ConfigurationError, match="no cursor beside it"):
        await store.open()
    await store.close()
    assert text_of(path) == '{"mine": 1}\n'


async def test_a_file_that_lost_lines_is_refused(path: Path) -> None:
    """A file that is shorter than its sidecar says was altered."""
    await killed_after_one_flush(path)
    put(path, "")
    store = JSONLinesStore(path)
    with pytest.raises(ConfigurationError, match="has 0 bytes, and its cursor says"):
        await store.open()
    await store.close()


@pytest.mark.parametrize("text", ["", "{}", '{"version":9,"plan":null}', "not JSON"])
async def test_a_malformed_sidecar_is_refused(path: Path, text: str) -> None:
    """A sidecar of another version, or of something else, is not overwritten."""
    put(path, text, suffix=".cursor")
    store = JSONLinesStore(path)
    with pytest.raises(ConfigurationError, match="is not a state file of version 1"):
        await store.open()
    await store.close()


async def test_a_folder_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    """The error names the store and the system's reason."""
    store = JSONLinesStore(tmp_path / "no" / "x.jsonl")
    with pytest.raises(ConfigurationError, match="cannot be opened: No such file"):
        await store.open()
    await store.close()


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="only Linux has a full device")
async def test_a_full_disk_is_a_store_error(path: Path) -> None:
    """The error has the system's reason, and is one of this library."""
    os.symlink("/dev/full", path)
    store = JSONLinesStore(path)
    await store.open()
    with pytest.raises(StoreError, match="No space left on device"):
        await store.write(group(1))
    await store.close()


async def test_an_export_becomes_an_emulated_fleet(tmp_path: Path) -> None:
    """An emulator that loads the file of a job has the same messages."""
    path = tmp_path / "telemetry.jsonl"
    async with (
        Emulator(devices=3, messages=300) as emulator,
        IottlySession(
            emulator.api_key, config=Config(base_url=emulator.base_url), limiter=RateLimiter()
        ) as session,
    ):
        await IngestJob(session, project=emulator.project_id, store=str(path)).run()
        async with Emulator(jsonl=path) as other:
            assert set(other.device_ids) <= set(emulator.device_ids)
            for device_id in other.device_ids:
                assert _contents(other, device_id) == _contents(emulator, device_id)


def _contents(emulator: Emulator, device_id: str) -> Counter[tuple[object, ...]]:
    """The contents of a device's messages. Those of one millisecond have no order (D6)."""
    return Counter(
        (
            row["timestamp"],
            row["devicetimestamp"],
            row["type"],
            row["channel"],
            json.dumps(row["payload"]),
        )
        for row in emulator.stored(device_id)
    )


async def test_compressed_lines_are_cut_to_a_frames_end(tmp_path: Path) -> None:
    """A file that ends in .zst has the same lines, one frame a group. Whole frames are cut off."""
    plain, packed = tmp_path / "x.jsonl", tmp_path / "x.jsonl.zst"
    for path in (plain, packed):
        await killed_after_one_flush(path)
    assert lines_of_frames(packed) == text_of(plain).splitlines()
    for path in (plain, packed):
        store = JSONLinesStore(path)
        await store.open()
        await store.write(group(3))
        await store.flush()
        await store.close()
    assert lines_of_frames(packed) == text_of(plain).splitlines()
    assert len(lines_of_frames(packed)) == 2


def lines_of_frames(path: Path) -> list[str]:
    """The lines of a compressed file, over all its frames."""
    reader = ZstdDecompressor().stream_reader(path.read_bytes(), read_across_frames=True)
    text: bytes = reader.read()
    return text.decode().splitlines()
