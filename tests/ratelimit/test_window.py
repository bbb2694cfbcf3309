"""Which window an answer belongs to, when it ends, and what is left of a fixed one."""

import pytest

from iottly_async.ratelimit.headers import Observation
from iottly_async.ratelimit.window import FixedWindow, Place, ServerWindow
from tests.ratelimit.driver import EPOCH


def window(reset: float, *, relative: bool = False, now: float = 100.0) -> ServerWindow:
    """A window with this Reset, seen at `now`; the server's clock is right."""
    one = ServerWindow()
    observation = Observation(600, 500, reset, relative)
    one.take_over(observation, 0.05, now, EPOCH + now, EPOCH + now)
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
        (EPOCH + 94, None),
        (EPOCH + 100 + 86_401, None),
    ],
)
def test_an_epoch_reset_names_its_window(reset: float, place: Place | None) -> None:
    """Resets within half a second are one window; a Reset long past or days ahead is nonsense."""
    assert window(EPOCH + 120).place(Observation(600, 1, reset), 100.0, EPOCH + 100) is place


@pytest.mark.parametrize(
    ("at", "seconds", "place"),
    [
        (100.0, 20, Place.SAME),
        (101.4, 19, Place.SAME),  # rounded up, and aged on its way
        (119.9, 1, Place.SAME),
        (120.1, 60, Place.NEWER),
        (120.2, 0, Place.SAME),  # an old one, late
        (190.0, 90_000, None),
    ],
)
def test_delta_seconds_name_their_window(at: float, seconds: int, place: Place | None) -> None:
    """Delta seconds that point to one moment are one window, in spite of rounding."""
    one = window(20, relative=True)
    assert one.place(Observation(600, 1, seconds, relative=True), at, 0.0) is place


def test_the_soonest_end_of_delta_seconds_counts() -> None:
    """Delta seconds are rounded up and age on their way, so the smallest is the sharpest."""
    one = window(20, relative=True)
    one.refine(Observation(600, 1, 18, relative=True), 101.3)
    one.refine(Observation(600, 1, 15, relative=True), 104.9)
    assert one.ends(105.0, 0.0) == pytest.approx(119.3, abs=0.05)


def test_the_length_is_the_time_between_two_resets() -> None:
    """The first window is seen from its middle; the second Reset tells the length."""
    one = window(EPOCH + 120)
    assert one.length is None
    one.take_over(Observation(600, 599, EPOCH + 180), 0.05, 121.0, EPOCH + 121, EPOCH + 121)
    assert one.length == 60
    one.take_over(Observation(600, 599, EPOCH + 300), 0.05, 241.0, EPOCH + 241, EPOCH + 241)
    assert one.length == 60


def test_a_length_that_the_server_gives_is_taken() -> None:
    """A policy with `w` tells the length at once."""
    one = ServerWindow()
    observation = Observation(600, 500, 20, relative=True, window=60.0)
    one.take_over(observation, 0.05, 100.0, 0.0, 0.0)
    assert one.length == 60


def test_more_left_than_a_fixed_window_can_have_is_noticed() -> None:
    """A later answer with more left than the smallest Remaining is of no fixed window."""
    one = FixedWindow(20, granted=5)
    assert not one.observe(19, number=4, granted=6, overlap=0)
    assert not one.observe(20, number=7, granted=7, overlap=1)
    assert one.observe(25, number=7, granted=7, overlap=1)
    assert one.left(0.0) == 19
