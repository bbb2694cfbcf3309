"""Where a resumed walk goes on, and what it drops there because it was yielded before (D11).

No clock is trusted to say up to when everything is there. `Date` may come from another clock
than the one that stamps messages, and a message becomes visible a little after its time. So a
cursor stands behind the newest message that was yielded, wherever the walk has ended. A resumed
walk *looks back*: it reads the `lookback` before that message again, for what has become visible
meanwhile. The cursor remembers the messages of that part by a hash of each; all others there are
new.

How far it must look back follows from one assumption: a message becomes visible within the
settle time and the lookback together. Then a millisecond was read whole if it was asked for when
the clock that stamps was that much further. How far that clock was, the messages themselves show:
it had reached the stamp of each when the answer that brought it arrived, and it runs as fast as
any clock.

So the part does not grow. If no newer message comes, it shrinks to nothing once that time has
passed since the newest one was seen. Between two walks, this must be said by both the server's
clock and the local one, so that one wild `Date` changes nothing.

An example, with a settle time of 5 s and a lookback of 5 s; `Date` is 8 s ahead of the clock that
stamps, so that nothing settles before it is read:

```text
Date 12:00:10   the walk ends at 12:00:05. Yielded: a (11:59:51) and b (12:00:01).
                The cursor goes on at 11:59:51 and remembers a and b.
Date 12:00:12   read again: a, b; new: c (12:00:00, visible late), d (12:00:03).
                The cursor goes on at 11:59:53 and remembers c, b and d.
Date 12:00:30   read again: c, b, d; nothing is new. 18 s have passed since d was seen:
                the cursor goes on behind d, and remembers nothing.
```
"""

from __future__ import annotations

import logging
from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence
from math import floor, inf
from typing import Final, NamedTuple

from ..models.cursor import Cursor, Interval, LookBack, Moment
from ..models.row import MessageRow
from .axis import FAR, union, within
from .keyset.page import RejectedAt
from .query import LookBackPart
from .rejected import row_key

_log: Final = logging.getLogger("iottly_async.walk")

MOST_REMEMBERED: Final = 10_000
"""Messages that a cursor remembers, at most. If there are more, it looks back less far."""

_MOST_REJECTED: Final = 1000
"""Rows that are no messages and are remembered besides, at most: the newest of them."""

_DATE_STEP: Final = 1000
"""`Date` has whole seconds: a difference of two may be this many milliseconds too large."""

_DIGITS: Final = 16
"""Digits of a digest that are remembered: enough for the messages of one millisecond."""


class _Read(NamedTuple):
    """An interval of time that was read and yielded.

    Attributes:
        start: first millisecond.
        end: exclusive.
        asked_at: when it was asked for, in milliseconds of the monotonic clock.
        messages: that were new in it, oldest first.
    """

    start: int
    end: int
    asked_at: float
    messages: Sequence[MessageRow]


class Lookback:
    """What a walk remembers of what it has yielded, and where its cursors go on.

    Times of the monotonic clock are milliseconds.

    Attributes:
        newest: the newest millisecond of which a message was yielded; None if there was none.
        oldest: the oldest such millisecond; None also if that is not known.
        floor: where a cursor goes on at the earliest.
    """

    __slots__ = (
        "_answered_at",
        "_asked",
        "_known",
        "_known_keys",
        "_known_times",
        "_now",
        "_prune_at",
        "_read",
        "_rejected",
        "_size",
        "_span",
        "_stamped",
        "_unread_from",
        "_warned",
        "floor",
        "newest",
        "oldest",
    )

    def __init__(self, span: int, start: int) -> None:
        """Begin a walk at `start`.

        Args:
            span: milliseconds after its time up to which a message may become visible; 0
                remembers nothing.
            start: first millisecond of the walk's query.
        """
        self.newest: int | None = None
        self.oldest: int | None = None
        self.floor = start
        self._span = span
        self._unread_from: float = inf
        self._known: dict[int, Counter[str]] = {}
        self._known_times: list[int] = []
        self._known_keys: set[str] = set()
        self._asked: list[float] = []
        self._read: list[_Read] = []
        self._rejected: list[tuple[int, str]] = []
        self._size = 0
        self._prune_at = 4
        self._warned = False
        # By how much the clock that stamps is ahead of the monotonic one, at least.
        self._stamped = -inf
        self._now: Moment = (0, 0)
        self._answered_at = 0.0

    def resume(self, cursor: Cursor, part: LookBackPart) -> tuple[Interval, int]:
        """Go on from a cursor.

        Args:
            cursor: to resume from.
            part: what of the lookback is read again; see `WalkSettings.looks_back`.

        Returns:
            The interval that is read again, and the millisecond from which all is read.
        """
        self.newest, self.oldest = cursor.newest, cursor.oldest
        if cursor.recent_from is None:  # of a version that did not look back
            self.floor = cursor.pinned_end
            return (self.floor, self.floor), self.floor
        # Of all from there on, it is known what was yielded. If the last walk was stopped, it may
        # have to go on earlier than that after all, once it has read what remains.
        (self.floor, _), *_ = reversed(union([*cursor.remaining, (cursor.recent_from, FAR)]))
        for at, key in cursor.recent:
            self._known.setdefault(at, Counter())[key] += 1
            self._known_keys.add(key)
        self._known_times = sorted(self._known)
        first = cursor.recent_from
        if self.newest is None:
            return (first, first), first
        behind = max(first, min(self.newest + 1, cursor.pinned_end))
        if not self._span:
            return (behind, behind), behind
        if part == "all":
            return (first, behind), behind
        old = first
        if part == "old":
            old = max(first, min(behind, self.newest + 1 - self._span))
        if old < behind:
            self._unread_from = old
        return (first, old), behind

    def begin(self, cursor: Cursor, now: Moment, answered_at: float) -> None:
        """Take in what a cursor says of the clock that stamps.

        Args:
            cursor: that is resumed.
            now: when the first answer arrived.
            answered_at: the same by the monotonic clock.
        """
        if cursor.stamped is not None:
            stamp, *then = cursor.stamped
            passed = min(now[0] - _DATE_STEP - then[0], now[1] - then[1])
            self._stamped = stamp + max(passed, 0) - answered_at

    def asked(self, asked_at: float) -> None:
        """Take in that an interval was asked for that will be given to `only_new`."""
        self._asked.append(asked_at)

    def answered(self, now: Moment, answered_at: float, newest: int | None) -> None:
        """Take in that an answer arrived.

        Args:
            now: when it arrived.
            answered_at: the same by the monotonic clock.
            newest: the newest millisecond that it shows a message of; None if it shows none.
        """
        self._now, self._answered_at = now, answered_at
        if newest is not None:
            self._stamped = max(self._stamped, newest - answered_at)

    @property
    def stamped(self) -> tuple[int, int, int] | None:
        """A time that the clock that stamps has reached, and the moment; None if not known."""
        if self._stamped == -inf:
            return None
        return (floor(self._stamped + self._answered_at), *self._now)

    def knows(self, key: str) -> bool:
        """Whether a row that is no message was yielded before, by its key."""
        return key in self._known_keys

    def only_new(
        self,
        messages: list[MessageRow],
        start: int,
        end: int,
        asked_at: float,
        rejected: Sequence[RejectedAt] = (),
    ) -> list[MessageRow]:
        """Return those of `messages` that were not yielded before, and remember them.

        Args:
            messages: all of the milliseconds [start, end), oldest first.
            start: inclusive.
            end: exclusive.
            asked_at: when they were asked for, by the monotonic clock.
            rejected: rows of these milliseconds that are no messages, and were not yielded
                before; they are remembered, too. Default: none.
        """
        times = self._known_times
        first = bisect_left(times, start)
        if first < len(times) and times[first] < end:
            messages = self._drop_known(messages)
        if messages:
            oldest, newest = messages[0].at, messages[-1].at
            if self.newest is None or (self.oldest is not None and oldest < self.oldest):
                self.oldest = oldest
            if self.newest is None or newest > self.newest:
                self.newest = newest
        if asked_at in self._asked:
            self._asked.remove(asked_at)
        self._rejected += [(at, row_key(row.raw)) for at, row in rejected]
        if len(self._rejected) > 2 * _MOST_REJECTED:
            self._rejected = sorted(self._rejected)[-_MOST_REJECTED:]
        if self._span and start < end:
            self._read.append(_Read(start, end, asked_at, messages[:]))
            self._size += len(messages)
            if len(self._read) >= self._prune_at or self._size > MOST_REMEMBERED:
                self._prune()
        return messages

    def _drop_known(self, messages: list[MessageRow]) -> list[MessageRow]:
        left: dict[int, Counter[str]] = {}
        new: list[MessageRow] = []
        for message in messages:
            at = message.at
            if at in self._known:
                counts = left.setdefault(at, Counter(self._known[at]))
                key = _key(message)
                if counts[key] > 0:
                    counts[key] -= 1
                    continue
            new.append(message)
        return new

    def _prune(self) -> None:
        """Forget what no cursor needs any more."""
        ahead = self._stamped - self._span
        # What is still to come was asked for then or later.
        since = min(self._whole_before(self._read, ahead), ahead + min(self._asked, default=inf))
        read = [each for each in self._read if each.end > since]
        self._size = sum(len(each.messages) for each in read)
        if self._size > MOST_REMEMBERED:
            read.sort()
            self._forget_oldest(read)
        self._read = read
        self._prune_at = 2 * len(read) + 2

    def _forget_oldest(self, read: list[_Read]) -> None:
        while self._size > MOST_REMEMBERED:
            oldest = read.pop(0)
            self._size -= len(oldest.messages)
            self.floor = max(self.floor, oldest.end)
            if oldest.messages and not self._warned:
                self._warned = True
                _log.warning(
                    "device %s has sent more than %d messages within the lookback; it is looked "
                    "back less far",
                    oldest.messages[0].device_id,
                    MOST_REMEMBERED,
                )

    def look_back(self, pinned_end: int, remaining: tuple[Interval, ...]) -> LookBack:
        """What a cursor that is made now says of where it goes on, and what it remembers.

        Args:
            pinned_end: where the walk ends.
            remaining: the intervals still to deliver.

        Returns:
            A function that computes it, when it is asked for.
        """
        newest, known, read = self.newest, self._known, tuple(self._read)
        rejected = tuple(self._rejected)
        ahead, lowest = self._stamped - self._span, self.floor

        def compute() -> tuple[int, tuple[tuple[int, str], ...]]:
            since = lowest
            if newest is not None:
                whole = min(newest + 1, pinned_end, self._whole_before(read, ahead))
                since = max(since, floor(whole))
            kept = (
                (at, key)
                for at, counts in known.items()
                if at >= since or within(remaining, at, at + 1)
                for key in counts.elements()
            )
            new = (
                (at, _key(message))
                for each in read
                for message in each.messages
                if (at := message.at) >= since
            )
            bad = (row for row in rejected if row[0] >= since)
            return since, tuple(sorted([*kept, *new, *bad]))

        return compute

    def _whole_before(self, read: Sequence[_Read], ahead: float) -> float:
        """Up to which millisecond everything is whole.

        Args:
            read: intervals that were read.
            ahead: how much later than the monotonic clock a millisecond may be to be whole when
                it is asked for.
        """
        whole = self._unread_from
        for start, end, asked_at, _ in read:
            until = ahead + asked_at
            if until < end:
                whole = min(whole, max(start, until))
        return whole


def _key(message: MessageRow) -> str:
    return message.digest[:_DIGITS]
