"""Which window an answer belongs to, when it turns, and what a rolling account gives back."""

import pytest

from iottly_async.ratelimit.headers import Observation
from iottly_async.ratelimit.observation import SettledPermit
from iottly_async.ratelimit.rolling import History, Rolling
from iottly_async.ratelimit.turning import TurnWatch
from iottly_async.ratelimit.window import Place, ServerWindow
from iottly_async.server_clock import ServerClock
from tests.ratelimit.driver import EPOCH
from tests.test_server_clock import date


def window(reset: float, *, relative: bool = False, now: float = 100.0) -> ServerWindow:
    """A window with this Reset, seen at `now`; the server's clock is right."""
    one = ServerWindow()
    notice = Observation(600, 500, reset, relative)
    one.take_over(notice, 0.05, now, EPOCH + now, EPOCH + now)
    return one


@pytest.mark.parametrize(
    ("reset", "place"),
    [
        (EPOCH + 120, Place.SAME),
        (EPOCH + 120.4, Place.SAME),
        (EPOCH + 119.6, Place.SAME),
        (EPOCH + 121, Place.NEWER),
        (EPOCH + 180, Place.NEWER),
        (EPOCH + 119, Place.OLDER),
        (EPOCH + 96, Place.OLDER),
        (EPOCH + 94, Place.NONSENSE),
        (EPOCH + 100 + 86_401, Place.NONSENSE),
    ],
)
def test_an_epoch_reset_names_its_window(reset: float, place: Place) -> None:
    """Resets within half a second are one window; long past or days ahead is nonsense."""
    assert window(EPOCH + 120).place(Observation(600, 1, reset), 100.0, EPOCH + 100) is place


@pytest.mark.parametrize(
    ("at", "seconds", "place"),
    [
        (100.0, 20, Place.SAME),
        (101.4, 19, Place.SAME),  # rounded up, and aged on its way
        (119.9, 1, Place.SAME),
        (120.1, 60, Place.NEWER),
        (120.2, 0, Place.SAME),  # an old one, late
        (190.0, 90_000, Place.NONSENSE),
    ],
)
def test_delta_seconds_name_their_window(at: float, seconds: int, place: Place) -> None:
    """Delta seconds that point to one moment are one window, whatever rounding makes of them."""
    one = window(20, relative=True)
    assert one.place(Observation(600, 1, seconds, relative=True), at, 0.0) is place


def test_the_soonest_end_of_delta_seconds_counts() -> None:
    """Rounded up and aged, delta seconds are never too small: the least is the sharpest."""
    one = window(20, relative=True)
    one.refine(Observation(600, 1, 18, relative=True), 101.3)
    one.refine(Observation(600, 1, 15, relative=True), 104.9)
    assert one.ends(105.0, 0.0) == pytest.approx(119.3, abs=0.05)


def watch(reset: float, *, lower: float, upper: float) -> TurnWatch:
    """A watch with a clock that is known to lie so many seconds around the right one."""
    clock = ServerClock()
    clock.observe_date(date(EPOCH + 90), 90.0, 90.0)
    assert clock.lower is not None
    clock.lower, clock.upper = EPOCH + lower, EPOCH + upper
    return TurnWatch(clock, window(reset))


def test_a_blurred_clock_is_never_early() -> None:
    """As long as the clock is not known the latest end is waited for."""
    blurred = watch(EPOCH + 120, lower=-0.7, upper=0.2)
    assert blurred.latest(100.0, EPOCH + 100) == pytest.approx(120.72)


def test_a_known_clock_is_believed_to_the_millisecond() -> None:
    """A sharp clock, and a wall clock that fits, give the end as it is."""
    sharp = watch(EPOCH + 120, lower=-0.05, upper=0.04)
    assert sharp.latest(100.0, EPOCH + 100) == pytest.approx(120.02)


def test_scouts_go_around_ticks_of_the_second() -> None:
    """What is not known of the clock is halved by a request around a tick of its second."""
    blurred = watch(EPOCH + 120, lower=-0.7, upper=0.2)
    at = blurred.scout_at(3, 100.5, 0.0)  # a wall clock that is out of the question
    assert at is not None
    assert 100.5 <= at <= 101.5
    assert (at + (-0.7 + 0.2) / 2) % 1 == pytest.approx(0, abs=1e-6)


def test_turns_on_time_end_the_watch() -> None:
    """After two turns that a scout had found not to have come yet, nothing is kept back."""
    sharp = watch(EPOCH + 120, lower=-0.05, upper=0.04)
    assert sharp.kept == 3
    for _ in range(2):
        sharp.not_turned(119.75, 119.8, EPOCH + 119.8)
        assert sharp.turned(120.03, 120.07, EPOCH + 120.07)
    assert sharp.kept == 0


def test_an_early_turn_is_no_fixed_window() -> None:
    """A scout that finds the next window before Reset tells so."""
    sharp = watch(EPOCH + 120, lower=-0.05, upper=0.04)
    assert not sharp.turned(119.5, 119.55, EPOCH + 119.55)


def answer(now: float, **facts: int) -> SettledPermit:
    """An answer to a request sent just before `now`, alone."""
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
    """An account of which so many were spent at a time."""
    history = History()
    history.keep(window)
    for number in range(count):
        history.mark(at, number)
    return Rolling(limit, window - 1, window + 1, history, count, at)


def test_the_history_is_no_longer_for_more_requests() -> None:
    """However many end, a window of them is so many marks at most."""
    history = History()
    history.keep(60.0)
    for number in range(60_000):
        history.mark(number / 1000, number)
    entries = history.entries(60_000, 60.0)
    assert sum(count for _, count in entries) == 60_000
    assert len(entries) <= 520


def test_what_comes_back_at_once_is_a_steady_refill() -> None:
    """Requests back long before any window could let them go show a bucket, which is used."""
    account = spent(100, at=100.0)
    account.told(20, answer(112.0, number=101))
    assert account.left(112.0) == pytest.approx(20)
    assert account.left(124.0) == pytest.approx(20 + 12 * 100 / 61, rel=0.01)
    assert account.kept == 0


def test_a_refill_that_gives_more_is_followed() -> None:
    """A rate that rounding made too low rises with what surely came back; a refusal undoes it."""
    account = spent(100, at=100.0, window=10.0)
    account.told(9, answer(101.0, number=101))
    now, slow = 101.0, 100 / 11
    for back in range(1, 5):
        now += 2
        account.told(9 + 19 * back, answer(now, number=101 + back))  # ten a second, less one
    now += 1
    assert account.left(now) > 9 + 19 * 4 + slow * 1.05
    account.refused(0, now)
    assert account.left(now + 1) == pytest.approx(slow)


def test_what_comes_back_after_a_window_bounds_it() -> None:
    """Requests back when their window is over leave it a log, of a length that is known better."""
    account = spent(100, at=100.0)
    account.told(99, answer(160.1, number=101))
    assert account.left(160.1) == 99
    account.told(0, answer(160.2, number=200, ended=200, overlap=99))
    assert account.next_at(1, 160.3) == pytest.approx(160.2 + 60.1, abs=0.1)


def test_a_guess_is_asked_for_by_one() -> None:
    """Of what should have come back one may go, and its answer frees the rest."""
    account = spent(100, at=100.0)
    assert account.left(162.0) == 1
    account.told(99, answer(162.1, number=101))
    assert account.left(162.1) == 99
