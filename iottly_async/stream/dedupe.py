"""Drops the messages that a stream yielded before, when a backfill finds them again. Pure.

A message is recognised by its digest. Identical messages have one digest, so copies are
counted: if the service has three, the stream yields three.

Counting cannot tell one case: two identical messages of one millisecond, of which one fell
into a gap and the other comes by the stream after the gap, and after the backfill has read
that millisecond. The two count as one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta

from ..models import Message


class _Copies:
    """The copies of one message: how many came by the stream, and how many were yielded."""

    __slots__ = ("at", "streamed", "yielded")

    def __init__(self, at: datetime) -> None:
        self.at = at
        self.streamed = 0
        self.yielded = 0


class SeenMessages:
    """Remembers the messages that were yielded, as far back as a backfill may read.

    Args:
        lookback: how far before the newest message that is.

    Attributes:
        floor: no message before this time is remembered, and no backfill reads before it.
            None until the first message.
    """

    def __init__(self, lookback: timedelta) -> None:
        self._lookback = lookback
        self._copies: dict[str, _Copies] = {}
        self.floor: datetime | None = None

    def add_streamed(self, message: Message) -> bool:
        """Remember a message that came by the stream; True if it is new and must be yielded."""
        at = message.timestamp
        copies = self._copies.get(message.digest)
        if copies is None:
            if self.floor is not None and at < self.floor:
                return True  # No backfill reads this far back, so it can only come once.
            copies = self._copies[message.digest] = _Copies(at)
            self.forget_before(at - self._lookback)
        copies.streamed += 1
        if copies.streamed <= copies.yielded:
            return False
        copies.yielded += 1
        return True

    def add_walked(self, messages: Sequence[Message], overlap_start: datetime) -> list[Message]:
        """Remember messages that a backfill read; return the new ones, which must be yielded.

        Args:
            messages: whole milliseconds, as a walk's batch has them.
            overlap_start: from this time on, the stream may bring the same messages later.
        """
        found: Counter[str] = Counter()
        new: list[Message] = []
        for message in messages:
            digest = message.digest
            found[digest] += 1
            copies = self._copies.get(digest)
            if copies is None:
                copies = _Copies(message.timestamp)
                if message.timestamp >= overlap_start:
                    self._copies[digest] = copies
            if found[digest] > copies.yielded:
                new.append(message)
                copies.yielded = found[digest]
        return new

    def forget_before(self, floor: datetime) -> None:
        """Forget the messages before `floor`, because no backfill reads them again."""
        if self.floor is not None and floor <= self.floor:
            return
        self.floor = floor
        while self._copies:
            oldest = next(iter(self._copies))
            if self._copies[oldest].at >= floor:
                return
            del self._copies[oldest]
