"""Coverage of a folder of partitions, from its manifests and the rows of its files."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

import pytest

from iottly_async.emulator import Emulator
from iottly_async.errors import ConfigurationError
from iottly_async.ingest.coverage import State, survey
from iottly_async.ingest.partitions import Partition, PartitionSource, plan, run_partition
from iottly_async.ingest.partitions.layout import file_path

# Thursdays: windows are divided at multiples of a week from the epoch, which was a Thursday.
START, END = datetime(2026, 4, 2, tzinfo=UTC), datetime(2026, 4, 30, tzinfo=UTC)
WEEK = timedelta(days=7)
WEEK_MS = 7 * 86_400_000


@pytest.fixture
async def emulator(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Emulator]:
    """A fleet of four devices, one of them refused, and an invalid payload."""
    async with Emulator(devices=4, messages=800) as emulator:
        monkeypatch.setenv("IOTTLY_API_KEY", emulator.api_key)
        monkeypatch.setenv("IOTTLY_BASE_URL", emulator.base_url)
        invalid = {"payload_json": "[NaN]", "timestamp": START + WEEK / 2}
        emulator.append(emulator.device_ids[0], [invalid])
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
async def test_windows_that_were_run_are_covered(
    emulator: Emulator, tmp_path: Path, form: Literal["jsonl", "parquet"]
) -> None:
    """Rows are counted, rejected ones too. A week that was not run is missing, and so is one
    that failed, with its error."""
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
    """It is the same as for a job's store."""
    emulator.clear_faults()
    for one in await planned(emulator, start=None):
        await run_partition(one, tmp_path)
    found = await survey(tmp_path)
    stored = [row["timestamp_ms"] for one in emulator.device_ids for row in emulator.stored(one)]
    assert (found.whole, found.grid.start) == (True, min(stored))


async def test_a_folder_without_a_complete_partition_is_an_error(
    emulator: Emulator, tmp_path: Path
) -> None:
    """A manifest whose file is missing does not count."""
    emulator.clear_faults()
    partition, *_ = await planned(emulator)
    manifest = await run_partition(partition, tmp_path)
    for name in manifest.files:
        os.unlink(file_path(str(tmp_path), name))
    with pytest.raises(ConfigurationError, match="no job has begun"):
        await survey(tmp_path)
