"""The plan in a folder: continued by the same call, and kept apart from any other plan."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from iottly_async import RateLimiter
from iottly_async.emulator import Emulator
from iottly_async.errors import ConfigurationError, StoreError
from iottly_async.ingest.coverage import State, survey
from iottly_async.ingest.partitions import (
    Partition,
    PartitionManifest,
    PartitionSource,
    plan,
    run_partition,
)
from iottly_async.ingest.partitions.folder_plan import writing
from tests.support.partition_rows import files_of, partition_rows
from tests.support.stored_rows import truth_of

from .plans import END, START, WEEK, plan_file, source


async def planned_in(
    folder: Path, *sources: PartitionSource, **options: Any
) -> tuple[list[Partition], list[PartitionManifest]]:
    """What a script does: plan for a folder, and run all partitions."""
    chosen = {"start": START, "window": WEEK, "windows_per_partition": 3, **options}
    partitions = await plan([*sources], folder, **chosen)
    limiter = RateLimiter()
    return partitions, [await run_partition(one, folder, limiter=limiter) for one in partitions]


async def test_the_same_script_run_again_stores_nothing_twice(
    emulator: Emulator, tmp_path: Path
) -> None:
    """With an open end, too: the partitions are the same, and none is fetched again."""
    first, _ = await planned_in(tmp_path, source(emulator))
    content = plan_file(tmp_path).read_bytes()
    emulator.append(emulator.device_ids[0], [{"payload": {"new": 1}}])
    again, manifests = await planned_in(tmp_path, source(emulator))
    assert again == first
    assert all(manifest.reused for manifest in manifests)
    assert sum(partition_rows(tmp_path).values()) == 3000
    assert plan_file(tmp_path).read_bytes() == content


async def test_a_plan_that_was_not_run_to_its_end_is_continued(
    emulator: Emulator, tmp_path: Path
) -> None:
    """A program that was killed after some partitions is run again, with another key."""
    partitions = await plan([source(emulator)], tmp_path, start=START, window=WEEK)
    await run_partition(partitions[0], tmp_path, limiter=RateLimiter())
    again = await plan([source(emulator, "KEY_TWO")], tmp_path, start=START, window=WEEK)
    assert [one.id for one in again] == [one.id for one in partitions]
    reused = [(await run_partition(one, tmp_path, limiter=RateLimiter())).reused for one in again]
    assert reused == [True, False, False, False, False]
    assert partition_rows(tmp_path) == truth_of(emulator)


async def test_a_later_end_adds_partitions_and_keeps_the_others(
    emulator: Emulator, tmp_path: Path
) -> None:
    """The rows of both ends together are those of the later end, each once."""
    middle = START + timedelta(days=11, hours=5)
    first, _ = await planned_in(tmp_path, source(emulator), end=middle)
    later, manifests = await planned_in(tmp_path, source(emulator), end=END)
    kept = {one.id for one in first}
    assert kept < {one.id for one in later}
    assert [one.reused for one in manifests] == [one.id in kept for one in later]
    assert {path.stem for path in files_of(tmp_path)} == {one.id for one in later}
    assert partition_rows(tmp_path) == truth_of(emulator)


async def test_devices_come_and_go(emulator: Emulator, tmp_path: Path) -> None:
    """The partitions of the others stay as they are, whichever devices and ends come."""
    one, two, *others = emulator.device_ids
    middle = START + timedelta(days=15)
    first, _ = await planned_in(tmp_path, source(emulator, devices=(one, two)), end=middle)
    second, _ = await planned_in(tmp_path, source(emulator, devices=(two, *others)), end=END)
    third, manifests = await planned_in(tmp_path, source(emulator), end=END)
    ids = [{each.id for each in each_plan} for each_plan in (first, second, third)]
    assert ids[0] | ids[1] < ids[2]
    assert len(ids[0] & ids[1]) == len(first) // 2
    fetched = {manifest.partition_id for manifest in manifests if not manifest.reused}
    assert fetched == ids[2] - ids[1] - ids[0]
    assert partition_rows(tmp_path) == truth_of(emulator)


async def test_the_file_says_what_was_planned(emulator: Emulator, tmp_path: Path) -> None:
    """It is JSON with the sources, the windows, the ids and the pinned end, and no key."""
    partitions = await plan([source(emulator)], tmp_path / "new", start=START, end=END, window=WEEK)
    text = plan_file(tmp_path / "new").read_text()
    found = json.loads(text)
    assert found["division"]["pinned_ends"] == [END.timestamp() * 1000]
    assert [each["project"] for each in found["sources"]] == [emulator.project_id]
    listed = [(each["id"], each["device_id"], each["edges"][1:]) for each in found["partitions"]]
    assert listed == [
        (one.id, one.windows[0].device_id, [window.end for window in one.windows])
        for one in partitions
    ]
    assert "a-key-of-one" not in text
    assert not [*(tmp_path / "new").iterdir()]
    assert [*(tmp_path / "new.ingest").iterdir()] == [plan_file(tmp_path / "new")]


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"start": START + timedelta(days=1)}, "start is 2026-04-01T.* there and 2026-04-02"),
        ({"window": WEEK * 2}, "window is 604800000 ms there and 1209600000 ms here"),
        ({"window": None}, "window is 604800000 ms there and not given here"),
        ({"windows_per_partition": 4}, "windows_per_partition is 3 there and 4 here"),
        ({"type": "userdefined"}, "type is 'all' there and 'userdefined' here"),
        ({"end": END - timedelta(1)}, "it goes up to 2026-05-01T.*, and end is 2026-04-30"),
    ],
)
async def test_another_plan_for_the_folder_is_refused(
    emulator: Emulator, tmp_path: Path, options: dict[str, Any], reason: str
) -> None:
    """The text says what differs and how to go on, and the plan is as it was."""
    same: dict[str, Any] = {"start": START, "end": END, "window": WEEK, "windows_per_partition": 3}
    await plan([source(emulator)], tmp_path, **same)
    before = plan_file(tmp_path).read_bytes()
    with pytest.raises(ConfigurationError, match=f"{reason}.*name another folder"):
        await plan([source(emulator)], tmp_path, **{**same, **options})
    assert plan_file(tmp_path).read_bytes() == before


@pytest.mark.parametrize("named", [True, False], ids=["planned for the folder", "run into it"])
@pytest.mark.parametrize("options", [{"windows_per_partition": 2}, {"window": WEEK * 2}])
async def test_a_partition_of_another_plan_is_refused(
    emulator: Emulator, tmp_path: Path, named: bool, options: dict[str, Any]
) -> None:
    """Its messages may be in the folder already. Nothing is requested."""
    same: dict[str, Any] = {"start": START, "end": END, "window": WEEK, "windows_per_partition": 3}
    partition, *_ = await plan([source(emulator)], tmp_path if named else None, **same)
    await run_partition(partition, tmp_path, limiter=RateLimiter())
    other, *_ = await plan([source(emulator)], **{**same, **options})
    seen = len(emulator.requests)
    with pytest.raises(ConfigurationError, match=r"another plan.*pass the folder to plan"):
        await run_partition(other, tmp_path, limiter=RateLimiter())
    assert len(emulator.requests) == seen
    # Another program may have written the file in another form.
    plan_file(tmp_path).write_text(json.dumps(json.loads(plan_file(tmp_path).read_text())))
    same_again, *_ = await plan([source(emulator)], tmp_path, **same)
    assert (await run_partition(same_again, tmp_path)).reused


async def test_two_plans_that_begin_together_in_a_new_folder(
    emulator: Emulator, tmp_path: Path
) -> None:
    """The first partition that is complete decides. One of the other plan then fails."""
    one, *_ = await plan([source(emulator)], end=END)
    other, *_ = await plan([source(emulator)], end=END - timedelta(days=1))

    emulator.fault("stall", route="paginated", skip=2, count=1)
    seen = len(emulator.requests)
    slow = asyncio.create_task(run_partition(one, tmp_path, limiter=RateLimiter()))
    await emulator.until_requests(seen + 3)
    await run_partition(other, tmp_path, limiter=RateLimiter())
    emulator.clear_faults()
    with pytest.raises(ConfigurationError, match="another plan"):
        await slow
    assert [path.name for path in files_of(tmp_path)] == [f"{other.id}.jsonl"]


async def test_another_format_is_refused(emulator: Emulator, tmp_path: Path) -> None:
    """The rows would be in the folder twice."""
    partition, *_ = await plan([source(emulator)], tmp_path, end=END)
    await run_partition(partition, tmp_path, limiter=RateLimiter())
    with pytest.raises(ConfigurationError, match="as jsonl: take the same format"):
        await run_partition(partition, tmp_path, format="parquet", limiter=RateLimiter())


async def test_two_programs_that_plan_at_the_same_time(emulator: Emulator, tmp_path: Path) -> None:
    """The second one is told to wait. Both would write the same file."""
    with writing(str(tmp_path)), pytest.raises(StoreError, match=r"plan.json.*by another job"):
        await plan([source(emulator)], tmp_path, end=END)
    assert await plan([source(emulator)], tmp_path, end=END)


async def test_a_plan_of_another_server_is_refused(emulator: Emulator, tmp_path: Path) -> None:
    """Its end lies in this server's future, so messages would be missed."""
    await plan([source(emulator)], tmp_path)
    emulator.clock.advance(-3600)
    with pytest.raises(ConfigurationError, match="in the future of the server"):
        await plan([source(emulator)], tmp_path)


async def test_coverage_knows_what_was_planned_and_not_run(
    emulator: Emulator, tmp_path: Path
) -> None:
    """A folder with a plan alone is all missing; then partitions are covered one by one."""
    partitions = await plan([source(emulator)], tmp_path, start=START, end=END)
    found = await survey(tmp_path, bins=2)
    states = {cell.state for device in found.devices for cell in device.cells}
    assert (len(found.devices), states) == (5, {State.MISSING})
    await run_partition(partitions[0], tmp_path, limiter=RateLimiter())
    found = await survey(tmp_path, bins=2)
    assert [device.device_id for device in found.devices if not device.missing] == [
        partitions[0].windows[0].device_id
    ]
