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
from heapq import heappop, heappush
from typing import Final

from ..models import Message

_MARGIN: Final = timedelta(seconds=1)
"""Messages are remembered for this much longer than they must be."""


class _Copies:
    """The copies of one message: how many came by the stream, and how many were yielded."""

    __slots__ = ("streamed", "yielded")

    def __init__(self) -> None:
        self.streamed = 0
        self.yielded = 0


class SeenMessages:
    """Remembers the messages that were yielded, as far back as a backfill may read.

    Args:
        lookback: how far before a gap a backfill reads.

    Attributes:
        floor: no message before this time is remembered, and no backfill reads before it.
            None until something is forgotten.
    """

    def __init__(self, lookback: timedelta) -> None:
        self._lookback = lookback + _MARGIN
        self._copies: dict[str, _Copies] = {}
        self._by_time: list[tuple[datetime, str]] = []
        self.floor: datetime | None = None

    def add_streamed(self, message: Message, complete_until: datetime | None) -> bool:
        """Remember a message that came by the stream; True if it is new and must be yielded.

        Args:
            message: the message.
            complete_until: no gap after this message starts before this time. None if it is
                not known.
        """
        if complete_until is not None:
            self.forget_before(complete_until - self._lookback)
        at = message.timestamp
        copies = self._copies.get(message.digest)
        if copies is None:
            if self.floor is not None and at < self.floor:
                return True  # No backfill reads this far back, so it can only come once.
            copies = self._remember(message)
        copies.streamed += 1
        if copies.streamed <= copies.yielded:
            return False
        copies.yielded += 1
        return True

    def add_walked(self, messages: Sequence[Message], overlap_from: datetime) -> list[Message]:
        """Remember messages that a backfill read; return the new ones, which must be yielded.

        Args:
            messages: whole milliseconds, as a walk's batch has them.
            overlap_from: the stream may bring messages from this time on later, and late
                ones, which are stamped at most `lookback` earlier.
        """
        remember_from = overlap_from - self._lookback
        found: Counter[str] = Counter()
        new: list[Message] = []
        for message in messages:
            digest = message.digest
            found[digest] += 1
            copies = self._copies.get(digest)
            if copies is None:
                kept = message.timestamp >= remember_from
                copies = self._remember(message) if kept else _Copies()
            if found[digest] > copies.yielded:
                new.append(message)
                copies.yielded = found[digest]
        return new

    def forget_before(self, floor: datetime) -> None:
        """Forget the messages before `floor`, because no backfill reads them again."""
        if self.floor is not None and floor <= self.floor:
            return
        self.floor = floor
        while self._by_time and self._by_time[0][0] < floor:
            del self._copies[heappop(self._by_time)[1]]

    def _remember(self, message: Message) -> _Copies:
        copies = self._copies[message.digest] = _Copies()
        heappush(self._by_time, (message.timestamp, message.digest))
        return copies
