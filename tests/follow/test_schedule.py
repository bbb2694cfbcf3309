"""The schedule of polls: entries can be moved, and each reason has its own."""

from __future__ import annotations

from math import inf

from iottly_async.follow.schedule import Schedule
from tests.support.virtual_time import VirtualClock, virtual


def test_a_moved_item_is_due_at_its_new_time_only() -> None:
    """An item has one entry a reason: a second `put` moves it, earlier or later."""
    schedule: Schedule[str] = Schedule()
    schedule.put("a", 1.0, "expected")
    schedule.put("b", 2.0, "expected")
    schedule.put("a", 3.0, "expected")
    assert (schedule.first("expected"), schedule.first_due("expected")) == ("b", 2.0)
    schedule.put("a", 1.5, "expected")
    assert schedule.first("expected") == "a"


def test_a_taken_item_has_no_entries() -> None:
    """`take` removes an item for all reasons."""
    schedule: Schedule[str] = Schedule()
    schedule.put("a", 1.0, "expected")
    schedule.put("a", 9.0, "overdue")
    schedule.put("b", 5.0, "overdue")
    assert schedule.take("expected") == "a"
    assert schedule.first_due("expected") == inf
    assert schedule.first_due("overdue") == 5.0


@virtual
async def test_a_wait_ends_after_its_timeout() -> None:
    """`wait` returns after `timeout` seconds if no item is put."""
    clock, schedule = VirtualClock(), Schedule[str]()
    before = clock.monotonic()
    await schedule.wait(7.0)
    assert clock.monotonic() - before == 7.0
