"""The JSON lines store: what of its files counts, and files that it will not take."""

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
    """A good message and a bad one, with a cursor."""
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
    """A store of which the first group was flushed and the second was not."""
    store = JSONLinesStore(path)
    await store.open()
    await store.begin("a plan")
    await store.write(group(1))
    await store.flush()
    await store.write(group(2))
    await store.close()


def text_of(path: Path, *, suffix: str = "") -> str:
    """What a file of the store holds."""
    return Path(f"{path}{suffix}").read_text("utf-8")


def put(path: Path, text: str, *, suffix: str = "") -> None:
    """Write a file where the store's are."""
    Path(f"{path}{suffix}").write_text(text, "utf-8")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where a store is to be."""
    return tmp_path / "telemetry.jsonl"


async def test_what_no_cursor_follows_is_cut_off(path: Path) -> None:
    """A resume sets lines and rejected lines back to the last flush."""
    await killed_after_one_flush(path)
    store = JSONLinesStore(path)
    held = await store.open()
    await store.close()
    assert held.plan == "a plan"
    assert held.cursors == {"d": group(1).cursors["d"].to_json()}
    lines = [json.loads(line) for line in text_of(path).splitlines()]
    assert [line["timestamp"] for line in lines] == ["2026-01-01T12:00:01.000Z"]
    aside = text_of(path, suffix=".rejected").splitlines()
    rejected = [json.loads(line) for line in aside]
    assert [(row["payload_base64"], row["reason"]) for row in rejected] == [("/w==", "because")]


async def test_a_line_is_a_message(path: Path) -> None:
    """A line has the model's names, ISO times, and the payload as it arrived."""
    await killed_after_one_flush(path)
    line = text_of(path).splitlines()[0]
    key = group(1).messages[0].key
    assert line == (
        f'{{"key":"{key}","device_id":"d","timestamp":"2026-01-01T12:00:01.000Z",'
        '"device_timestamp":null,"type":null,"channel":null,"payload":{"a":1.50},"extra":null}'
    )


async def test_rejected_lines_of_a_run_without_any_flushed_are_cut_off(path: Path) -> None:
    """A file of rejected lines that the sidecar does not know counts nothing."""
    store = JSONLinesStore(path)
    await store.open()
    await store.begin("a plan")
    await store.write(group(1))
    await store.close()
    store = JSONLinesStore(path)
    await store.open()
    await store.close()
    assert text_of(path) == text_of(path, suffix=".rejected") == ""


async def test_lines_without_a_cursor_are_refused(path: Path) -> None:
    """A file of somebody else's is not cut to nothing."""
    put(path, '{"mine": 1}\n')
    store = JSONLinesStore(path)
    with pytest.raises(ConfigurationError, match="no cursor beside it"):
        await store.open()
    await store.close()
    assert text_of(path) == '{"mine": 1}\n'


async def test_a_file_that_lost_lines_is_refused(path: Path) -> None:
    """A file shorter than its cursor says was altered by somebody else."""
    await killed_after_one_flush(path)
    put(path, "")
    store = JSONLinesStore(path)
    with pytest.raises(ConfigurationError, match="has 0 bytes, and its cursor says"):
        await store.open()
    await store.close()


@pytest.mark.parametrize("text", ["", "{}", '{"version":9,"plan":null}', "not JSON"])
async def test_what_is_no_sidecar_is_refused(path: Path, text: str) -> None:
    """A sidecar that this version did not write is not overwritten."""
    put(path, text, suffix=".cursor")
    store = JSONLinesStore(path)
    with pytest.raises(ConfigurationError, match="is not a state file of version 1"):
        await store.open()
    await store.close()


async def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    """The error names the store and what the system said."""
    store = JSONLinesStore(tmp_path / "no" / "x.jsonl")
    with pytest.raises(ConfigurationError, match="cannot be opened: No such file"):
        await store.open()
    await store.close()


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="only Linux has a full device")
async def test_a_full_disk_is_a_store_error(path: Path) -> None:
    """What the system said is told, and nothing of another library escapes."""
    os.symlink("/dev/full", path)
    store = JSONLinesStore(path)
    await store.open()
    with pytest.raises(StoreError, match="No space left on device"):
        await store.write(group(1))
    await store.close()


async def test_an_export_becomes_an_emulated_fleet(tmp_path: Path) -> None:
    """The file that a job wrote, loaded into an emulator, holds the same messages."""
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
    """What a device's messages say; those of one millisecond have no order (D6)."""
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
    """A file that ends in .zst holds the same lines, a frame a group; a resume cuts whole ones."""
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
    """The lines of a compressed file, whatever it has of frames."""
    reader = ZstdDecompressor().stream_reader(path.read_bytes(), read_across_frames=True)
    text: bytes = reader.read()
    return text.decode().splitlines()
