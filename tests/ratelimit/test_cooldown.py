"""The gate that a 429 shuts: episodes, waits, and how it opens."""

import pytest

from iottly_async.ratelimit.cooldown import Cooldown


def gate(*, shut: bool = False, random: float = 0.0) -> Cooldown:
    """A gate whose chance is fixed."""
    return Cooldown(lambda: random, shut=shut)


def test_it_waits_as_long_as_the_server_asks() -> None:
    """A wait that the server gave is taken as it is."""
    one = gate()
    assert one.refused(5, 9, 100.0, 7.0)
    assert one.shut
    assert one.until == 107.0


def test_refusals_of_requests_from_before_are_one_episode() -> None:
    """What was granted before the gate shut neither shuts it again nor prolongs it."""
    one = gate()
    one.refused(5, 9, 100.0, 7.0)
    for number in (1, 6, 9):
        assert not one.refused(number, 9, 101.0, 50.0)
    assert one.until == 107.0
    assert (one.episodes, one.refusals) == (1, 4)


def test_a_refused_probe_begins_another_episode() -> None:
    """A request granted after the gate shut that is refused shuts it anew."""
    one = gate()
    one.refused(5, 9, 100.0, 7.0)
    assert one.refused(10, 10, 108.0, 3.0)
    assert one.until == 111.0


def test_an_older_answer_does_not_open_it() -> None:
    """Only an answer to what was granted after the gate shut opens it."""
    one = gate()
    one.refused(5, 9, 100.0, 7.0)
    assert not one.answered(8, 103.0)
    assert one.shut
    assert one.answered(10, 108.0)
    assert not one.shut


def test_waits_grow_where_the_server_gives_none() -> None:
    """Without a hint the wait doubles with every episode, up to a bound."""
    one, now, waits = gate(), 0.0, []
    for number in range(1, 13):
        one.refused(number, number, now, None)
        waits.append(one.until - now)
        now = one.until
    assert waits[:4] == pytest.approx([0.1, 0.2, 0.4, 0.8])
    assert max(waits) == 30.0


def test_a_herd_after_opening_is_the_same_trouble() -> None:
    """Refusals right after the gate opened go on where the waits were; later ones begin anew."""
    one = gate()
    for number in range(1, 6):
        one.refused(number, number, 0.0, None)
    one.answered(6, 2.0)
    one.refused(7, 7, 2.5, None)
    assert one.until - 2.5 == pytest.approx(3.2)
    one.answered(8, 10.0)
    one.refused(9, 9, 100.0, None)
    assert one.until - 100.0 == pytest.approx(0.1)


def test_jitter_only_adds() -> None:
    """Chance makes a wait longer, by half at most, and never shorter."""
    one = gate(random=0.999)
    one.refused(1, 1, 0.0, None)
    assert 0.1 < one.until <= 0.15


def test_no_wait_is_longer_than_an_hour() -> None:
    """Whatever a proxy says, one probe asks again within the hour."""
    one = gate()
    one.refused(1, 1, 0.0, 1e9)
    assert one.until == 3600.0


def test_the_first_gate_is_shut_by_not_knowing() -> None:
    """A gate that begins shut lets a probe go at once, and its answer opens it."""
    one = gate(shut=True)
    assert one.until < 0
    assert one.answered(1, 5.0)
