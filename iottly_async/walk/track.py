"""One device's walk as its cursor describes it: the query, and which of it is still to deliver.

A `Track` belongs to the consumer's side. It counts an interval as done when its messages are
delivered, never when they are fetched. So the cursor of a batch is always what to resume from
once that batch is stored.

A walk ends at a fixed moment, the pinned end: the end of its query, or the server's time at the
first answer less the settle time (D11), whichever is earlier.
"""

from __future__ import annotations

import logging
from math import floor
from typing import Any, Final

import attrs

from ..errors import ConfigurationError, CursorMismatchError
from ..models._time import from_epoch_ms
from ..models.cursor import VERSION, Cursor, CursorDraft, Interval
from ..models.message import MessageBatch
from ..server_clock import is_ahead
from .axis import ASCENDING, BEGINNING, DESCENDING, FAR, subtract, union, within
from .keyset.page import CompleteInterval
from .keyset.segment import Segment
from .lookback import RecentMessages
from .query import WalkQuery, WalkSettings
from .quirks import Quirks

_log: Final = logging.getLogger("iottly_async")


class PinnedEnd:
    """The server's time at the first answer, shared by all tracks of a walk.

    Attributes:
        server_now: seconds since the epoch; None before the first answer.
    """

    __slots__ = ("_warned", "server_now")

    def __init__(self) -> None:
        self.server_now: float | None = None
        self._warned = False

    def pin(self, server_now: float) -> float:
        """Return the server's time at the first answer, which is this one if there was none."""
        if self.server_now is None:
            self.server_now = server_now
        return self.server_now

    def warn_if_ahead(self, newest: int, server_time: float, device_id: str) -> None:
        """Warn, once a walk, of a message that is later than the server's own clock.

        Args:
            newest: time of the message, in milliseconds.
            server_time: of the answer that had it, in seconds.
            device_id: of the device.
        """
        if self._warned or not is_ahead(newest / 1000, server_time):
            return
        self._warned = True
        _log.warning(
            "device %s has a message of %s, ahead of the server's clock, which shows %s: its "
            "times are probably not UTC but of another time zone; messages later than the "
            "server's clock are left out",
            device_id,
            _iso(newest),
            _iso(floor(server_time * 1000)),
        )


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
        self.finished = False
        self.start = BEGINNING if query.start is None else query.start
        self.end = FAR if query.end is None else query.end
        self.pinned_end: int | None = None
        self._cursor = cursor
        self._delivered = False
        self._pin = pin or PinnedEnd()
        self._count = 0 if cursor is None else cursor.count
        self._recent: RecentMessages | None = None
        if self.axis is ASCENDING and settings.lookback:
            self._recent = RecentMessages(() if cursor is None else cursor.recent)
        self.remaining = union(map(self.axis.interval, self._intervals(cursor)))

    def begin(self) -> None:
        """Fix the end of the walk now, if another track of it has had an answer already.

        Raises:
            CursorMismatchError: the cursor's end lies in the server's future.
        """
        if self.pinned_end is None and self._pin.server_now is not None:
            self._fix_end(self._pin.server_now)

    def _intervals(self, cursor: Cursor | None) -> list[Interval]:
        """The intervals of time to walk, before the end is pinned."""
        if cursor is None:
            return [(self.start, self.end)]
        if cursor.pinned_end >= self.end or self.axis is DESCENDING:
            self.pinned_end = cursor.pinned_end
            return [*cursor.remaining]
        again = cursor.pinned_end
        if self._recent is not None and cursor.recent_from is not None:
            again = max(cursor.recent_from, self._lookback_from(cursor.pinned_end))
        return [*cursor.remaining, (min(again, cursor.pinned_end), self.end)]

    def _lookback_from(self, end: int) -> int:
        return max(self.start, end - floor(self.settings.lookback * 1000))

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

    def pin_end(self, server_now: float) -> None:
        """Fix the end of the walk by the first answer; later ones change nothing.

        Args:
            server_now: the server's time at the answer, in seconds.

        Raises:
            CursorMismatchError: the cursor's end lies in the server's future.
        """
        if self.pinned_end is None:
            self._fix_end(self._pin.pin(server_now))

    def _fix_end(self, server_now: float) -> None:
        end = min(self.end, floor((server_now - self.settings.settle) * 1000))
        end = max(end, self.start)
        if self._cursor is not None:
            if self._cursor.pinned_end > self.start:
                _check_end(self._cursor, server_now)
            end = max(end, self._cursor.pinned_end)
        self.pinned_end = end
        if self._recent is not None:
            self._recent.since = self._lookback_from(end)
        self.remaining = within(self.remaining, *self.bounds)

    def check_clock(self, newest: int, server_time: float) -> None:
        """Warn, once a walk, if the position `newest` is ahead of the server's clock."""
        self._pin.warn_if_ahead(self.axis.point(newest), server_time, self.query.device_id)

    # What was delivered

    def deliver(self, complete: CompleteInterval) -> MessageBatch | None:
        """Count an interval as delivered, and make its batch.

        Returns:
            The batch; None if it has no messages and is not the last of all.
        """
        messages = complete.messages
        if self._recent is not None:
            messages = self._recent.only_new(messages, complete.start, complete.end)
        self._delivered = True
        subtract(self.remaining, complete.start, complete.end)
        self._count += len(messages)
        if self.finished or (self.remaining and not messages):
            return None
        self.finished = not self.remaining
        return MessageBatch(messages=messages, cursor=self.cursor())

    def reached(self) -> Cursor | None:
        """Where a walk that ends here goes on; None if nothing was read."""
        return self.cursor() if self._delivered else self._cursor

    def last_batch(self) -> MessageBatch:
        """Make the empty batch of a walk of which nothing remains."""
        self.finished = True
        return MessageBatch(messages=[], cursor=self.cursor())

    def cursor(self) -> Cursor:
        """Make the cursor to resume from once everything delivered is stored."""
        query = self.query
        intervals = tuple(self.remaining)
        if self.axis is DESCENDING:
            intervals = tuple(map(self.axis.interval, reversed(intervals)))
        recent = self._recent
        draft: Any = CursorDraft()
        draft.project_id = query.project_id
        draft.device_id = query.device_id
        draft.type = query.type
        draft.order = query.order
        draft.start = query.start
        draft.end = query.end
        draft.remaining = intervals
        draft.pinned_end = self.pinned_end if self.pinned_end is not None else self.end
        draft.count = self._count
        draft.recent = () if recent is None else recent.entries(intervals)
        draft.recent_from = None if recent is None else recent.since
        draft.version = VERSION
        draft.__class__ = Cursor
        made: Cursor = draft
        return made


def _check_end(cursor: Cursor, server_now: float) -> None:
    """Refuse a cursor whose end lies in the server's future.

    Resumed, such a walk would leave out the messages up to that end.
    """
    if is_ahead(cursor.pinned_end / 1000, server_now):
        raise CursorMismatchError(
            f"the cursor says that the walk has reached {_iso(cursor.pinned_end)}, "
            f"but the server's clock shows {_iso(floor(server_now * 1000))}: "
            "it comes from another server"
        )


def _iso(ms: int) -> str:
    return from_epoch_ms(ms).isoformat(timespec="milliseconds")
