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
    """A message of that second after noon."""
    return Message(device_id="d", timestamp=NOON + timedelta(seconds=number))


def seconds(found: list[Message | MissingMessages]) -> list[Any]:
    """Of a message its second after noon, of missing ones their count."""
    return [
        ("lost", each.count)
        if isinstance(each, MissingMessages)
        else (each.timestamp - NOON).seconds
        for each in found
    ]


@given(st.permutations(range(1, 9)), st.sets(st.integers(1, 8)))
def test_each_message_comes_once_or_is_reported_lost(order: list[int], gone: set[int]) -> None:
    """In whatever order messages arrive, they come in order of their numbers, each once."""
    reorder: ReorderBuffer[Message] = ReorderBuffer(max_wait=1.0)
    reorder.begin(0)
    found: list[Any] = []
    for number in order:
        if number not in gone:
            found += seconds(reorder.push(message(number), number, 0.0))
    reorder.note_sent(8, 0.0)
    while reorder.deadline is not None:
        found += seconds(reorder.give_up(1.0))
    numbers = [each for each in found if isinstance(each, int)]
    lost = sum(each[1] for each in found if not isinstance(each, int))
    assert numbers == sorted(set(range(1, 9)) - gone)
    assert lost == len(gone)


def test_the_deadline_is_that_of_the_first_missing_number() -> None:
    """It starts when the number is missed, and again when that number has come."""
    reorder: ReorderBuffer[Message] = ReorderBuffer(max_wait=1.0)
    reorder.begin(0)
    reorder.push(message(2), 2, 10.0)
    reorder.push(message(4), 4, 10.5)
    assert reorder.deadline == 11.0
    assert seconds(reorder.push(message(1), 1, 10.7)) == [1, 2]
    assert reorder.deadline == 11.7
    assert seconds(reorder.push(message(3), 3, 10.8)) == [3, 4]
    assert reorder.deadline is None


def test_repeated_and_late_messages_are_dropped() -> None:
    """A number that was returned or given up is not returned again."""
    reorder: ReorderBuffer[Message] = ReorderBuffer(max_wait=1.0)
    reorder.begin(0)
    assert seconds(reorder.push(message(1), 1, 0.0)) == [1]
    assert reorder.push(message(1), 1, 0.0) == []
    reorder.push(message(3), 3, 0.0)
    assert seconds(reorder.give_up(1.0)) == [("lost", 1), 3]
    assert reorder.push(message(2), 2, 1.0) == []


def test_messages_without_numbers_pass() -> None:
    """If the protocol numbers no messages, they come as they arrive and none is missing."""
    reorder: ReorderBuffer[Message] = ReorderBuffer(max_wait=1.0)
    reorder.begin(None)
    assert seconds(reorder.push(message(1), None, 0.0)) == [1]
    assert reorder.deadline is None
