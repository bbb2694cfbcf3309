"""Coverage of a folder of partitions: told by manifests and the rows of their files."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

import pytest

from iottly_async.emulator import Emulator
from iottly_async.errors import ConfigurationError
from iottly_async.ingest.coverage import State, survey
from iottly_async.ingest.partitions import Partition, PartitionSource, plan, run_partition

# Thursdays, as the first day of the epoch was: windows are cut at multiples from there.
START, END = datetime(2026, 4, 2, tzinfo=UTC), datetime(2026, 4, 30, tzinfo=UTC)
WEEK = timedelta(days=7)
WEEK_MS = 7 * 86_400_000


@pytest.fixture
async def emulator(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Emulator]:
    """A fleet of four devices, one of which refuses, and a poisoned message."""
    async with Emulator(devices=4, messages=800) as emulator:
        monkeypatch.setenv("IOTTLY_API_KEY", emulator.api_key)
        monkeypatch.setenv("IOTTLY_BASE_URL", emulator.base_url)
        poison = {"payload_json": "[NaN]", "timestamp": START + WEEK / 2}
        emulator.append(emulator.device_ids[0], [poison])
        device = emulator.device_ids[-1]
        emulator.fault("status", status=403, route=f"/v1.0/*/device/{device}/*", count=None)
        yield emulator


async def planned(emulator: Emulator, *, start: datetime | None = START) -> list[Partition]:
    """A partition for each week of each device; without a start, for each device."""
    return await plan(
        [PartitionSource(project=emulator.project_id)],
        start=start,
        end=END,
        window=None if start is None else WEEK,
        windows_per_partition=1,
    )


@pytest.mark.parametrize("form", ["jsonl", "parquet"])
async def test_what_was_run_is_covered_and_the_rest_is_missing(
    emulator: Emulator, tmp_path: Path, form: Literal["jsonl", "parquet"]
) -> None:
    """Rows are counted, rejected ones too; a week that nobody ran lacks, and so does one
    that failed, with the error."""
    first, *_, bad = emulator.device_ids
    for one in await planned(emulator):
        (window,) = one.windows
        if window.device_id != first or window.start != START.timestamp() * 1000 + WEEK_MS:
            await run_partition(one, tmp_path, format=form)
    found = await survey(tmp_path, bins=4)
    assert (found.grid.width, found.project_id) == (WEEK_MS, emulator.project_id)
    by_id = {device.device_id: device for device in found.devices}
    assert set(by_id) == set(emulator.device_ids)
    for device_id, device in by_id.items():
        states = [cell.state for cell in device.cells]
        if device_id == bad:
            assert states == [State.FAILED] * 4
            assert (device.failed or "").startswith("ForbiddenError")
            continue
        missing = [device_id == first and index == 1 for index in range(4)]
        assert [state is State.MISSING for state in states] == missing
        for index, cell in enumerate(device.cells):
            low, high = found.grid.interval(index)
            stored = emulator.stored(device_id)
            rows = sum(low <= row["timestamp_ms"] < high for row in stored)
            assert cell.rows == (0 if missing[index] else rows)
    assert by_id[first].missing == ((found.grid.interval(1)),)


async def test_without_a_start_it_begins_with_the_first_message(
    emulator: Emulator, tmp_path: Path
) -> None:
    """As of a store of a job."""
    emulator.clear_faults()
    for one in await planned(emulator, start=None):
        await run_partition(one, tmp_path)
    found = await survey(tmp_path)
    stored = [row["timestamp_ms"] for one in emulator.device_ids for row in emulator.stored(one)]
    assert (found.whole, found.grid.start) == (True, min(stored))


async def test_a_folder_where_none_was_done_is_told(emulator: Emulator, tmp_path: Path) -> None:
    """A manifest whose file is gone counts for nothing."""
    emulator.clear_faults()
    partition, *_ = await planned(emulator)
    manifest = await run_partition(partition, tmp_path)
    for name in manifest.files:
        (tmp_path / name).unlink()
    with pytest.raises(ConfigurationError, match="no job has begun"):
        await survey(tmp_path)
