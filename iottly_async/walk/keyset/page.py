"""A page that was read, and the interval of messages that a segment returns.

`Page` runs for every page. What costs time for each message is kept to two passes in C.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import datetime
from itertools import pairwise
from operator import le, lt
from typing import NamedTuple

from ...errors import PageOrderError
from ...models._time import naive_from_ms, naive_ms, utc_text
from ...models.bad_row import BadRow
from ...models.row import MessageRow
from ..axis import FAR, Axis
from ..query import PageRequest

RejectedAt = tuple[int, BadRow]
"""A row that is no message, and the last position at which it may lie."""


class CompleteInterval(NamedTuple):
    """All messages of the half-open interval [start, end) of the axis, in order.

    Attributes:
        start: first position, inclusive.
        end: exclusive.
        messages: all that lie between the two.
        asked_at: when the first request for it was made, in milliseconds of the monotonic clock.
        rejected: rows that lie there and are no messages. One that lies at an end of the
            interval may be in the next one, too.
    """

    start: int
    end: int
    messages: list[MessageRow]
    asked_at: float = 0.0
    rejected: Sequence[RejectedAt] = ()


class Page:
    """A page whose messages are in order, with its positions on the walk's axis.

    A row that is no message has no time. It lies between the messages before and behind it.

    Attributes:
        messages: as they came.
        first: position of the first message; 0 if there is none.
        last: position of the last message; 0 if there is none.
        tied: whether two messages may share a millisecond.
        asked_at: when it was requested, in milliseconds of the monotonic clock.
    """

    __slots__ = (
        "_axis",
        "_bad_rows",
        "_request",
        "_rising",
        "asked_at",
        "first",
        "last",
        "messages",
        "tied",
    )

    def __init__(
        self,
        messages: Sequence[MessageRow],
        axis: Axis,
        request: PageRequest,
        bad_rows: Sequence[BadRow] = (),
    ) -> None:
        """Check the order of `messages`, the answer to `request`.

        Args:
            messages: of the answer.
            axis: of the walk.
            request: that was answered.
            bad_rows: rows of the answer that are no messages. Default: none.

        Raises:
            PageOrderError: they are not in the order that was requested.
        """
        self._bad_rows = bad_rows
        self.messages = messages
        self._axis = axis
        self._request = request
        times = [message.time for message in messages]
        if axis.direction == -1:
            times.reverse()
        self._rising = times
        self.asked_at = 0.0
        self.first = self.last = 0
        self.tied = False
        if not times:
            if bad_rows:
                self.first = self.last = -FAR  # wherever it lies
            return
        low, high = naive_ms(times[0]), naive_ms(times[-1])
        self.first, self.last = (low, high) if axis.direction == 1 else (~high, ~low)
        finer = times[0].microsecond % 1000 or times[-1].microsecond % 1000
        if finer or not all(map(lt, times, times[1:])):
            self._check_ties(times)

    def _check_ties(self, times: list[datetime]) -> None:
        """Accept equal times, and any order within a millisecond (D6)."""
        self.tied = True
        if all(map(le, times, times[1:])):
            return
        for earlier, later in pairwise(map(naive_ms, times)):
            if earlier > later:
                raise self.error(
                    f"a page out of order: {utc_text(earlier)} stands on the "
                    f"wrong side of {utc_text(later)}"
                )

    def error(self, what: str) -> PageOrderError:
        """Make the error that says what the service has sent."""
        request = self._request
        return PageOrderError(
            f"the service answered sort={request.order} for device {request.device_id} with "
            f"{what}; no message of the page was returned"
        )

    def __len__(self) -> int:
        return len(self.messages) + len(self._bad_rows)

    @property
    def tail(self) -> int:
        """How many messages lie before the last one's millisecond."""
        return self.index(self.last) if self.tied else len(self.messages) - 1

    def index(self, at: int) -> int:
        """How many messages of the page lie before the position `at`."""
        if at <= self.first:
            return 0
        if at > self.last:
            return len(self.messages)
        bound = naive_from_ms(self._axis.edge(at))
        before = bisect_left(self._rising, bound)
        return before if self._axis.direction == 1 else len(self.messages) - before

    def rank(self, index: int) -> int:
        """How many rows of the page lie before the message `index`.

        A row that is no message, and lies right before that message, does not count: it may
        belong to its millisecond.
        """
        return index + sum(place < index for place, _ in self._placed())

    def rejected(self, low: int, high: int, end: int) -> list[RejectedAt]:
        """The rows that are no messages and may lie with the messages from `low` to `high`.

        Args:
            low: index of the first message.
            high: index behind the last one.
            end: the position behind which none of the page's rows is wanted.
        """
        if not self._bad_rows:
            return []
        found = []
        for place, row in self._placed():
            if low <= place <= high:
                after = self.messages[place : place + 1]
                at = self._axis.point(after[0].at) if after else end - 1
                found.append((at, row))
        return found

    @property
    def begins_bad(self) -> bool:
        """Whether its first row is no message."""
        return bool(self._bad_rows) and self._bad_rows[0].index == 0

    def overlaps(self, start: int, met: Iterable[Collection[bytes]]) -> bool:
        """Whether it begins with what earlier pages have shown.

        Args:
            start: the position that those pages have reached.
            met: the rows on them that are no messages.
        """
        if not self.messages:
            return False
        if self.begins_bad and any(self._bad_rows[0].raw in page for page in met):
            return True
        return self.first < start

    @property
    def bad_rows(self) -> frozenset[bytes]:
        """The bytes of its rows that are no messages."""
        return frozenset(row.raw for row in self._bad_rows)

    def _placed(self) -> Iterator[tuple[int, BadRow]]:
        """Each row that is no message, with the number of messages before it."""
        return ((row.index - n, row) for n, row in enumerate(self._bad_rows))
