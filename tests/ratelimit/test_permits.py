"""Granting permits, case by case, with the time set by hand."""

from itertools import pairwise

import pytest

from tests.ratelimit.driver import Driver


def test_nothing_known_lets_one_probe_go() -> None:
    """If nothing is known, one request is sent and the others wait for its answer."""
    driver = Driver()
    probe = driver.grant()
    assert probe is not None
    assert driver.grant() is None
    assert driver.next_at() is None
    driver.answer(probe, 59)
    assert driver.grant() is not None


def test_a_lost_probe_is_followed_by_another() -> None:
    """If the probe is lost or was not sent, another request probes."""
    driver = Driver()
    first = driver.grant()
    assert first is not None
    driver.issuer.lost(first, driver.now)
    second = driver.grant()
    assert second is not None
    driver.issuer.unused(second)
    assert driver.grant() is not None


def test_what_remains_less_what_is_in_flight_may_go() -> None:
    """A request in flight counts as spent."""
    driver = Driver()
    driver.begin(9)
    assert len(driver.grant_all()) == 9


@pytest.mark.parametrize("order", [[0, 1, 2, 3], [3, 2, 1, 0], [2, 0, 3, 1]])
def test_answers_in_any_order_leave_the_least(order: list[int]) -> None:
    """In whatever order answers arrive, the smallest Remaining counts."""
    driver = Driver()
    driver.begin(30)
    permits = driver.grant_all(4)
    for index in order:
        driver.answer(permits[index], 29 - index)
    assert len(driver.grant_all()) == 26


def test_an_answer_of_an_older_window_changes_nothing() -> None:
    """An answer of an older window says nothing of this one."""
    driver = Driver()
    driver.begin(30)
    late, early = driver.grant_all(2)
    driver.now = 121.0
    driver.answer(early, 58, reset=180)
    driver.answer(late, 3, reset=120)
    assert len(driver.grant_all()) == 58


def test_an_unused_permit_goes_to_the_next() -> None:
    """A permit that was given back unused can be granted again in the same window."""
    driver = Driver()
    driver.begin(20)
    permits = driver.grant_all()
    assert driver.grant() is None
    driver.issuer.unused(permits[7])
    assert driver.grant() is not None
    assert driver.grant() is None


def test_a_lost_request_counts_until_a_later_answer_tells() -> None:
    """The server may have counted a lost request, so its permit is not granted again on a guess."""
    driver = Driver()
    driver.begin(20)
    lost, earlier, _ = driver.grant_all(3)
    driver.issuer.lost(lost, driver.now)
    driver.answer(earlier, 19)
    assert len(driver.grant_all()) == 20 - 1 - 2
    driver = Driver()
    driver.begin(20)
    lost, earlier = driver.grant_all(2)
    driver.issuer.lost(lost, driver.now)
    later_permit = driver.grant()
    assert later_permit is not None
    driver.answer(earlier, 19)
    driver.answer(later_permit, 18)  # it never arrived: three were counted since the first
    assert len(driver.grant_all()) == 18


def test_after_an_empty_window_one_probe_goes_first() -> None:
    """If nothing is left, one request is sent after Reset, and the others follow its answer."""
    driver = Driver()
    driver.begin(0)
    assert driver.next_at() == pytest.approx(120.02, abs=1.0)
    driver.now = 121.1
    probe = driver.grant()
    assert probe is not None
    assert driver.grant() is None
    driver.answer(probe, 59, reset=180)
    assert len(driver.grant_all()) == 59


def test_a_refusal_holds_all_requests() -> None:
    """After a 429 no request goes before the time that the server asked for."""
    driver = Driver()
    driver.begin(30)
    one, other = driver.grant_all(2)
    driver.answer(one, 29, status=429, retry_after="7")
    assert driver.grant() is None
    assert driver.next_at() == 107.0
    driver.answer(other, 28)
    assert driver.grant() is None
    driver.now = 107.0
    probe = driver.grant()
    assert probe is not None
    assert driver.grant() is None
    driver.answer(probe, 27)
    assert len(driver.grant_all()) == 27


def test_a_refusal_without_a_time_waits_for_reset() -> None:
    """If nothing is left, a 429 without Retry-After waits for the window's end."""
    driver = Driver()
    driver.begin(5)
    permit = driver.grant()
    assert permit is not None
    driver.answer(permit, 0, status=429)
    next_at = driver.next_at()
    assert next_at is not None
    assert 120.0 <= next_at <= 121.1


def test_a_refusal_that_tells_nothing_sets_a_pace() -> None:
    """After a 429 without headers, requests go at the rate at which some have passed."""
    driver = Driver()
    driver.begin(50)
    one, *others = driver.grant_all(6)
    driver.now = 101.0
    for permit in others:
        driver.answer(permit, 44)
    driver.answer(one, None, status=429)
    assert driver.grant() is None
    next_at = driver.next_at()
    assert next_at is not None
    assert next_at - driver.now == pytest.approx(1 / 6)


def test_an_unexplained_refusal_backs_off() -> None:
    """A 429 although the headers say that requests are left: one probe goes soon."""
    driver = Driver()
    driver.begin(5)
    permit = driver.grant()
    assert permit is not None
    driver.answer(permit, 4, status=429)
    assert driver.next_at() == pytest.approx(100.1)


@pytest.mark.parametrize(("reserve", "left"), [(0, 50), (10, 40), (0.5, 20), (0.999, 0), (1000, 0)])
def test_a_reserve_is_left_to_others(reserve: float, left: int) -> None:
    """The reserve, by number or by share of the limit, is never granted."""
    driver = Driver(reserve=reserve)
    driver.begin(50)
    assert len(driver.grant_all()) == left


def test_spread_goes_evenly_to_the_end_of_the_window() -> None:
    """With `spread` the permits that are left are spread evenly over the rest of the window."""
    driver = Driver(spread=True)
    driver.begin(10)
    times = []
    while driver.now < 121:
        if driver.grant() is None:
            next_at = driver.next_at()
            driver.now = 122.0 if next_at is None else next_at
            continue
        times.append(driver.now)
    times = [at for at in times if at <= 120]
    gaps = [later - sooner for sooner, later in pairwise(times)]
    assert len(times) == 10
    assert max(gaps) == pytest.approx(min(gaps), rel=0.15)
    assert 115 <= times[-1] <= 121


def test_without_headers_twice_as_many_go_after_each_round_trip() -> None:
    """A server without limit headers may have a limit: ten requests go at first, then twenty."""
    driver = Driver()
    probe = driver.grant()
    assert probe is not None
    driver.answer(probe)
    sent = []
    for _ in range(4):
        permits = driver.grant_all()
        sent.append(len(permits))
        for permit in permits:
            driver.answer(permit)
    assert sent == [11, 22, 44, 88]


def test_a_refusal_without_limit_headers_narrows_what_goes_at_once() -> None:
    """After a 429 with Retry-After alone, half as many are in flight at once as before."""
    driver = Driver()
    probe = driver.grant()
    assert probe is not None
    driver.answer(probe)
    permits = driver.grant_all()
    for permit in permits[:-1]:
        driver.answer(permit)
    permits = [permits[-1], *driver.grant_all()]
    assert len(permits) == 21
    for permit in permits:
        driver.answer(permit, status=429, retry_after="7")
    driver.now += 7
    probe = driver.grant()
    assert probe is not None
    driver.answer(probe)
    assert len(driver.grant_all(1000)) == 11


def test_a_configured_tier_holds_where_no_header_comes() -> None:
    """A configured tier is counted as a sliding log over a minute."""
    driver = Driver(tier=60)
    probe = driver.grant()
    assert probe is not None
    driver.answer(probe)
    permits = driver.grant_all()
    assert len(permits) == 59
    for permit in permits:
        driver.answer(permit)
    assert driver.next_at() == pytest.approx(160.0)
    driver.now = 160.0
    assert len(driver.grant_all()) == 60


def test_headers_win_over_a_tier() -> None:
    """The server's headers count, whatever tier was configured."""
    driver = Driver(tier=60)
    driver.begin(599, limit=600)
    assert len(driver.grant_all()) == 599


def test_an_unlimited_tier_asks_nothing() -> None:
    """With an unlimited tier no probe goes first."""
    driver = Driver(tier=0)
    assert len(driver.grant_all(1000)) == 1000


def test_headers_that_cease_end_the_quota() -> None:
    """If several probes are answered without limit headers, there is no quota any more."""
    driver = Driver()
    driver.begin(0)
    driver.now = 125.0
    for _ in range(3):
        probe = driver.grant()
        assert probe is not None
        assert driver.grant() is None
        driver.answer(probe)
    assert len(driver.grant_all(500)) == 11


def test_an_error_of_a_proxy_ends_no_wait() -> None:
    """A 502 without headers says nothing of the quota: one more probe goes, not all requests."""
    driver = Driver()
    driver.begin(0)
    driver.now = 125.0
    for _ in range(5):
        probe = driver.grant()
        assert probe is not None
        driver.answer(probe, status=502)
        second = driver.grant()
        assert second is not None
        assert driver.grant() is None
        driver.issuer.unused(second)


def test_a_new_limit_is_taken_over() -> None:
    """A limit that changes within a window is taken over."""
    driver = Driver()
    driver.begin(30)
    permit = driver.grant()
    assert permit is not None
    driver.answer(permit, 500, limit=600)
    assert len(driver.grant_all()) == 500


@pytest.mark.parametrize("reset", [90.0, 100.0 + 2 * 86_400])
def test_a_reset_out_of_all_reason_is_ignored(reset: float) -> None:
    """A Reset that is long past or days ahead is ignored."""
    driver = Driver()
    probe = driver.grant()
    assert probe is not None
    driver.answer(probe, 3, reset=reset)
    assert len(driver.grant_all(100)) == 11


@pytest.mark.parametrize(
    ("position", "soonest"), [(1, 100.0), (10, 100.0), (11, 120.0), (70, 120.0), (71, 138.0)]
)
def test_the_soonest_permit_of_a_position_in_the_queue(position: int, soonest: float) -> None:
    """The first waiters go now, the next after Reset, and so on; the guess is never too late."""
    driver = Driver()
    driver.begin(10)
    assert driver.earliest(position) == pytest.approx(soonest, abs=1.2)
    assert driver.earliest(position) >= soonest
