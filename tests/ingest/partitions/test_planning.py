"""Plans: which windows there are, and which arguments are refused."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest

from iottly_async.emulator import Emulator
from iottly_async.errors import ConfigurationError
from iottly_async.ingest.partitions import plan

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


async def test_the_same_plan_made_again_has_the_same_ids(emulator: Emulator) -> None:
    """Another range gives other ids."""
    first, again = await planned(emulator), await planned(emulator)
    other = await planned(emulator, end=END - timedelta(days=1))
    assert first == again
    assert not {one.id for one in first} <= {one.id for one in other}
    assert len({one.id for one in first}) == len(first)


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
