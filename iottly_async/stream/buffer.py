"""The bounded buffer between a stream and its consumer."""

from __future__ import annotations

import asyncio
from collections import deque
from datetime import datetime
from typing import Literal

from attrs import frozen

from ..models import Message
from .gap import BufferedGap, Gap

Overflow = Literal["wait", "drop_oldest"]
OVERFLOWS: tuple[Overflow, ...] = ("wait", "drop_oldest")


@frozen
class BufferedMessage:
    """A message that waits for the consumer.

    Attributes:
        message: the message.
        complete_until: the time up to which everything was delivered before this message. No
            later gap is read from an earlier time. None, the default, if it is not known.
    """

    message: Message
    complete_until: datetime | None = None


class MessageBuffer:
    """Holds messages and gaps until the consumer takes them; one task puts, one task gets.

    Args:
        size: the largest number of messages. Gaps do not count.
        overflow: what `put` does if the buffer is full. "wait" waits for room, so that the
            connection is not read and the service has to wait. "drop_oldest" drops the
            oldest message and makes it part of a gap.
    """

    __slots__ = ("_changed", "_dropped", "_entries", "_error", "_messages", "_overflow", "_size")

    def __init__(self, size: int, overflow: Overflow) -> None:
        self._size = size
        self._overflow = overflow
        self._entries: deque[BufferedMessage | BufferedGap] = deque()
        self._dropped: BufferedGap | None = None
        self._messages = 0
        self._error: BaseException | None = None
        self._changed = asyncio.Event()

    def __len__(self) -> int:
        return self._messages

    async def put(self, entry: BufferedMessage, now: float) -> None:
        """Add a message; `now` is the monotonic time."""
        if self._overflow == "wait":
            while self._messages >= self._size:
                self._changed.clear()
                await self._changed.wait()
        elif self._messages >= self._size:
            self._drop_oldest(now)
        self._entries.append(entry)
        self._messages += 1
        self._changed.set()

    def put_gap(self, gap: BufferedGap) -> None:
        """Add a gap; if the newest entry is a gap, the two become one."""
        if self._entries and isinstance(last := self._entries[-1], BufferedGap):
            gap = last.join(gap)
            self._entries.pop()
        self._entries.append(gap)
        self._changed.set()

    def fail(self, error: BaseException) -> None:
        """End the buffer: `get` returns what is left and then raises the first `error`."""
        self._error = self._error or error
        self._changed.set()

    async def get(self) -> BufferedMessage | BufferedGap:
        """Take the oldest entry; wait for one if there is none.

        Raises:
            BaseException: the error given to `fail`, once the buffer is empty.
        """
        while True:
            if self._dropped is not None:
                gap, self._dropped = self._dropped, None
                return gap
            if self._entries:
                entry = self._entries.popleft()
                if isinstance(entry, BufferedMessage):
                    self._messages -= 1
                self._changed.set()
                return entry
            if self._error is not None:
                raise self._error
            self._changed.clear()
            await self._changed.wait()

    def _drop_oldest(self, now: float) -> None:
        """Turn the oldest message, and the gaps before it, into one gap."""
        while self._entries:
            entry = self._entries.popleft()
            is_message = isinstance(entry, BufferedMessage)
            if isinstance(entry, BufferedMessage):
                self._messages -= 1
                at = entry.message.timestamp
                gap = Gap(start=at, end=at, reason="overflow", missed=1)
                entry = BufferedGap(gap, now, overlap_from=_earlier(at, entry.complete_until))
            self._dropped = entry if self._dropped is None else self._dropped.join(entry)
            if is_message:
                return


def _earlier(one: datetime, other: datetime | None) -> datetime:
    return one if other is None else min(one, other)
