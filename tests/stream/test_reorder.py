"""The reorder buffer: numbered messages come in order, and missing ones are reported."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from iottly_async import Message
from iottly_async.stream.reorder import MissingMessages, ReorderBuffer

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def message(number: int) -> Message:
    """A message of the so-many-th second after noon."""
    return Message(device_id="d", timestamp=NOON + timedelta(seconds=number))


def seconds(found: list[Message | MissingMessages]) -> list[Any]:
    """Numbers of messages, and how many were lost."""
    return [
        ("lost", each.count)
        if isinstance(each, MissingMessages)
        else (each.timestamp - NOON).seconds
        for each in found
    ]


@given(st.permutations(range(1, 9)), st.sets(st.integers(1, 8)))
def test_whatever_the_order_each_comes_once_or_is_lost(order: list[int], gone: set[int]) -> None:
    """Messages come in order, and with what is reported lost they are all there were."""
    sequence = ReorderBuffer(max_wait=1.0)
    sequence.begin(0)
    found: list[Any] = []
    for number in order:
        if number not in gone:
            found += seconds(sequence.push(message(number), number, 0.0))
    sequence.note_sent(8, 0.0)
    while sequence.deadline is not None:
        found += seconds(sequence.give_up(1.0))
    numbers = [each for each in found if isinstance(each, int)]
    lost = sum(each[1] for each in found if not isinstance(each, int))
    assert numbers == sorted(set(range(1, 9)) - gone)
    assert lost == len(gone)


def test_a_number_is_waited_for_from_when_it_was_missed() -> None:
    """The deadline is that of the oldest hole, and moves when one is filled."""
    sequence = ReorderBuffer(max_wait=1.0)
    sequence.begin(0)
    sequence.push(message(2), 2, 10.0)
    sequence.push(message(4), 4, 10.5)
    assert sequence.deadline == 11.0
    assert seconds(sequence.push(message(1), 1, 10.7)) == [1, 2]
    assert sequence.deadline == 11.7
    assert seconds(sequence.push(message(3), 3, 10.8)) == [3, 4]
    assert sequence.deadline is None


def test_what_comes_twice_or_too_late_is_dropped() -> None:
    """A number that was handed on or given up is not handed on again."""
    sequence = ReorderBuffer(max_wait=1.0)
    sequence.begin(0)
    assert seconds(sequence.push(message(1), 1, 0.0)) == [1]
    assert sequence.push(message(1), 1, 0.0) == []
    sequence.push(message(3), 3, 0.0)
    assert seconds(sequence.give_up(1.0)) == [("lost", 1), 3]
    assert sequence.push(message(2), 2, 1.0) == []


def test_without_numbers_messages_pass() -> None:
    """A protocol that does not number its messages is taken at its word."""
    sequence = ReorderBuffer(max_wait=1.0)
    sequence.begin(None)
    assert seconds(sequence.push(message(1), None, 0.0)) == [1]
    assert sequence.deadline is None
