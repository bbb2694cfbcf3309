"""The buffer between a stream and its consumer: how gaps join."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from iottly_async import Gap, Message
from iottly_async.stream.buffer import BufferedMessage, MessageBuffer
from iottly_async.stream.gap import BufferedGap
from tests.support.virtual_time import virtual

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def message(number: int) -> Message:
    """A message of that second after noon."""
    return Message(device_id="d", timestamp=NOON + timedelta(seconds=number))


def gap(start: int, end: int, missed: int | None = None) -> BufferedGap:
    """A gap between two seconds after noon."""
    low, high = NOON + timedelta(seconds=start), NOON + timedelta(seconds=end)
    return BufferedGap(Gap(start=low, end=high, reason="reconnect", missed=missed), 0.0)


@virtual
async def test_adjacent_gaps_become_one() -> None:
    """Two gaps become one, unless there is a message between them."""
    buffer = MessageBuffer(5, "wait")
    buffer.put_gap(gap(1, 2))
    buffer.put_gap(gap(2, 5))
    await buffer.put(BufferedMessage(message(6)), 0.0)
    buffer.put_gap(gap(6, 7))
    entries = [await buffer.get() for _ in range(3)]
    gaps = [entry.gap for entry in entries if isinstance(entry, BufferedGap)]
    assert [(each.start, each.end) for each in gaps] == [
        (NOON + timedelta(seconds=1), NOON + timedelta(seconds=5)),
        (NOON + timedelta(seconds=6), NOON + timedelta(seconds=7)),
    ]


@virtual
async def test_a_gap_before_dropped_messages_becomes_part_of_theirs() -> None:
    """The gap covers both, and the number of missing messages is then unknown."""
    buffer = MessageBuffer(1, "drop_oldest")
    buffer.put_gap(gap(1, 2))
    for number in (3, 4, 5):
        await buffer.put(BufferedMessage(message(number)), 0.0)
    dropped, last = await buffer.get(), await buffer.get()
    assert isinstance(dropped, BufferedGap)
    assert (dropped.gap.start, dropped.gap.end) == (
        NOON + timedelta(seconds=1),
        NOON + timedelta(seconds=4),
    )
    assert dropped.gap.missed is None
    assert last == BufferedMessage(message(5))
