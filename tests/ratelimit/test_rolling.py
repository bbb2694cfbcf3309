"""Sliding log, token bucket, and telling one from the other."""

from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iottly_async.ratelimit.observe import SettledPermit
from iottly_async.ratelimit.rolling import History, Rolling, SlidingLog, TokenBucket
from tests.ratelimit.driver import EPOCH


def test_a_request_comes_back_after_the_window() -> None:
    """A charged request is free again one window later."""
    log = SlidingLog(10, 60.0)
    log.charge(100.0, 3)
    assert log.level(159.9) == 7
    assert log.level(160.0) == 10


@given(st.lists(st.tuples(st.floats(0.0, 5.0), st.integers(1, 4)), max_size=60))
def test_a_log_admits_no_more_than_its_limit_in_any_window(
    charges: list[tuple[float, int]],
) -> None:
    """Whenever requests are charged, no window has more of them than the limit."""
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
    """The oldest requests come back first."""
    log = SlidingLog(10, 60.0)
    for at in (100.0, 110.0, 120.0):
        log.charge(at, 3)
    assert log.next_at(1, 121.0) == 160.0
    assert log.next_at(4, 121.0) == 170.0
    assert log.next_at(9, 121.0) == 180.0
    assert log.next_at(10, 121.0) == inf


def test_requests_of_others_are_logged_as_of_now() -> None:
    """A lower level that the server tells is believed, and comes back one window later."""
    log = SlidingLog(10, 60.0)
    log.lower(4, 100.0)
    assert log.level(100.0) == 4
    assert log.level(160.0) == 10
    log.lower(12, 160.0)
    assert log.level(160.0) == 10


def test_requests_that_came_back_are_dropped_oldest_first() -> None:
    """A higher level that the server tells means that its log has dropped the oldest requests."""
    log = SlidingLog(10, 60.0)
    log.charge(100.0, 4)
    log.charge(110.0, 4)
    log.lift(7, 115.0)
    assert log.level(115.0) == 7
    assert log.oldest() == 110.0
    assert log.level(170.0) == 10


def test_a_token_bucket_rises_to_the_limit() -> None:
    """Tokens come back at the rate, up to the limit."""
    bucket = TokenBucket(10, 2.0, level=0, now=0.0)
    assert bucket.level(3.0) == 6.0
    assert bucket.level(300.0) == 10.0


def test_a_token_bucket_says_when_a_token_comes() -> None:
    """The next token comes after the part of a second that the rate needs."""
    bucket = TokenBucket(10, 4.0, level=0, now=0.0)
    assert bucket.next_at(1, 0.0) == pytest.approx(0.25)
    assert bucket.next_at(0, 5.0) == 5.0


def test_a_level_may_fall_below_zero() -> None:
    """Requests beyond the level are owed, and refilled first."""
    bucket = TokenBucket(10, 1.0, level=1, now=0.0)
    bucket.charge(0.0, 3)
    assert bucket.level(0.0) == -2
    assert bucket.level(3.0) == pytest.approx(1.0)


def answer(now: float, **facts: int) -> SettledPermit:
    """An answer to a single request that was sent just before `now`."""
    number = facts.get("number", 1)
    return SettledPermit(
        number=number,
        sent=now - 0.01,
        now=now,
        wall=EPOCH + now,
        status=200,
        granted=number,
        ended=facts.get("ended", number),
        overlap=facts.get("overlap", 0),
        probe=bool(facts.get("probe", 1)),
    )


def spent(count: int, *, at: float, limit: int = 100, window: float = 60.0) -> Rolling:
    """A quota of which `count` requests were spent at one time."""
    history = History()
    history.keep(window)
    for number in range(count):
        history.note(at, number)
    return Rolling(limit, window - 1, window + 1, history, count, at)


def test_the_history_has_a_bounded_size() -> None:
    """However many permits end, a window keeps a fixed number of entries."""
    history = History()
    history.keep(60.0)
    for number in range(60_000):
        history.note(number / 1000, number)
    entries = history.log(60_000, 60.0)
    assert sum(count for _, count in entries) == 60_000
    assert len(entries) <= 520


def test_requests_back_too_soon_show_a_token_bucket() -> None:
    """Requests that are back before any window could drop them show a token bucket."""
    account = spent(100, at=100.0)
    account.observe(20, answer(112.0, number=101))
    assert account.left(112.0) == pytest.approx(20)
    assert account.left(124.0) == pytest.approx(20 + 12 * 100 / 61, rel=0.01)
    assert account.kept == 0


def test_a_refused_token_bucket_starts_again_from_nothing() -> None:
    """After a refusal nothing is left, and tokens come back at the rate."""
    account = spent(100, at=100.0)
    account.observe(20, answer(112.0, number=101))
    account.refused(0, 112.0)
    assert account.left(112.0) == pytest.approx(0)
    assert account.left(113.0) == pytest.approx(100 / 61)


def test_after_three_refusals_a_token_bucket_is_a_sliding_log() -> None:
    """Others on the key hide what comes back, so the strictest way of counting is used."""
    account = spent(100, at=100.0)
    account.observe(20, answer(112.0, number=101))
    for _ in range(3):
        account.refused(0, 112.0)
    assert account.left(150.0) == 0
    assert account.left(175.0) == pytest.approx(1)


def test_one_request_tests_for_a_token_bucket() -> None:
    """One request is kept back until it was sent too soon for a window to give anything back."""
    account = spent(99, at=100.0)
    assert account.kept == 1
    assert account.test_at == pytest.approx(100 + 59 / 8)
    account.observe(0, answer(107.4, number=100))
    assert account.kept == 0


def test_a_probe_after_a_whole_window_tests_nothing() -> None:
    """Requests that are back after a window may be of a sliding log or of a token bucket."""
    account = spent(100, at=100.0)
    account.observe(99, answer(160.1, number=101))
    assert account.kept == 1


def test_a_guess_is_asked_for_by_one() -> None:
    """Of what should have come back one request is sent, and its answer frees the rest."""
    account = spent(100, at=100.0)
    assert account.left(162.0) == 1
    account.observe(99, answer(162.1, number=101))
    assert account.left(162.1) == 99
