"""The pause after a 429: its episodes, its length, and how it ends."""

import pytest

from iottly_async.ratelimit.cooldown import Cooldown


def cooldown(*, active: bool = False, random: float = 0.5) -> Cooldown:
    """A cooldown whose jitter is fixed."""
    return Cooldown(lambda: random, active=active)


def test_it_lasts_as_long_as_the_server_asks() -> None:
    """A pause that the server asks for is taken as it is."""
    one = cooldown()
    assert one.refused(5, 9, 100.0, 7.0)
    assert one.active
    assert one.until == 107.0


def test_refusals_of_earlier_requests_are_one_episode() -> None:
    """Refusals of requests granted before the pause neither begin it again nor prolong it."""
    one = cooldown()
    one.refused(5, 9, 100.0, 7.0)
    for number in (1, 6, 9):
        assert not one.refused(number, 9, 101.0, 50.0)
    assert one.until == 107.0
    assert one.refusals == 4


def test_a_refused_probe_begins_another_episode() -> None:
    """A refusal of a request granted after the pause began is a new episode."""
    one = cooldown()
    one.refused(5, 9, 100.0, 7.0)
    assert one.refused(10, 10, 108.0, 3.0)
    assert one.until == 111.0


def test_an_older_answer_does_not_end_it() -> None:
    """Only an answer to a request granted after the pause began ends it."""
    one = cooldown()
    one.refused(5, 9, 100.0, 7.0)
    assert not one.answered(8, 103.0)
    assert one.active
    assert one.answered(10, 108.0)
    assert not one.active


def test_pauses_grow_if_the_server_asks_for_none() -> None:
    """Without Retry-After the pause doubles with every episode, up to a bound."""
    one, now, waits = cooldown(), 0.0, []
    for number in range(1, 13):
        one.refused(number, number, now, None)
        waits.append(one.until - now)
        now = one.until
    assert waits[:4] == pytest.approx([0.1, 0.2, 0.4, 0.8])
    assert max(waits) == pytest.approx(15.0)  # half of the bound, by this jitter


def test_refusals_right_after_a_pause_are_the_same_trouble() -> None:
    """Refusals right after a pause go on with its length; later ones begin anew."""
    one = cooldown()
    for number in range(1, 6):
        one.refused(number, number, 0.0, None)
    one.answered(6, 2.0)
    one.refused(7, 7, 2.5, None)
    assert one.until - 2.5 == pytest.approx(3.2)
    one.answered(8, 10.0)
    one.refused(9, 9, 100.0, None)
    assert one.until - 100.0 == pytest.approx(0.1)


def test_no_pause_is_longer_than_an_hour() -> None:
    """Whatever a proxy asks for, a probe is sent after an hour."""
    one = cooldown()
    one.refused(1, 1, 0.0, 1e9)
    assert one.until == 3600.0


def test_it_begins_active_if_nothing_is_known() -> None:
    """A cooldown that begins active lets a probe go at once, and its answer ends it."""
    one = cooldown(active=True)
    assert one.until < 0
    assert one.answered(1, 5.0)
