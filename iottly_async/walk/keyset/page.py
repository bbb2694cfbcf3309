"""A page that was read, and the interval of messages that a segment returns.

`Page` runs for every page. What costs time for each message is kept to two passes in C.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from datetime import datetime
from itertools import pairwise
from operator import le, lt
from typing import NamedTuple

from ...errors import PageOrderError
from ...models._time import epoch_ms, from_epoch_ms
from ...models.message import Message
from ..axis import Axis
from ..query import PageRequest


class CompleteInterval(NamedTuple):
    """All messages of the half-open interval [start, end) of the axis, in order.

    Attributes:
        start: first position, inclusive.
        end: exclusive.
        messages: all that lie between the two.
        asked_at: when the first request for it was made, in milliseconds of the monotonic clock.
    """

    start: int
    end: int
    messages: list[Message]
    asked_at: float = 0.0


class Page:
    """A page whose messages are in order, with its positions on the walk's axis.

    Attributes:
        messages: as they came.
        first: position of the first message; 0 if there is none.
        last: position of the last message; 0 if there is none.
        tied: whether two messages may share a millisecond.
        asked_at: when it was requested, in milliseconds of the monotonic clock.
    """

    __slots__ = ("_axis", "_request", "_rising", "asked_at", "first", "last", "messages", "tied")

    def __init__(self, messages: Sequence[Message], axis: Axis, request: PageRequest) -> None:
        """Check the order of `messages`, the answer to `request`.

        Raises:
            PageOrderError: they are not in the order that was requested.
        """
        self.messages = messages
        self._axis = axis
        self._request = request
        times = [message.timestamp for message in messages]
        if axis.direction == -1:
            times.reverse()
        self._rising = times
        self.asked_at = 0.0
        self.first = self.last = 0
        self.tied = False
        if not times:
            return
        low, high = epoch_ms(times[0]), epoch_ms(times[-1])
        self.first, self.last = (low, high) if axis.direction == 1 else (~high, ~low)
        finer = times[0].microsecond % 1000 or times[-1].microsecond % 1000
        if finer or not all(map(lt, times, times[1:])):
            self._check_ties(times)

    def _check_ties(self, times: list[datetime]) -> None:
        """Accept equal times, and any order within a millisecond (D6)."""
        self.tied = True
        if all(map(le, times, times[1:])):
            return
        for earlier, later in pairwise(map(epoch_ms, times)):
            if earlier > later:
                raise self.error(
                    f"a page out of order: {from_epoch_ms(earlier).isoformat()} stands on the "
                    f"wrong side of {from_epoch_ms(later).isoformat()}"
                )

    def error(self, what: str) -> PageOrderError:
        """Make the error that says what the service has sent."""
        request = self._request
        return PageOrderError(
            f"the service answered sort={request.order} for device {request.device_id} with "
            f"{what}; no message of the page was returned"
        )

    def __len__(self) -> int:
        return len(self.messages)

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
        bound = from_epoch_ms(self._axis.edge(at))
        before = bisect_left(self._rising, bound)
        return before if self._axis.direction == 1 else len(self.messages) - before
