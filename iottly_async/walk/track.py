"""One device's walk as its cursor sees it: the query, and what of it is still to come.

A `Track` lives on the consumer's side: it counts a stretch as done when its messages
are handed out, never when they are fetched, so that the cursor of a batch is always
what to resume from once that batch is stored.

Where a walk ends: by the server's clock, as its first answer tells it.
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
from .axis import (
    ASCENDING,
    BEGINNING,
    DESCENDING,
    FAR,
    SECOND,
    round_down,
    round_up,
    subtract,
    union,
    within,
)
from .keyset.page import CompleteInterval, Page
from .keyset.segment import Segment
from .keyset.tie_proof import HISTORY_LIMIT
from .lookback import RecentMessages
from .query import Fetched, HistoryRequest, PageRequest, WalkQuery, WalkSettings
from .quirks import Quirks

_log: Final = logging.getLogger("iottly_async")


class PinnedEnd:
    """The server's time at the first answer, one for all tracks of a walk.

    Attributes:
        server_now: seconds since the epoch; None before the first answer.
    """

    __slots__ = ("_warned", "server_now")

    def __init__(self) -> None:
        self.server_now: float | None = None
        self._warned = False

    def tell(self, server_now: float) -> float:
        """The server's time at the first answer, which this one is if there was none."""
        if self.server_now is None:
            self.server_now = server_now
        return self.server_now

    def compare(self, newest: int, server_time: float, device_id: str) -> None:
        """Warn, once a walk, of a message that is later than the server's own clock."""
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


def check_end(cursor: Cursor, server_now: float) -> None:
    """Refuse a cursor whose end lies in the server's future.

    Raises:
        CursorMismatchError: it does; resumed, the walk would leave out what is to come.
    """
    if is_ahead(cursor.pinned_end / 1000, server_now):
        raise CursorMismatchError(
            f"the cursor says that messages up to {_iso(cursor.pinned_end)} were handed out, "
            f"but the server's clock shows {_iso(floor(server_now * 1000))}: "
            "it comes from another server"
        )


def _iso(ms: int) -> str:
    return from_epoch_ms(ms).isoformat(timespec="milliseconds")


def resumed(query: WalkQuery, cursor: Cursor | None) -> WalkQuery:
    """`query`, with a range that it left open taken from `cursor`.

    Raises:
        CursorMismatchError: the cursor is of another query; the text says what differs.
        ConfigurationError: it is no cursor.
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
    """What of a query is still to come, and what the walk learns on its way.

    Attributes:
        query: with the range of the cursor, where one was given.
        axis: of the query's order.
        page_size: messages a page.
        remaining: what was not handed out yet, as intervals of the axis.
        finished: whether all was handed out, and its last batch made.
    """

    def __init__(
        self,
        query: WalkQuery,
        settings: WalkSettings,
        cursor: Cursor | None,
        *,
        pin: PinnedEnd | None = None,
        has_history: bool = False,
    ) -> None:
        """The track of `query`, from its start or from `cursor` on.

        Args:
            query, settings, cursor: as in `batches`.
            pin: shared with the other tracks of the walk; None for one of its own.
            has_history: whether the history endpoint can be asked, to verify ties.

        Raises:
            CursorMismatchError: the cursor is of another query, or (where the server's time
                is known already) from another server.
        """
        self.query = query = resumed(query, cursor)
        self.axis = ASCENDING if query.order == "asc" else DESCENDING
        self.finished = False
        self.page_size = settings.page_size
        self._quirks = settings.quirks or Quirks()
        self._settings = settings
        self._cursor = cursor
        self._has_history = has_history
        self._start = BEGINNING if query.start is None else query.start
        self._end = FAR if query.end is None else query.end
        self._pin = pin or PinnedEnd()
        self._pinned: int | None = None
        self._count = 0 if cursor is None else cursor.count
        self._recent = self._look_back(cursor)
        self.remaining = union(map(self.axis.interval, self._stretches(cursor)))
        if self._pinned is None and self._pin.server_now is not None:
            self._fix(self._pin.server_now)

    def _look_back(self, cursor: Cursor | None) -> RecentMessages | None:
        if self.axis is DESCENDING or not self._settings.lookback:
            return None
        return RecentMessages(() if cursor is None else cursor.recent)

    def _stretches(self, cursor: Cursor | None) -> list[Interval]:
        """The stretches of time to walk, up to where the pinned end will be."""
        if cursor is None:
            return [(self._start, self._end)]
        if cursor.pinned_end >= self._end or self.axis is DESCENDING:
            self._pinned = cursor.pinned_end
            return [*cursor.remaining]
        again = cursor.pinned_end
        if self._recent is not None and cursor.recent_from is not None:
            again = max(cursor.recent_from, self._lookback_from(cursor.pinned_end))
        return [*cursor.remaining, (min(again, cursor.pinned_end), self._end)]

    def _lookback_from(self, end: int) -> int:
        return max(self._start, end - floor(self._settings.lookback * 1000))

    def windows(self) -> list[Segment]:
        """A window for each stretch that remains, in the order of the walk."""
        return [self.window(a, b) for a, b in self.remaining]

    def window(self, start: int, end: int) -> Segment:
        """A window over [start, end) of the axis."""
        return Segment(start, end, axis=self.axis, quirks=self._quirks, page_size=self.page_size)

    def request(self, window: Segment) -> PageRequest | HistoryRequest:
        """What `window` wants to be asked for next."""
        query, run = self.query, window.run
        trial = window.numbering.trial
        if trial is not None:
            number, size, _ = trial.question
            return self.page_request(trial.anchor, trial.at + 1, size=size, number=number)
        if window.ids is not None:
            return HistoryRequest(
                device_id=query.device_id,
                type=query.type,
                at=self.axis.point(window.done),
                after_id=window.ids[0],
                before_id=window.ids[1],
                size=HISTORY_LIMIT,
            )
        return self.page_request(run.anchor, window.end, size=run.size, number=run.number)

    def page_request(self, anchor: int, end: int, *, size: int, number: int | None) -> PageRequest:
        """A page of what lies from `anchor` to `end` on the axis, by its number."""
        start, end = self.axis.interval((anchor, end))
        if self.axis is ASCENDING:
            # Where the walk's own end is meant, the asked one is sent: what lies between
            # them costs no request, and shows whether the server's times are ahead of it.
            end = self._end if end == self._pinned else end
            # A server that rounds it down to the second leaves out nothing this way, and
            # upward, where a walk ends as soon as a message lies beyond, it costs nothing.
            end = end if end == FAR else round_up(end, SECOND)
        elif start > BEGINNING:
            # Nor does one that leaves out what lies on its lower bound, for the same cost.
            start = round_down(start - 1, SECOND)
        return PageRequest(
            device_id=self.query.device_id,
            start=None if start <= BEGINNING else start,
            end=None if end >= FAR else end,
            type=self.query.type,
            order=self.query.order,
            size=size,
            number=number,
        )

    def farthest(self, window: Segment) -> PageRequest:
        """The last message of a window, as one asks for the first one the other way."""
        request = self.page_request(window.done, window.end, size=1, number=None)
        return attrs.evolve(request, order="desc" if request.order == "asc" else "asc")

    def read(self, request: PageRequest, fetched: Fetched, now: float) -> Page:
        """The page in an answer; `now` is the local clock's, for an answer without a date.

        The first one read fixes the walk's end.

        Raises:
            PageOrderError: the page is not in the order asked for.
            CursorMismatchError: the cursor's end lies in the server's future.
        """
        server_now = self._pin.tell(now if fetched.server_time is None else fetched.server_time)
        if self._pinned is None:
            self._fix(server_now)
        page = Page(fetched.messages, self.axis, request)
        if page and fetched.server_time is not None:
            newest = self.axis.point(page.last if self.axis is ASCENDING else page.first)
            self._pin.compare(newest, fetched.server_time, self.query.device_id)
        return page

    def feed(
        self, window: Segment, request: PageRequest, fetched: Fetched, now: float
    ) -> CompleteInterval:
        """Give `window` the page that it asked for; return what is complete with it.

        Raises:
            PageOrderError, CursorMismatchError: as `read`.
            UnstableTieOrderError: as `Segment.feed`.
        """
        page = self.read(request, fetched, now)
        if window.fresh:
            window.narrow(*self.bounds)
        piece = window.feed(page)
        if window.run.straight and self._settings.verify_ties and not window.proving:
            window.prove(self.query.device_id, has_history=self._has_history)
        return piece

    @property
    def bounds(self) -> Interval:
        """The walk's range on the axis, its end pinned as soon as a page was read."""
        end = self._end if self._pinned is None else self._pinned
        return self.axis.interval((self._start, end))

    def is_full(self, page: Page, size: int) -> bool:
        """Whether more may follow a page for which `size` messages were asked."""
        return self._quirks.is_full(len(page), size)

    def _fix(self, server_now: float) -> None:
        """PinnedEnd the walk's end to what the server's clock says."""
        pinned = min(self._end, floor((server_now - self._settings.settle) * 1000))
        pinned = max(pinned, self._start)
        if self._cursor is not None:
            if self._cursor.pinned_end > self._start:
                check_end(self._cursor, server_now)
            pinned = max(pinned, self._cursor.pinned_end)
        self._pinned = pinned
        if self._recent is not None:
            self._recent.since = self._lookback_from(pinned)
        self.remaining = within(self.remaining, *self.bounds)

    def hand_out(self, piece: CompleteInterval) -> MessageBatch | None:
        """Count a stretch as handed out, and make its batch.

        None where there is nothing to hand out, unless it is the last of all.
        """
        messages = piece.messages
        if self._recent is not None:
            messages = self._recent.sift(messages, piece.start, piece.end)
        subtract(self.remaining, piece.start, piece.end)
        self._count += len(messages)
        if self.finished or (self.remaining and not messages):
            return None
        self.finished = not self.remaining
        return MessageBatch(messages=messages, cursor=self.cursor())

    def last(self) -> MessageBatch:
        """The batch of a walk of which nothing remains."""
        self.finished = True
        return MessageBatch(messages=[], cursor=self.cursor())

    def cursor(self) -> Cursor:
        """What to resume from once all that was handed out is stored."""
        query = self.query
        pinned = self._pinned if self._pinned is not None else self._end
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
        draft.pinned_end = pinned
        draft.count = self._count
        draft.recent = () if recent is None else recent.entries(intervals)
        draft.recent_from = None if recent is None else recent.since
        draft.version = VERSION
        draft.__class__ = Cursor
        made: Cursor = draft
        return made
