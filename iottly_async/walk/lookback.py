"""The lookback: a resumed walk reads its last interval again, for messages that came late.

A message can become visible later than the settle time. So a resumed walk with a lookback
reads the last seconds before its old end again. Its cursor remembers the hashes of the
messages that were delivered there; all others are new.
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
"""Digits of a digest that are remembered: enough for the messages of one millisecond."""

Entry = tuple[int, str]
_Counted = defaultdict[int, Counter[str]]


class RecentMessages:
    """Remembers the messages delivered of late intervals, so that each is delivered once.

    Attributes:
        since: the millisecond from which delivered messages are remembered; None before the
            walk's end is pinned.
    """

    def __init__(self, entries: Iterable[Entry]) -> None:
        """Begin with the entries of the cursor that is resumed."""
        self.since: int | None = None
        self._before = _counted(entries)
        self._delivered: _Counted = defaultdict(Counter)

    def only_new(self, messages: list[Message], start: int, end: int) -> list[Message]:
        """Return those of `messages` that were not delivered before, and remember them.

        Args:
            messages: all of the milliseconds [start, end).
            start: inclusive.
            end: exclusive.
        """
        known = any(start <= at < end for at in self._before)
        if not known and (self.since is None or end <= self.since):
            return messages
        new: list[Message] = []
        for message in messages:
            at, digest = epoch_ms(message.timestamp), message.digest[:_DIGITS]
            if self.since is not None and at >= self.since:
                self._delivered[at][digest] += 1
            if at in self._before and self._before[at][digest] > 0:
                self._before[at][digest] -= 1
            else:
                new.append(message)
        for at in [at for at in self._before if start <= at < end]:
            del self._before[at]
        return new

    def entries(self, remaining: Iterable[Interval]) -> tuple[Entry, ...]:
        """Return what a resumed walk must know: time and shortened hash of each message.

        Args:
            remaining: the intervals still to deliver; what was known of them before is kept.
        """
        remaining = [*remaining]
        pending = (
            (at, digests) for at, digests in self._before.items() if within(remaining, at, at + 1)
        )
        return tuple(
            (at, digest)
            for at, digests in sorted(
                chain(pending, self._delivered.items()), key=lambda item: item[0]
            )
            for digest in sorted(digests.elements())
        )


def _counted(entries: Iterable[Entry]) -> _Counted:
    counted: _Counted = defaultdict(Counter)
    for at, digest in entries:
        counted[at][digest] += 1
    return counted
