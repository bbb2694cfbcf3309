"""One device's walk as its cursor describes it: the query, and which of it is still to deliver.

A `Track` belongs to the consumer's side. It counts an interval as done when its messages are
delivered, never when they are fetched. So the cursor of a batch is always what to resume from
once that batch is stored.

A walk ends at a fixed moment, the pinned end: the end of its query, or the server's time at the
first answer less the settle time (D11), whichever is earlier. A walk that is resumed does not go
on there, but behind the newest message that was delivered (`lookback`).
"""

from __future__ import annotations

import logging
from math import floor
from typing import Any, Final

import attrs

from ..errors import ConfigurationError, CursorMismatchError
from ..models._time import utc_text
from ..models.cursor import VERSION, Cursor, CursorDraft, Interval, Moment
from ..models.message_batch import MessageBatch, batch_of
from ..models.row import MessageRow
from ..server_clock import is_ahead
from .axis import ASCENDING, BEGINNING, DESCENDING, FAR, subtract, union, within
from .keyset.page import CompleteInterval
from .keyset.segment import Segment
from .lookback import Lookback
from .query import WalkQuery, WalkSettings
from .quirks import Quirks
from .rejected import RejectedRows

_log: Final = logging.getLogger("iottly_async.walk")


class PinnedEnd:
    """The time of the first answer, shared by all tracks of a walk.

    Attributes:
        now: by the server's clock and by the local one; None before the first answer.
        answered_at: by the monotonic clock, in milliseconds.
    """

    __slots__ = ("answered_at", "now")

    def __init__(self) -> None:
        self.now: Moment | None = None
        self.answered_at = 0.0


def resumed(query: WalkQuery, cursor: Cursor | None) -> WalkQuery:
    """Return `query`, with a range that it leaves open taken from `cursor`.

    Args:
        query: of the walk.
        cursor: to resume from; None for a walk from its start.

    Raises:
        CursorMismatchError: the cursor is of another query; the text says what differs.
        ConfigurationError: it is not a `Cursor`.
    """
    if cursor is None:
        return query
    if not isinstance(cursor, Cursor):
        raise ConfigurationError(
            f"cursor must be a Cursor, not {type(cursor).__name__}; "
            "Cursor.from_json() reads one that was stored"
        )
    if query.start is None:
        query = attrs.evolve(query, start=cursor.start)
    if query.end is None:
        query = attrs.evolve(query, end=cursor.end)
    names = ("project_id", "device_id", "type", "order", "start", "end")
    differing = [
        f"{name} is {getattr(cursor, name)!r} in the cursor and {getattr(query, name)!r} here"
        for name in names
        if getattr(cursor, name) != getattr(query, name)
    ]
    if differing:
        raise CursorMismatchError(f"the cursor is of another query: {'; '.join(differing)}")
    return query


class Track:
    """What of a query is still to deliver, and the cursor that says so.

    Attributes:
        query: with the range of the cursor, if there is one.
        settings: of the walk.
        axis: of the query's order.
        quirks: what is known of the server.
        start: first millisecond of the query; `BEGINNING` if it is open.
        end: end of the query, exclusive; `FAR` if it is open.
        pinned_end: where the walk ends, exclusive; None before the first answer.
        remaining: what is not delivered yet, as intervals of the axis.
        finished: whether everything is delivered, and the last batch made.
        rejected: the rows met that are no messages.
        has_read: whether a message of the device was read, by this walk or one before it.
    """

    def __init__(
        self,
        query: WalkQuery,
        settings: WalkSettings,
        cursor: Cursor | None,
        *,
        pin: PinnedEnd | None = None,
    ) -> None:
        """Begin `query` at its start, or at `cursor`.

        Args:
            query: of the walk.
            settings: of the walk.
            cursor: to resume from; None for the start.
            pin: shared with the other tracks of the walk; None for one of its own.

        Raises:
            CursorMismatchError: the cursor is of another query.
        """
        self.query = query = resumed(query, cursor)
        self.settings = settings
        self.axis = ASCENDING if query.order == "asc" else DESCENDING
        self.quirks = settings.quirks or Quirks()
        self.rejected = RejectedRows(query.device_id)
        self.has_read = cursor is not None and cursor.count > 0
        self.finished = False
        self.start = BEGINNING if query.start is None else query.start
        self.end = FAR if query.end is None else query.end
        self.pinned_end: int | None = None
        self._cursor = cursor
        self._begun = self._delivered = False
        self._pin = pin or PinnedEnd()
        self._count = 0 if cursor is None else cursor.count
        self._lookback: Lookback | None = None
        if self.axis is ASCENDING:
            self._lookback = Lookback(floor(settings.latest * 1000), self.start)
        self.remaining = union(map(self.axis.interval, self._intervals(cursor)))

    def begin(self) -> None:
        """Fix the end of the walk now, if another track of it has had an answer already.

        Raises:
            CursorMismatchError: the cursor lies in the server's future.
        """
        if not self._begun and self._pin.now is not None:
            self._begin_at(self._pin.now, self._pin.answered_at)

    def _intervals(self, cursor: Cursor | None) -> list[Interval]:
        """The intervals of time to walk, before the end is pinned."""
        if cursor is None:
            return [(self.start, self.end)]
        if self._lookback is None:
            self.pinned_end = cursor.pinned_end
            return [*cursor.remaining]
        again, behind = self._lookback.resume(cursor, self.settings.looks_back)
        if cursor.pinned_end < self.end:
            return [*cursor.remaining, again, (behind, self.end)]
        self.pinned_end = cursor.pinned_end
        return [*cursor.remaining, again] if cursor.remaining else []

    @property
    def bounds(self) -> Interval:
        """The walk's range on the axis, up to the pinned end once it is known."""
        end = self.end if self.pinned_end is None else self.pinned_end
        return self.axis.interval((self.start, end))

    # What is to be fetched

    def segments(self) -> list[Segment]:
        """Make a segment for each interval that remains, in the order of the walk."""
        return [self.segment(a, b) for a, b in self.remaining]

    def segment(self, start: int, end: int) -> Segment:
        """Make a segment over [start, end) of the axis."""
        size = self.settings.page_size
        return Segment(start, end, axis=self.axis, quirks=self.quirks, page_size=size)

    def asked(self, asked_at: float) -> None:
        """Note that an interval was asked for, which will be delivered."""
        if self._lookback is not None:
            self._lookback.asked(asked_at)

    def answered(
        self, server_now: float, local_now: float, answered_at: float, newest: int | None
    ) -> None:
        """Note an answer. The first one fixes the end of the walk.

        Args:
            server_now: the server's time at the answer, in seconds.
            local_now: the local time, in seconds.
            answered_at: the same by the monotonic clock, in milliseconds.
            newest: the newest millisecond that it shows a message of; None if it shows none.

        Raises:
            CursorMismatchError: the cursor lies in the server's future.
        """
        now = (floor(server_now * 1000), floor(local_now * 1000))
        if not self._begun:
            pin = self._pin
            if pin.now is None:
                self._begin_at(now, answered_at)
                pin.now, pin.answered_at = now, answered_at
            else:
                self._begin_at(pin.now, pin.answered_at)
        if self._lookback is not None:
            self._lookback.answered(now, answered_at, newest)

    def _begin_at(self, now: Moment, answered_at: float) -> None:
        if self._cursor is not None:
            _check_server(self._cursor, now)
            if self._lookback is not None:
                self._lookback.begin(self._cursor, now, answered_at)
        self._begun = True
        if self.pinned_end is None:
            end = min(self.end, now[0] - floor(self.settings.settle * 1000))
            self.pinned_end = max(end, self.start)
            self.remaining = within(self.remaining, *self.bounds)

    def check_ahead(self, newest: int, server_time: float) -> None:
        """Warn, once a session, of a message that is later than the server's own clock.

        Args:
            newest: millisecond of the newest message of an answer.
            server_time: of the answer, in seconds.
        """
        if self.quirks.clock_warned or not is_ahead(newest / 1000, server_time):
            return
        self.quirks.clock_warned = True
        _log.warning(
            "device %s has a message of %s, ahead of the server's clock, which shows %s: its "
            "times are probably not UTC but of another time zone; messages later than the "
            "server's clock are left out until it has reached them",
            self.query.device_id,
            utc_text(newest),
            utc_text(floor(server_time * 1000)),
        )

    def _check_behind(self, messages: list[MessageRow]) -> None:
        """Warn, once a session, of new messages that the last walk should have found.

        It had read everything up to its end, a moment of the server's clock. A new message far
        before it was stamped by another clock, or became visible very late.
        """
        cursor = self._cursor
        if self.quirks.clock_warned or cursor is None or cursor.remaining:
            return
        at = messages[-1].at
        if (cursor.newest is not None and at <= cursor.newest) or not is_ahead(
            cursor.pinned_end / 1000, at / 1000
        ):
            return
        self.quirks.clock_warned = True
        _log.warning(
            "device %s has a new message of %s, although the server's clock had shown %s when "
            "it was last read: another clock stamps messages, or they become visible very late",
            self.query.device_id,
            utc_text(at),
            utc_text(cursor.pinned_end),
        )

    # What was delivered

    def deliver(self, complete: CompleteInterval) -> MessageBatch | None:
        """Count an interval as delivered, and make its batch.

        Returns:
            The batch; None if it has no rows and is not the last of all.
        """
        start, end, messages, asked_at, rejected = complete
        lookback = self._lookback
        if rejected:
            is_known = _is_not_known if lookback is None else lookback.knows
            rejected = self.rejected.only_new(rejected, is_known)
        if lookback is not None:
            messages = lookback.only_new(messages, start, end, asked_at, rejected)
            if messages:
                self._check_behind(messages)
        self._delivered = True
        subtract(self.remaining, start, end)
        self._count += len(messages)
        if self.finished or (self.remaining and not (messages or rejected)):
            return None
        self.finished = not self.remaining
        rows = [row for _, row in rejected]
        return batch_of(messages, self.cursor(), rows)

    def reached(self) -> Cursor | None:
        """Where a walk that ends here goes on; None if nothing was read."""
        return self.cursor() if self._delivered else self._cursor

    def last_batch(self) -> MessageBatch:
        """Make the empty batch of a walk of which nothing remains."""
        self.finished = True
        return batch_of([], self.cursor())

    def cursor(self) -> Cursor:
        """Make the cursor to resume from once everything delivered is stored."""
        query = self.query
        intervals = tuple(self.remaining)
        if self.axis is DESCENDING:
            intervals = tuple(map(self.axis.interval, reversed(intervals)))
        end = self.pinned_end if self.pinned_end is not None else self.end
        draft: Any = CursorDraft()
        draft.project_id = query.project_id
        draft.device_id = query.device_id
        draft.type = query.type
        draft.order = query.order
        draft.start = query.start
        draft.end = query.end
        draft.remaining = intervals
        draft.pinned_end = end
        draft.count = self._count
        if self._lookback is None:
            draft.newest = draft.oldest = draft.stamped = draft.recent_from = None
            draft.recent = ()
        else:
            draft.newest = self._lookback.newest
            draft.oldest = self._lookback.oldest
            draft.stamped = self._lookback.stamped
            draft.look_back = self._lookback.look_back(end, intervals)
        draft.version = VERSION
        draft.__class__ = Cursor
        made: Cursor = draft
        return made


def _check_server(cursor: Cursor, now: Moment) -> None:
    """Refuse a cursor that goes on in the future, by the server's clock and the local one.

    Resumed, such a walk would leave out the messages up to that moment.
    """
    reached = cursor.newest
    if cursor.recent_from is None:  # descending, or of a version that did not look back
        reached = cursor.pinned_end if cursor.order == "asc" and cursor.end is None else None
    if reached is not None and is_ahead(reached / 1000, max(now) / 1000):
        raise CursorMismatchError(
            f"the cursor says that the walk has reached {utc_text(reached)}, "
            f"but the server's clock shows {utc_text(now[0])}: it comes from another server"
        )


def _is_not_known(_: str) -> bool:
    return False
