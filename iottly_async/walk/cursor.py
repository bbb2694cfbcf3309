"""One device's walk as its cursor sees it: the query, and what of it is still to come.

A `Track` lives on the consumer's side: it counts a stretch as done when its messages
are handed out, never when they are fetched, so that the cursor of a batch is always
what to resume from once that batch is stored.
"""

from __future__ import annotations

import logging
from math import floor

import attrs

from ..errors import CursorMismatchError
from ..models._time import from_epoch_ms
from ..models.cursor import Cursor
from ..models.message import MessageBatch
from .axis import ASCENDING, BEGINNING, DESCENDING, FAR, SECOND, round_up
from .habits import Habits
from .intervals import subtract, union, within
from .page import Page
from .query import Fetched, PageRequest, WalkQuery, WalkSettings
from .seek import Piece, Window

_log = logging.getLogger("iottly_async")

_AHEAD_MS = 60_000
"""How far ahead of the server's clock a message's time may be before it is remarked on."""


def resumed(query: WalkQuery, cursor: Cursor | None) -> WalkQuery:
    """`query`, with a range that it left open taken from `cursor`.

    Raises:
        CursorMismatchError: the cursor is of another query; the text says what differs.
    """
    if cursor is None:
        return query
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
        habits: of the server.
    """

    def __init__(self, query: WalkQuery, settings: WalkSettings, cursor: Cursor | None) -> None:
        """The track of `query`, from its start or from `cursor` on.

        Raises:
            CursorMismatchError: the cursor is of another query.
        """
        self.query = query = resumed(query, cursor)
        self.axis = ASCENDING if query.order == "asc" else DESCENDING
        self.habits = Habits(settings.short_page)
        self._settings = settings
        self._cursor = cursor
        self._start = BEGINNING if query.start is None else query.start
        self._end = FAR if query.end is None else query.end
        self._pinned: int | None = None
        self._warned = False
        self.count = 0 if cursor is None else cursor.count
        intervals = self._open(cursor)
        self.remaining = union(map(self.axis.interval, intervals))

    def _open(self, cursor: Cursor | None) -> list[tuple[int, int]]:
        """The stretches of time to walk, up to where the pinned end will be."""
        if cursor is None:
            return [(self._start, self._end)]
        settled = cursor.pinned_end >= self._end
        if settled or self.axis is DESCENDING:
            self._pinned = cursor.pinned_end
            return [*cursor.remaining]
        return [*cursor.remaining, (cursor.pinned_end, self._end)]

    def windows(self) -> list[Window]:
        """A window for each stretch that remains, in the order of the walk."""
        return [self.window(a, b) for a, b in self.remaining]

    def window(self, start: int, end: int, *, rate: float = 0.0) -> Window:
        """A window over [start, end) of the axis, thought to hold `rate` messages a ms."""
        window = Window(
            start,
            end,
            axis=self.axis,
            habits=self.habits,
            page_size=self._settings.page_size,
        )
        window.rate = rate
        return window

    def request(self, window: Window) -> PageRequest:
        """What `window` wants to be asked for next."""
        start, end = self.axis.interval((window.anchor, window.end))
        if self.axis is ASCENDING:
            # Where the walk's own end is meant, the asked one is sent: what lies between
            # them costs no request, and shows whether the server's times are ahead of it.
            end = self._end if end == self._pinned else end
            end = end if end == FAR else round_up(end, SECOND)
        return PageRequest(
            device_id=self.query.device_id,
            start=None if start <= BEGINNING else start,
            end=None if end >= FAR else end,
            type=self.query.type,
            order=self.query.order,
            size=window.size,
            number=window.number,
        )

    def feed(self, window: Window, request: PageRequest, fetched: Fetched, now: float) -> Piece:
        """Give `window` its page; `now` is the local clock's, for an answer without a date.

        Raises:
            PageOrderError: the page is not in the order asked for.
            CursorMismatchError: the cursor's end lies in the server's future.
        """
        server_now = now if fetched.server_time is None else fetched.server_time
        if self._pinned is None:
            self.pin(server_now)
        page = Page(fetched.messages, self.axis, request)
        if page and not self._warned and fetched.server_time is not None:
            self._look_ahead(page, fetched.server_time)
        if self._pinned is not None:
            window.narrow(*self.axis.interval((self._start, self._pinned)))
        return window.feed(page)

    def pin(self, server_now: float) -> None:
        """Fix the walk's end at what the server's clock says, if it was open so far."""
        if self._pinned is not None:
            return
        pinned = min(self._end, floor((server_now - self._settings.settle) * 1000))
        pinned = max(pinned, self._start)
        if self._cursor is not None:
            self._check_end(self._cursor, server_now)
            pinned = max(pinned, self._cursor.pinned_end)
        self._pinned = pinned
        low, high = self.axis.interval((self._start, pinned))
        self.remaining = within(self.remaining, low, high)

    def _check_end(self, cursor: Cursor, server_now: float) -> None:
        if cursor.pinned_end > max(server_now * 1000 + _AHEAD_MS, self._start):
            raise CursorMismatchError(
                f"the cursor says that messages up to {_iso(cursor.pinned_end)} were handed out, "
                f"but the server's clock shows {_iso(floor(server_now * 1000))}: "
                "it comes from another server"
            )

    def _look_ahead(self, page: Page, server_time: float) -> None:
        newest = self.axis.point(page.last if self.axis is ASCENDING else page.first)
        if newest <= server_time * 1000 + _AHEAD_MS:
            return
        self._warned = True
        _log.warning(
            "device %s has a message of %s, ahead of the server's clock, which shows %s: its "
            "times are probably not UTC but of another time zone; messages later than the "
            "server's clock are left out",
            self.query.device_id,
            _iso(newest),
            _iso(floor(server_time * 1000)),
        )

    def take(self, piece: Piece) -> None:
        """Count a stretch as handed out."""
        subtract(self.remaining, piece.start, piece.end)
        self.count += len(piece.messages)

    def batch(self, piece: Piece) -> MessageBatch:
        """Hand out a stretch, with the cursor that follows it."""
        self.take(piece)
        return MessageBatch(messages=piece.messages, cursor=self.cursor())

    def cursor(self) -> Cursor:
        """What to resume from once all that was handed out is stored."""
        query = self.query
        remaining = map(self.axis.interval, self.remaining)
        pinned = self._pinned if self._pinned is not None else self._end
        return Cursor(
            project_id=query.project_id,
            device_id=query.device_id,
            type=query.type,
            order=query.order,
            start=query.start,
            end=query.end,
            remaining=tuple(remaining if self.axis is ASCENDING else reversed([*remaining])),
            pinned_end=pinned,
            count=self.count,
        )


def _iso(ms: int) -> str:
    return from_epoch_ms(ms).isoformat(timespec="milliseconds")
