"""The messages that a stream has seen: what is new, and what is forgotten."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from iottly_async import Message, MessageType
from iottly_async.stream.dedupe import SeenMessages

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
LOOKBACK = timedelta(seconds=5)


def message(second: int, payload: bytes = b"{}") -> Message:
    """A message of that second after noon."""
    return Message(device_id="d", timestamp=NOON + timedelta(seconds=second), payload_json=payload)


def test_a_walk_yields_only_what_the_stream_did_not() -> None:
    """A message that came by the stream is dropped when a walk reads it again."""
    seen = SeenMessages(LOOKBACK)
    assert seen.add_streamed(message(1), None)
    assert seen.add_walked([message(1), message(2)], NOON) == [message(2)]


def test_a_message_that_a_walk_yielded_is_dropped_from_the_stream() -> None:
    """A message near the end of a gap may come by the stream after the walk has read it."""
    seen = SeenMessages(LOOKBACK)
    assert seen.add_walked([message(1)], NOON) == [message(1)]
    assert not seen.add_streamed(message(1), None)


def test_copies_are_counted() -> None:
    """Of three identical messages, one of which came by the stream, a walk yields two."""
    seen = SeenMessages(LOOKBACK)
    assert seen.add_streamed(message(1), None)
    assert seen.add_walked([message(1)] * 3, NOON) == [message(1)] * 2
    assert seen.add_walked([message(1)] * 3, NOON) == []


def test_different_messages_of_one_millisecond_are_different() -> None:
    """A message is recognised by all of its content, not by its time."""
    seen = SeenMessages(LOOKBACK)
    assert seen.add_streamed(message(1), None)
    other = attrs.evolve(message(1), payload_json=b"[]")
    assert seen.add_walked([message(1), other], NOON) == [other]


def test_messages_before_the_lookback_are_forgotten() -> None:
    """The memory is bounded by time: no walk reads further back than `floor`."""
    seen = SeenMessages(LOOKBACK)
    for second in range(100):
        assert seen.add_streamed(message(second), NOON + timedelta(seconds=second))
    assert seen.floor == NOON + timedelta(seconds=93)
    assert len(seen) == 7
    late = message(3)
    assert seen.add_streamed(late, None), "it is older than any walk, so it is not a repeat"


def test_a_message_stamped_ahead_makes_nothing_forgotten() -> None:
    """What is remembered depends on what is complete, and not on one message's time."""
    seen = SeenMessages(LOOKBACK)
    assert seen.add_streamed(message(1), NOON)
    assert seen.add_streamed(message(3600), NOON + timedelta(seconds=1))
    assert seen.add_walked([message(1), message(2)], NOON) == [message(2)]


def test_a_message_stamped_ahead_does_not_keep_the_others() -> None:
    """The memory stays bounded while a message stamped an hour ahead is in it."""
    seen = SeenMessages(LOOKBACK)
    assert seen.add_streamed(message(3600), NOON)
    for second in range(100):
        assert seen.add_streamed(message(second), NOON + timedelta(seconds=second))
    assert len(seen) == 8


def test_a_frame_with_fewer_fields_than_a_page_is_the_same_message() -> None:
    """A service's frames may lack the device's time, the channel, the type or the project."""
    seen = SeenMessages(LOOKBACK)
    whole = attrs.evolve(
        message(1, b'{"a": 1, "b": 2}'),
        project_id="p",
        type=MessageType.USERDEFINED,
        device_timestamp=NOON,
        channel="c",
    )
    assert seen.add_streamed(message(1, b'{"b":2,"a":1}'), None)
    assert seen.add_walked([whole], NOON) == []
    assert seen.add_walked([attrs.evolve(whole, timestamp=NOON)], NOON) != []
    assert not seen.add_streamed(message(0, b'{"b":2,"a":1}'), None)


@pytest.mark.parametrize(
    ("streamed", "walked", "same"),
    [
        (b'{"a": NaN, "b": 1}', b'{"b":1,"a":NaN}', True),
        (b'{"a": NaN}', b'{"a": null}', False),
        (b"{'a'}", b"{'a'}", True),
        (b"{'a'}", b"{'b'}", False),
    ],
)
def test_a_payload_that_is_no_json_is_recognised(
    streamed: bytes, walked: bytes, same: bool
) -> None:
    """NaN counts like a value, and what nothing can read by its bytes."""
    seen = SeenMessages(LOOKBACK)
    assert seen.add_streamed(message(1, streamed), None)
    assert seen.add_walked([message(1, walked)], NOON) == ([] if same else [message(1, walked)])


def test_messages_that_differ_in_a_field_that_both_tell_are_different() -> None:
    """Of two readings of one millisecond with different device times, the missing one comes."""
    seen = SeenMessages(LOOKBACK)
    one, two = (
        attrs.evolve(message(1), device_timestamp=NOON + timedelta(milliseconds=n)) for n in (1, 2)
    )
    assert seen.add_streamed(two, None)
    assert seen.add_walked([one, two], NOON) == [one]
    assert not seen.add_streamed(one, None)


def test_an_equal_message_is_matched_before_one_that_only_agrees() -> None:
    """A message without a device time is not taken for the one that has the stream's."""
    seen = SeenMessages(LOOKBACK)
    timed = attrs.evolve(message(1), device_timestamp=NOON)
    assert seen.add_streamed(timed, None)
    assert seen.add_walked([message(1), timed], NOON) == [message(1)]


@given(
    st.lists(st.tuples(st.integers(0, 2), st.sampled_from([None, 1, 2])), max_size=12),
    st.data(),
)
def test_each_copy_comes_once(rows: list[tuple[int, int | None]], data: st.DataObject) -> None:
    """Whatever part of the messages the stream brings before and after a backfill, each comes
    once in all; identical ones as often as there are."""
    messages = [
        attrs.evolve(
            message(second),
            device_timestamp=None if at is None else NOON + timedelta(milliseconds=at),
        )
        for second, at in sorted(rows, key=repr)
    ]
    seen = SeenMessages(LOOKBACK)
    before = [each for each in messages if data.draw(st.booleans())]
    found = [each for each in before if seen.add_streamed(each, NOON)]
    assert found == before
    found += seen.add_walked(messages, NOON)
    after = [each for each in messages if each not in before]
    found += [each for each in after if seen.add_streamed(each, NOON)]
    found += seen.add_walked(messages, NOON)
    assert Counter(found) == Counter(messages)
