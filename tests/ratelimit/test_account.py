"""Sliding log and steady refill: what comes back, and when."""

from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iottly_async.ratelimit.account import SlidingLog, SteadyRefill


def test_a_request_comes_back_after_the_window() -> None:
    """What was charged is free again as many seconds later as the window is long."""
    log = SlidingLog(10, 60.0)
    log.charge(100.0, 3)
    assert log.level(159.9) == 7
    assert log.level(160.0) == 10


@given(st.lists(st.tuples(st.floats(0.0, 5.0), st.integers(1, 4)), max_size=60))
def test_a_log_admits_no_more_than_its_limit_in_any_window(
    charges: list[tuple[float, int]],
) -> None:
    """However charges fall, at most the limit is ever within one window."""
    log, now, taken = SlidingLog(7, 3.0), 0.0, []
    for pause, wish in charges:
        now += pause
        count = min(wish, int(log.level(now)))
        if count:
            log.charge(now, count)
            taken += [now] * count
    for end in taken:
        assert sum(end - 3.0 < at <= end for at in taken) <= 7


def test_the_next_to_come_back_is_the_oldest() -> None:
    """The time at which so many more are free is that of the entries before them."""
    log = SlidingLog(10, 60.0)
    for at in (100.0, 110.0, 120.0):
        log.charge(at, 3)
    assert log.next_at(1, 121.0) == 160.0
    assert log.next_at(4, 121.0) == 170.0
    assert log.next_at(9, 121.0) == 180.0
    assert log.next_at(10, 121.0) == inf


def test_what_others_spent_is_logged_as_of_now() -> None:
    """A level that the server gives below ours is believed, and comes back a window later."""
    log = SlidingLog(10, 60.0)
    log.lower(4, 100.0)
    assert log.level(100.0) == 4
    assert log.level(160.0) == 10
    log.lower(12, 160.0)
    assert log.level(160.0) == 10


def test_what_came_back_sooner_is_forgotten_oldest_first() -> None:
    """A level above ours means that the oldest have left the server's log."""
    log = SlidingLog(10, 60.0)
    log.charge(100.0, 4)
    log.charge(110.0, 4)
    log.lift(7, 115.0)
    assert log.level(115.0) == 7
    assert log.oldest() == 110.0
    assert log.level(170.0) == 10


def test_a_steady_refill_rises_to_the_limit() -> None:
    """So many a second come back, and never more than there is room for."""
    bucket = SteadyRefill(10, 2.0, level=0, now=0.0)
    assert bucket.level(3.0) == 6.0
    assert bucket.level(300.0) == 10.0


def test_a_steady_refill_says_when() -> None:
    """The next one comes after the part of a second that it takes."""
    bucket = SteadyRefill(10, 4.0, level=0, now=0.0)
    assert bucket.next_at(1, 0.0) == pytest.approx(0.25)
    assert bucket.next_at(0, 5.0) == 5.0


def test_charges_may_sink_a_level_below_nothing() -> None:
    """What was counted beyond the level is owed, and refilled first."""
    bucket = SteadyRefill(10, 1.0, level=1, now=0.0)
    bucket.charge(0.0, 3)
    assert bucket.level(0.0) == -2
    assert bucket.level(3.0) == pytest.approx(1.0)
