"""The server's clock, learnt from dates of whole seconds."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iottly_async.server_clock import ServerClock, is_ahead

EPOCH = 1_767_225_600.0


def date(server_now: float) -> float:
    """A `Date`: the server's time in whole seconds."""
    return float(int(server_now))


def test_without_a_date_the_wall_clock_is_all_there_is() -> None:
    """Before the first `Date` the local wall clock is believed."""
    assert ServerClock().now(10.0, EPOCH + 3) == EPOCH + 3


def test_a_right_wall_clock_is_used_exactly() -> None:
    """A wall clock within the bounds is more precise than they are, and is used."""
    clock = ServerClock()
    clock.observe_date(date(EPOCH + 10.4), 10.4, 10.45)
    assert clock.now(11.0, EPOCH + 11.0) == pytest.approx(EPOCH + 11.0)


@pytest.mark.parametrize("ahead", [-3600.0, -5.0, 5.0, 3600.0])
def test_a_wrong_wall_clock_is_not_used(ahead: float) -> None:
    """A wall clock outside the bounds is passed over for the lower bound."""
    clock = ServerClock()
    clock.observe_date(date(EPOCH + 10.4), 10.4, 10.45)
    now = clock.now(11.0, EPOCH + 11.0 + ahead)
    assert EPOCH + 10 <= now <= EPOCH + 11


@given(
    offset=st.floats(-5000, 5000),
    wall=st.floats(-5000, 5000),
    sends=st.lists(
        st.tuples(st.floats(0.001, 3.0), st.floats(0.0, 0.3), st.floats(0.0, 0.3)), min_size=1
    ),
)
def test_the_bounds_hold_the_truth(
    offset: float, wall: float, sends: list[tuple[float, float, float]]
) -> None:
    """Whatever the clocks and the latencies, the true offset lies within the bounds."""
    clock = ServerClock()
    now = 100.0
    for pause, there, back in sends:
        now += pause
        made = EPOCH + now + there + offset
        clock.observe_date(date(made), now, now + there + back)
        now += there + back
    assert clock.lower is not None
    assert clock.lower <= EPOCH + offset + 1e-6
    assert clock.upper >= EPOCH + offset - 1e-6
    believed = clock.now(now, EPOCH + now + wall)
    assert believed <= EPOCH + now + offset + 1.0


def test_many_answers_sharpen_the_bounds() -> None:
    """Answers around ticks of the second close in on the truth."""
    clock = ServerClock()
    for step in range(400):
        now = 10.0 + step * 0.0373
        clock.observe_date(date(EPOCH + now + 0.25), now, now + 0.01)
    assert clock.lower is not None
    assert clock.upper - clock.lower < 0.1
    assert clock.lower <= EPOCH + 0.25 <= clock.upper


def test_one_old_date_does_not_move_the_clock() -> None:
    """A single answer from the past, as a cache gives it, is passed over."""
    clock = ServerClock()
    clock.observe_date(date(EPOCH + 100), 100.0, 100.01)
    clock.observe_date(date(EPOCH + 40), 101.0, 101.01)
    assert clock.now(102.0, 0.0) == pytest.approx(EPOCH + 102, abs=1.1)


def test_a_server_that_steps_back_is_followed() -> None:
    """Several answers in a row from the past are the server's new time."""
    clock = ServerClock()
    clock.observe_date(date(EPOCH + 100), 100.0, 100.01)
    for step in range(5):
        now = 101.0 + step
        clock.observe_date(date(EPOCH + now - 60), now, now + 0.01)
    assert clock.now(106.0, 0.0) == pytest.approx(EPOCH + 46, abs=1.1)


def test_a_server_that_steps_forward_is_followed() -> None:
    """An answer from the future moves the clock at once: later is the safe side."""
    clock = ServerClock()
    clock.observe_date(date(EPOCH + 100), 100.0, 100.01)
    clock.observe_date(date(EPOCH + 161), 101.0, 101.01)
    assert clock.now(102.0, 0.0) == pytest.approx(EPOCH + 162, abs=1.1)


def test_an_unturned_window_bounds_the_clock() -> None:
    """A request counted before Reset shows that the server's clock was not there yet."""
    clock = ServerClock()
    clock.observe_date(date(EPOCH + 10.1), 10.1, 10.1)
    assert clock.not_reached(EPOCH + 12, at=11.9)
    assert clock.upper == pytest.approx(EPOCH + 0.1)


def test_what_contradicts_a_date_is_not_believed() -> None:
    """A Reset that was rounded down does not bend the clock."""
    clock = ServerClock()
    clock.observe_date(date(EPOCH + 10.1), 10.1, 10.1)
    upper = clock.upper
    assert not clock.not_reached(EPOCH + 10, at=12.0)
    assert clock.upper == upper


def test_an_answer_without_date_teaches_nothing() -> None:
    """Without a `Date` the clock stays as it is."""
    clock = ServerClock()
    clock.observe_date(None, 1.0, 1.1)
    assert clock.lower is None


def test_a_message_narrows_the_lower_bound() -> None:
    """A message that has arrived is past, so the server's time is not before it."""
    clock = ServerClock()
    clock.observe_date(EPOCH + 10, 10.4, 10.45)
    clock.observe_message(EPOCH + 10.38, 10.45)
    assert clock.earliest(10.45, 0.0) == pytest.approx(EPOCH + 10.38)
    assert clock.latest(10.45, 0.0) == pytest.approx(EPOCH + 11.05)


def test_a_message_of_another_clock_is_ignored() -> None:
    """A timestamp later than the answer's own `Date` allows says nothing."""
    clock = ServerClock()
    clock.observe_date(EPOCH + 10, 10.4, 10.45)
    clock.observe_message(EPOCH + 11.2, 10.45)
    assert clock.earliest(10.45, 0.0) == pytest.approx(EPOCH + 10)


@pytest.mark.parametrize(("ahead", "expected"), [(59.0, False), (61.0, True), (-5.0, False)])
def test_a_time_more_than_a_minute_ahead_is_of_another_clock(ahead: float, expected: bool) -> None:
    """A minute allows for clocks that differ; more than that is an error somewhere."""
    assert is_ahead(EPOCH + ahead, EPOCH) is expected
