"""Coverage computed from cursors and counts of rows."""

from __future__ import annotations

from iottly_async import Cursor
from iottly_async.ingest import IngestPlan
from iottly_async.ingest.coverage import Coverage
from iottly_async.ingest.coverage.model import coverage_of
from iottly_async.ingest.grid import TimeGrid

from .values import cursor_of, plan_to, states


def covered(plan: IngestPlan, *cursors: Cursor, bins: int = 4, **counts: list[int]) -> Coverage:
    """The coverage of a store with these cursors and counts of rows."""
    grid = TimeGrid.over(0, plan.pinned_end, bins)
    return coverage_of(plan, {one.device_id: one for one in cursors}, counts, grid)


def test_what_a_cursor_has_passed_is_fetched_or_empty() -> None:
    """It is fetched if there are rows, and empty if there are none."""
    found = covered(plan_to(100), cursor_of("d", end=100), d=[3, 0, 0, 1])
    (device,) = found.devices
    assert states(device) == ["fetched", "empty", "empty", "fetched"]
    assert (device.complete, device.missing, found.whole) == (1.0, (), True)


def test_remaining_intervals_are_missing() -> None:
    """They are missing even if rows are there. A cell says how much of it is missing."""
    found = covered(plan_to(100), cursor_of("d", (30, 40), (75, 100), end=100), d=[1, 5, 0, 0])
    (device,) = found.devices
    assert states(device) == ["fetched", "missing", "empty", "missing"]
    assert [cell.missing for cell in device.cells] == [0, 0.4, 0, 1]
    assert (device.complete, device.missing) == (0.65, ((30, 40), (75, 100)))
    assert not found.whole


def test_the_time_after_an_earlier_end_is_missing() -> None:
    """The rest of the range is joined with the cursor's own remaining interval."""
    (device,) = covered(plan_to(100), cursor_of("d", (40, 50), end=50)).devices
    assert device.missing == ((40, 100),)


def test_the_missing_cells_of_a_failed_device_are_failed() -> None:
    """This includes a device without a cursor."""
    one, two = covered(
        plan_to(100, one="an error", two="another"),
        cursor_of("one", (50, 100), end=100),
        one=[1, 1, 0, 0],
    ).devices
    assert states(one) == ["fetched", "fetched", "failed", "failed"]
    assert states(two) == ["failed"] * 4
    assert (one.failed, two.complete) == ("an error", 0.0)
