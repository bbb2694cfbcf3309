"""What was handed out of late, so that what a walk finds again is told from what is new. Pure.

A message is known by its digest, and the copies of one are counted, so that identical
messages come as often as they are.

The one thing that counting cannot tell: two identical messages of one millisecond, of
which one fell into a gap and the other came by the stream after it, and later than the
walk. They are taken for one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta

from ..models import Message


class _Copies:
    """How many copies of one message came by the stream, and how many were handed out."""

    __slots__ = ("at", "came", "handed")

    def __init__(self, at: datetime) -> None:
        self.at = at
        self.came = 0
        self.handed = 0


class SeenMessages:
    """Remembers messages as far back as a walk may read again.

    Args:
        lookback: how far before the latest message that is.
    """

    def __init__(self, lookback: timedelta) -> None:
        self._lookback = lookback
        self._copies: dict[str, _Copies] = {}
        self.floor: datetime | None = None
        """Before it nothing is remembered, and no walk reads."""

    def is_new(self, message: Message) -> bool:
        """Whether a message that came by the stream is to be handed out; notes that it is."""
        at = message.timestamp
        copies = self._copies.get(message.digest)
        if copies is None:
            if self.floor is not None and at < self.floor:
                return True  # older than any walk will reach back: it comes by the stream alone
            copies = self._copies[message.digest] = _Copies(at)
            self.forget(at - self._lookback)
        copies.came += 1
        if copies.came <= copies.handed:
            return False
        copies.handed += 1
        return True

    def unseen(self, messages: Sequence[Message], doubtful: datetime) -> list[Message]:
        """Of whole milliseconds that a walk read, what was not handed out yet; notes that it is.

        Args:
            messages: as read.
            doubtful: from then on the stream may bring copies of them later.
        """
        found: Counter[str] = Counter()
        unseen: list[Message] = []
        for message in messages:
            digest = message.digest
            found[digest] += 1
            copies = self._copies.get(digest)
            if copies is None:
                copies = _Copies(message.timestamp)
                if message.timestamp >= doubtful:
                    self._copies[digest] = copies
            if found[digest] > copies.handed:
                unseen.append(message)
                copies.handed = found[digest]
        return unseen

    def forget(self, floor: datetime) -> None:
        """Forget what lies before `floor`: no walk will read it again."""
        if self.floor is not None and floor <= self.floor:
            return
        self.floor = floor
        while self._copies:
            oldest = next(iter(self._copies))
            if self._copies[oldest].at >= floor:
                return
            del self._copies[oldest]
