"""Plans: which windows there are, and which arguments are refused."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest

from iottly_async.emulator import Emulator
from iottly_async.errors import ConfigurationError
from iottly_async.ingest.partitions import PartitionSource, plan

from .plans import END, START, WEEK, planned, source


async def test_a_plan_covers_all_devices_and_times_once(emulator: Emulator) -> None:
    """Windows are divided at multiples of their length, without gaps."""
    partitions = await planned(emulator)
    windows = [window for one in partitions for window in one.windows]
    assert [len(one.windows) for one in partitions] == [6, 6, 6, 6, 6]
    for device_id in emulator.device_ids:
        mine = [(window.start, window.end) for window in windows if window.device_id == device_id]
        assert mine[0][0] == START.timestamp() * 1000
        assert mine[-1][1] == END.timestamp() * 1000
        assert all(before[1] == after[0] for before, after in pairwise(mine))
        assert all(end % (7 * 86_400_000) == 0 for _, end in mine[:-1])


async def test_ids_belong_to_a_device_and_its_windows(emulator: Emulator) -> None:
    """A device more or less changes no other id; another range does."""
    first, again = await planned(emulator), await planned(emulator)
    assert first == again
    assert len({one.id for one in first}) == len(first)
    fewer = [source(emulator, devices=tuple(emulator.device_ids[1:]))]
    options: dict[str, Any] = {"start": START, "window": WEEK, "windows_per_partition": 2}
    all_ids = {one.id for one in await plan([source(emulator)], end=END, **options)}
    kept = {one.id for one in await plan(fewer, end=END, **options)}
    assert (len(all_ids), len(kept)) == (15, 12)
    assert kept < all_ids
    shorter = {one.id for one in await plan(fewer, end=END - timedelta(hours=1), **options)}
    assert len(kept & shorter) == 8  # the last window of each device is another


async def test_an_open_end_is_pinned_once(emulator: Emulator) -> None:
    """All windows end at the server's time of planning less `settle`."""
    before = emulator.clock.now().timestamp()
    partitions = await planned(emulator, end=None, window=None)
    (end,) = {window.end for one in partitions for window in one.windows}
    assert before - 6 <= end / 1000 <= emulator.clock.now().timestamp() - 5


async def test_partitions_of_different_keys_alternate(emulator: Emulator) -> None:
    """So all quotas are in use from the start."""
    one, two, *_ = emulator.device_ids
    partitions = await plan(
        [source(emulator, devices=(one,)), source(emulator, "KEY_TWO", devices=(two,))],
        start=START,
        end=END,
        window=WEEK,
        windows_per_partition=2,
    )
    assert [each.key_env for each in partitions] == ["KEY_ONE", "KEY_TWO"] * 3


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"start": None, "window": WEEK}, "name one"),
        ({"window": timedelta(0)}, "a millisecond or more"),
        ({"windows_per_partition": 0}, "windows_per_partition"),
        ({"redis_env": "redis://:secret@host"}, "redis_env must be the name"),
        ({"to": ""}, "to is empty"),
        ({"to": "s3://bucket/x"}, "to must be a path"),
        ({"concurrency": 0}, "concurrency"),
        ({"type": "others"}, "type must be"),
        ({"start": END, "end": START}, "start must be before"),
        ({"start": datetime(2999, 1, 1, tzinfo=UTC), "end": None}, "start must lie before"),
    ],
)
async def test_a_wrong_argument_is_refused(
    emulator: Emulator, options: dict[str, Any], reason: str
) -> None:
    """The error names the argument."""
    with pytest.raises(ConfigurationError, match=reason):
        await planned(emulator, **options)


async def test_a_plan_without_a_source_is_refused() -> None:
    """The error names the argument."""
    with pytest.raises(ConfigurationError, match="sources"):
        await plan([])


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"project": "../other"}, "project must be an id"),
        ({"key_env": "ik_live_0123"}, "key_env must be the name"),
        ({"key_env": "A=B"}, "key_env must be the name"),
        ({"base_url": "ftp://host"}, "base_url must be https"),
    ],
)
def test_a_wrong_source_is_refused(values: dict[str, Any], reason: str) -> None:
    """The error names the argument. It does not show what may be a key."""
    with pytest.raises(ConfigurationError, match=reason) as refused:
        PartitionSource(**{"project": "p", **values})
    assert "ik_live" not in str(refused.value)


async def test_a_device_of_two_sources_is_refused(emulator: Emulator) -> None:
    """Its messages would be fetched twice."""
    with pytest.raises(ConfigurationError, match="is in two sources"):
        await plan([source(emulator), source(emulator, "KEY_TWO")], end=END)
