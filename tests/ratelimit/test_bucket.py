"""The arithmetic, case by case, with the time set by hand."""

from itertools import pairwise

import pytest

from tests.ratelimit.driver import Driver


def test_nothing_known_lets_one_probe_go() -> None:
    """The first goes to ask, the others wait for its answer."""
    driver = Driver()
    probe = driver.grant()
    assert probe is not None
    assert driver.grant() is None
    assert driver.turn() is None
    driver.answer(probe, 59)
    assert driver.grant() is not None


def test_a_probe_that_vanished_is_followed_by_another() -> None:
    """If the probe is lost, or was never sent, somebody else asks."""
    driver = Driver()
    first = driver.grant()
    assert first is not None
    driver.bucket.lost(first, driver.now)
    second = driver.grant()
    assert second is not None
    driver.bucket.unused(second)
    assert driver.grant() is not None


def test_what_remains_less_what_is_in_flight_may_go() -> None:
    """Remaining is counted down by every request on its way."""
    driver = Driver()
    driver.begin(9)
    assert len(driver.grant_all()) == 9


@pytest.mark.parametrize("order", [[0, 1, 2, 3], [3, 2, 1, 0], [2, 0, 3, 1]])
def test_answers_in_any_order_leave_the_least(order: list[int]) -> None:
    """However answers overtake each other, the least Remaining counts."""
    driver = Driver()
    driver.begin(30)
    tickets = driver.grant_all(4)
    for index in order:
        driver.answer(tickets[index], 29 - index)
    assert len(driver.grant_all()) == 26


def test_an_answer_of_an_older_window_changes_nothing() -> None:
    """What an older window had left says nothing of this one."""
    driver = Driver()
    driver.begin(30)
    late, early = driver.grant_all(2)
    driver.now = 121.0
    driver.answer(early, 58, reset=180)
    driver.answer(late, 3, reset=120)
    assert len(driver.grant_all()) == 58


def test_an_unused_turn_goes_to_the_next() -> None:
    """A ticket that was given back can be granted again, in the same window."""
    driver = Driver()
    driver.begin(20)
    tickets = driver.grant_all()
    assert driver.grant() is None
    driver.bucket.unused(tickets[7])
    assert driver.grant() is not None
    assert driver.grant() is None


def test_a_lost_request_counts_until_a_later_answer_tells() -> None:
    """The server may have counted what vanished: its turn is not given again on a guess."""
    driver = Driver()
    driver.begin(20)
    lost, earlier, _ = driver.grant_all(3)
    driver.bucket.lost(lost, driver.now)
    driver.answer(earlier, 19)
    assert len(driver.grant_all()) == 20 - 1 - 2
    driver = Driver()
    driver.begin(20)
    lost, earlier = driver.grant_all(2)
    driver.bucket.lost(lost, driver.now)
    later_ticket = driver.grant()
    assert later_ticket is not None
    driver.answer(earlier, 19)
    driver.answer(later_ticket, 18)  # it never arrived: three were counted since the first
    assert len(driver.grant_all()) == 18


def test_a_dry_window_waits_for_its_end_and_sends_one_probe() -> None:
    """When nothing is left, one asks after Reset, and the rest follow its answer: no herd."""
    driver = Driver()
    driver.begin(0)
    assert driver.turn() == pytest.approx(120.02, abs=1.0)
    driver.now = 121.1
    probe = driver.grant()
    assert probe is not None
    assert driver.grant() is None
    driver.answer(probe, 59, reset=180)
    assert len(driver.grant_all()) == 59


def test_a_refusal_shuts_the_gate_for_all() -> None:
    """After a 429 nobody goes before the server's time has come."""
    driver = Driver()
    driver.begin(30)
    one, other = driver.grant_all(2)
    driver.answer(one, 29, status=429, retry_after="7")
    assert driver.grant() is None
    assert driver.turn() == 107.0
    driver.answer(other, 28)
    assert driver.grant() is None
    driver.now = 107.0
    probe = driver.grant()
    assert probe is not None
    assert driver.grant() is None
    driver.answer(probe, 27)
    assert len(driver.grant_all()) == 27


def test_a_refusal_without_a_time_waits_for_reset() -> None:
    """With nothing left, a 429 is explained by the window, and its end is waited for."""
    driver = Driver()
    driver.begin(5)
    ticket = driver.grant()
    assert ticket is not None
    driver.answer(ticket, 0, status=429)
    turn = driver.turn()
    assert turn is not None
    assert 120.0 <= turn <= 121.1


def test_a_refusal_out_of_the_blue_backs_off() -> None:
    """A 429 that neither a time nor an empty window explains is tried again soon, once."""
    driver = Driver()
    driver.begin(5)
    ticket = driver.grant()
    assert ticket is not None
    driver.answer(ticket, None, status=429)
    assert driver.turn() == pytest.approx(100.1)


@pytest.mark.parametrize(("reserve", "left"), [(0, 50), (10, 40), (0.5, 20), (0.999, 0), (1000, 0)])
def test_a_reserve_is_left_to_others(reserve: float, left: int) -> None:
    """The last of a window, by number or by share of the limit, are never granted."""
    driver = Driver(reserve=reserve)
    driver.begin(50)
    assert len(driver.grant_all()) == left


def test_spread_goes_evenly_to_the_end_of_the_window() -> None:
    """With `spread` the rest of the window is shared out over its time."""
    driver = Driver(spread=True)
    driver.begin(10)
    times = []
    while driver.now < 121:
        if driver.grant() is None:
            turn = driver.turn()
            driver.now = 122.0 if turn is None else turn
            continue
        times.append(driver.now)
    times = [at for at in times if at <= 120]
    gaps = [later - sooner for sooner, later in pairwise(times)]
    assert len(times) == 10
    assert max(gaps) == pytest.approx(min(gaps), rel=0.15)
    assert 115 <= times[-1] <= 121


def test_without_headers_nothing_holds_back() -> None:
    """A server that says nothing of a quota is taken to have none."""
    driver = Driver()
    probe = driver.grant()
    assert probe is not None
    driver.answer(probe)
    assert len(driver.grant_all(5000)) == 5000


def test_a_refusal_without_headers_narrows_what_goes_at_once() -> None:
    """Where only 429s tell, no more goes at once afterwards than had been taken."""
    driver = Driver()
    probe = driver.grant()
    assert probe is not None
    driver.answer(probe)
    tickets = driver.grant_all(100)
    for ticket in tickets[:60]:
        driver.answer(ticket)
    for ticket in tickets[60:]:
        driver.answer(ticket, status=429)
    driver.now += 60
    probe = driver.grant()
    assert probe is not None
    driver.answer(probe)
    assert 1 <= len(driver.grant_all(1000)) <= 40


def test_a_configured_tier_holds_where_no_header_comes() -> None:
    """A tier is a sliding log: so many in any minute, and no more."""
    driver = Driver(tier=60)
    probe = driver.grant()
    assert probe is not None
    driver.answer(probe)
    tickets = driver.grant_all()
    assert len(tickets) == 59
    for ticket in tickets:
        driver.answer(ticket)
    assert driver.turn() == pytest.approx(160.0)
    driver.now = 160.0
    assert len(driver.grant_all()) == 60


def test_headers_win_over_a_tier() -> None:
    """What the server says counts, whatever was configured."""
    driver = Driver(tier=60)
    driver.begin(599, limit=600)
    assert len(driver.grant_all()) == 599


def test_an_unlimited_tier_asks_nothing() -> None:
    """With `unlimited` no probe goes first."""
    driver = Driver(tier=0)
    assert len(driver.grant_all(1000)) == 1000


def test_headers_that_cease_are_not_waited_for_for_ever() -> None:
    """If probes are answered without any word of a quota, there is none any more."""
    driver = Driver()
    driver.begin(0)
    driver.now = 125.0
    for _ in range(3):
        probe = driver.grant()
        assert probe is not None
        assert driver.grant() is None
        driver.answer(probe)
    assert len(driver.grant_all(500)) == 500


def test_a_proxys_error_opens_nothing() -> None:
    """A 502 without headers says nothing of the quota: the next probe goes, not the herd."""
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
        driver.bucket.unused(second)


def test_a_new_limit_is_taken_over() -> None:
    """A tier that changes within a window is followed."""
    driver = Driver()
    driver.begin(30)
    ticket = driver.grant()
    assert ticket is not None
    driver.answer(ticket, 500, limit=600)
    assert len(driver.grant_all()) == 500


@pytest.mark.parametrize("reset", [90.0, 100.0 + 2 * 86_400])
def test_a_reset_out_of_all_reason_is_ignored(reset: float) -> None:
    """A Reset long past or days ahead is no notice."""
    driver = Driver()
    probe = driver.grant()
    assert probe is not None
    driver.answer(probe, 3, reset=reset)
    assert len(driver.grant_all(100)) == 100


@pytest.mark.parametrize(
    ("position", "soonest"), [(1, 100.0), (10, 100.0), (11, 120.0), (70, 120.0), (71, 138.0)]
)
def test_the_soonest_turn_of_a_place_in_the_queue(position: int, soonest: float) -> None:
    """The first few go now, a window's worth after Reset, and so on: never too late a guess."""
    driver = Driver()
    driver.begin(10)
    assert driver.earliest(position) == pytest.approx(soonest, abs=1.2)
    assert driver.earliest(position) >= soonest
