"""Between a stream and its consumer: a bounded buffer, and what it does when it is full."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Literal

import attrs
from attrs import frozen

from ..models import Message
from .events import Gap

Overflow = Literal["wait", "drop_oldest"]
OVERFLOWS: tuple[Overflow, ...] = ("wait", "drop_oldest")


@frozen
class BufferedGap:
    """A gap, and since when (monotonic) it is past."""

    gap: Gap
    since: float


class MessageBuffer:
    """What came and was not consumed yet; one task puts, one takes.

    Args:
        size: messages at most.
        overflow: whether a full buffer makes the stream "wait", and with it the service,
            or drops the oldest message for each new one and reports the gap.
    """

    __slots__ = ("_changed", "_dropped", "_entries", "_error", "_messages", "_overflow", "_size")

    def __init__(self, size: int, overflow: Overflow) -> None:
        self._size = size
        self._overflow = overflow
        self._entries: deque[Message | BufferedGap] = deque()
        self._dropped: BufferedGap | None = None
        self._messages = 0
        self._error: BaseException | None = None
        self._changed = asyncio.Event()

    def __len__(self) -> int:
        return self._messages

    async def put(self, message: Message, now: float) -> None:
        """Add a message, by the policy where there is no room."""
        if self._overflow == "wait":
            while self._messages >= self._size:
                self._changed.clear()
                await self._changed.wait()
        elif self._messages >= self._size:
            self._drop(now)
        self._entries.append(message)
        self._messages += 1
        self._changed.set()

    def put_hole(self, hole: BufferedGap) -> None:
        """Add a gap; it needs no room, and joins with one that it follows directly."""
        if self._entries and isinstance(last := self._entries[-1], BufferedGap):
            hole = _joined(last, hole)
            self._entries.pop()
        self._entries.append(hole)
        self._changed.set()

    def fail(self, error: BaseException) -> None:
        """Nothing more will come; who takes gets what is there, and then the first `error`."""
        self._error = self._error or error
        self._changed.set()

    async def get(self) -> Message | BufferedGap:
        """The next entry, in order.

        Raises:
            BaseException: what `fail` was given, once the buffer is empty.
        """
        while True:
            if self._dropped is not None:
                hole, self._dropped = self._dropped, None
                return hole
            if self._entries:
                entry = self._entries.popleft()
                if isinstance(entry, Message):
                    self._messages -= 1
                self._changed.set()
                return entry
            if self._error is not None:
                raise self._error
            self._changed.clear()
            await self._changed.wait()

    def _drop(self, now: float) -> None:
        """Take the oldest message out, and the gaps before it, into one gap."""
        while self._entries:
            entry = self._entries.popleft()
            if isinstance(entry, Message):
                self._messages -= 1
                at = entry.timestamp
                gap = Gap(start=at, end=at, reason="overflow", missed=1)
                self._dropped = _joined(self._dropped, BufferedGap(gap, now))
                return
            self._dropped = _joined(self._dropped, entry)


def _joined(first: BufferedGap | None, second: BufferedGap) -> BufferedGap:
    """One gap from the start of the first to the end of the later."""
    if first is None:
        return second
    one, other = first.gap, second.gap
    missed = None if one.missed is None or other.missed is None else one.missed + other.missed
    start = None if one.start is None or other.start is None else min(one.start, other.start)
    end = None if one.end is None or other.end is None else max(one.end, other.end)
    gap = attrs.evolve(one, start=start, end=end, missed=missed)
    return BufferedGap(gap, max(first.since, second.since))
