"""Up to which time a stream is complete: no clock and no stamp moves it too far."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from iottly_async.stream.position import StreamPosition

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
SETTLE = timedelta(seconds=5)


def at(seconds: float) -> datetime:
    """So many seconds after noon."""
    return NOON + timedelta(seconds=seconds)


def arrive(position: StreamPosition, stamp: datetime, moment: float) -> None:
    """A message arrives in order."""
    position.note_arrival(stamp, moment)
    position.deliver(stamp, moment)


def test_before_anything_it_is_the_callers_own_time() -> None:
    """With `since` the first gap starts there, without it there is none."""
    assert StreamPosition(NOON, SETTLE).complete_until == NOON
    assert StreamPosition(None, SETTLE).complete_until is None


def test_it_stays_the_settle_time_behind_the_newest_message() -> None:
    """A message that becomes visible late belongs to the next gap."""
    position = StreamPosition(None, SETTLE)
    position.note_server_time(at(0), 100.0)
    position.advance(100.0)
    assert position.complete_until == at(-5)
    arrive(position, at(10), 110.0)
    assert position.complete_until == at(5)


def test_a_message_stamped_an_hour_ahead_moves_it_by_nothing() -> None:
    """It never passes the service's present less the settle time."""
    position = StreamPosition(None, SETTLE)
    position.note_server_time(at(0), 100.0)
    position.advance(100.0)
    arrive(position, at(10) + HOUR, 110.0)
    assert position.complete_until == at(5)
    assert position.is_wild(at(10) + HOUR, 110.0)


def test_many_messages_stamped_an_hour_ahead_do_not_either() -> None:
    """The service's own time counts as well, however many stamps are wrong."""
    position = StreamPosition(None, SETTLE)
    position.note_server_time(at(0), 100.0)
    for second in range(50):
        arrive(position, at(second) + HOUR, 100.0 + second)
    assert position.complete_until == at(44)


def test_a_service_whose_other_clock_is_ahead_is_not_believed() -> None:
    """If the stamps are an hour behind `Date`, what is complete follows the stamps."""
    position = StreamPosition(None, SETTLE)
    position.note_server_time(at(0) + HOUR, 100.0)
    position.advance(100.0)
    arrive(position, at(10), 110.0)
    assert position.complete_until == at(5)
    position.advance(120.0)
    assert position.complete_until == at(15)


def test_what_is_learned_later_counts_for_what_came_before() -> None:
    """The clock that stamps turns out to be behind: the position goes back, and never on."""
    position = StreamPosition(None, SETTLE)
    position.note_server_time(at(0) + HOUR, 100.0)
    position.advance(100.0)
    assert position.complete_until == at(-5) + HOUR
    position.note_arrival(at(1), 101.0)  # held back, so not delivered
    assert position.complete_until == at(-5)
    position.note_server_time(at(2) + 2 * HOUR, 102.0)
    assert position.complete_until == at(-5)


def test_a_message_held_back_counts_from_when_it_arrived() -> None:
    """What was sent after it, and lost, is not taken for complete."""
    position = StreamPosition(None, timedelta())
    position.note_server_time(at(0), 100.0)
    position.note_arrival(at(3), 103.0)
    position.note_arrival(at(2), 104.0)
    position.deliver(at(2), 104.0)
    position.deliver(at(3), 103.0)
    complete = position.complete_until
    assert complete is not None
    assert complete <= at(3)


def test_a_difference_of_the_clocks_is_told() -> None:
    """Only if all of the newest messages agree on it."""
    position = StreamPosition(None, SETTLE)
    position.note_server_time(at(0), 100.0)
    for second in range(8):
        position.note_arrival(at(second) + HOUR, 100.0 + second)
    assert position.stamp_offset is None
    position.note_arrival(at(8) + HOUR, 108.0)
    assert position.stamp_offset == HOUR
    position.note_arrival(at(9), 109.0)
    assert position.stamp_offset == timedelta()


@given(
    st.lists(
        st.tuples(st.floats(0, 3), st.floats(0, 20), st.sampled_from([0.0, 0.0, 0.0, 3600.0])),
        min_size=1,
        max_size=30,
    ),
    st.floats(-7200, 7200),
)
def test_it_never_passes_a_message_that_is_still_to_come(
    messages: list[tuple[float, float, float]], skew: float
) -> None:
    """Whatever the skew of the clocks, whatever the lateness and the wrong stamps: a message
    that is sent after everything delivered is stamped later than what is complete."""
    position = StreamPosition(None, timedelta())
    position.note_server_time(at(skew), 0.0)
    moment = 0.0
    for pause, late, wrong in messages:
        moment += pause
        arrive(position, at(moment - late + wrong), moment)
        if wrong == 0.0:
            complete = position.complete_until
            assert complete is not None
            assert complete <= at(moment)
