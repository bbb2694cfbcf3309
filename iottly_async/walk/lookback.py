"""Messages that became visible later than the settle time: read again, hand out once.

A resumed walk reads the last stretch before its old end again. What was handed out of
that stretch before is known by the hashes that the cursor remembers; the rest is new.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from itertools import chain

from ..models._time import epoch_ms
from ..models.cursor import Interval
from ..models.message import Message
from .axis import within

_DIGITS = 16
"""Of a digest; enough for the messages of one millisecond."""

Entry = tuple[int, str]
Known = defaultdict[int, Counter[str]]


class RecentMessages:
    """What was handed out of the stretches that are, or may yet be, read again.

    Attributes:
        since: the millisecond from which messages handed out are remembered.
    """

    def __init__(self, entries: Iterable[Entry]) -> None:
        """Begin with the entries of the cursor that is resumed."""
        self.since: int | None = None
        self._before = _counted(entries)
        self._now: Known = defaultdict(Counter)

    def sift(self, messages: list[Message], start: int, end: int) -> list[Message]:
        """Of all messages of the milliseconds [start, end), those that are new."""
        known = any(start <= at < end for at in self._before)
        if not known and (self.since is None or end <= self.since):
            return messages
        new: list[Message] = []
        for message in messages:
            at, digest = epoch_ms(message.timestamp), message.digest[:_DIGITS]
            if self.since is not None and at >= self.since:
                self._now[at][digest] += 1
            if at in self._before and self._before[at][digest] > 0:
                self._before[at][digest] -= 1
            else:
                new.append(message)
        for at in [at for at in self._before if start <= at < end]:
            del self._before[at]
        return new

    def entries(self, remaining: Iterable[Interval]) -> tuple[Entry, ...]:
        """What the next walk must know: of the last stretch, and of what is still to come."""
        remaining = [*remaining]
        pending = (
            (at, digests) for at, digests in self._before.items() if within(remaining, at, at + 1)
        )
        return tuple(
            (at, digest)
            for at, digests in sorted(chain(pending, self._now.items()), key=lambda item: item[0])
            for digest in sorted(digests.elements())
        )


def _counted(entries: Iterable[Entry]) -> Known:
    known: Known = defaultdict(Counter)
    for at, digest in entries:
        known[at][digest] += 1
    return known
