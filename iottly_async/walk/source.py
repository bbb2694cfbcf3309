"""Requests for a segment, and the one place that awaits their answers."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Final

import attrs

from ..clock import Clock
from ..errors import EVERY_DEVICE, ApiError, CursorMismatchError, DecodeError, TransportError
from ..models.row import MessageRow
from ..retry import is_passing
from .axis import ASCENDING, BEGINNING, FAR, SECOND, round_down, round_up
from .keyset.page import CompleteInterval, Page
from .keyset.segment import Segment
from .keyset.tie_proof import HISTORY_LIMIT
from .query import Fetch, Fetched, History, HistoryRequest, PageRequest
from .track import Track

_MOST_TRIES: Final = 5
"""How often a page is requested whose rows cannot be read, each time another one."""


class PageSource:
    """Fetches pages, and gives them to their segments."""

    __slots__ = ("_clock", "_fetch", "_history")

    def __init__(self, fetch: Fetch, history: History | None, clock: Clock) -> None:
        """Take pages from `fetch`, and messages with ids from `history`, if there is one."""
        self._fetch = fetch
        self._history = history
        self._clock = clock

    async def fetch(self, track: Track, segment: Segment) -> CompleteInterval:
        """Fetch what `segment` wants next, and return what is complete with it.

        Nothing is awaited between the answer's arrival and the segment's decision.

        Raises:
            PageOrderError: as `Segment.feed`.
            UnstableTieOrderError: as `Segment.feed`.
            CursorMismatchError: the cursor lies in the server's future.
            DecodeError: a row is no message (`WalkSettings.on_bad_row`).
        """
        asked_at = segment.asked_at
        if asked_at is None:
            asked_at = segment.asked_at = self._clock.monotonic() * 1000
            track.asked(asked_at)
        complete = await self._feed(track, segment)
        if complete.end > complete.start:
            segment.asked_at = None
            start, end, messages, _, rejected = complete
            return CompleteInterval(start, end, messages, asked_at, rejected)
        return complete

    async def _feed(self, track: Track, segment: Segment) -> CompleteInterval:
        if self._history is not None and segment.ids is not None:
            identified = await self._identified(self._history, track, segment)
            if identified is not None:
                return segment.feed_history(identified)
        request = _next_request(track, segment)
        # A test asks only whether there is a row.
        fetch = self._fetch
        if segment.test is None:
            fetch = partial(self._fetch_twice, track, bad_only=segment.run.contiguous)
        try:
            page = self._read(track, request, await fetch(request))
        except CursorMismatchError:
            # A single answer may have a wild `Date`; two in a row are believed.
            page = self._read(track, request, await fetch(request))
        if segment.fresh:
            segment.clip(*track.bounds)
        complete = segment.feed(page)
        tied = segment.run.contiguous and segment.held_back
        if tied and track.settings.verify_ties and not segment.proving:
            segment.prove(track.query.device_id, has_history=self._history is not None)
        return complete

    async def _identified(
        self, history: History, track: Track, segment: Segment
    ) -> Sequence[MessageRow] | None:
        """Fetch the messages with ids that a proof wants.

        Returns:
            The messages; None if the endpoint fails for as long as the walk is patient. The
            segment then reads its pages once more: while they fail as well, it is an outage,
            which is waited out with them (D18).

        Raises:
            UnstableTieOrderError: the history endpoint refuses, or fails again while pages come.
        """
        try:
            return await history(_history_request(track, segment))
        except (ApiError, DecodeError, TransportError) as error:
            if isinstance(error, EVERY_DEVICE):
                raise
            if is_passing(error) and segment.read_again():
                return None
            unproven = segment.unproven(error)
            if unproven is None:
                raise
            raise unproven from error

    async def page(self, track: Track, request: PageRequest) -> Page:
        """Fetch and read a page that no segment wants."""
        asked_at = self._clock.monotonic() * 1000
        page = self._read(track, request, await self._fetch_twice(track, request, bad_only=True))
        page.asked_at = asked_at
        return page

    async def _fetch_twice(
        self, track: Track, request: PageRequest, *, bad_only: bool = False
    ) -> Fetched:
        """Fetch a page; again if a row on it is no message, for the fault may have passed (D8).

        Args:
            track: whose page.
            request: of the page.
            bad_only: whether the walk can go on from a page on which no row is a message.
                Default False: only if it is the last one, and the device has messages.

        Raises:
            DecodeError: a row is no message twice, and such rows are not skipped; or no row of
                the page is a message.
        """
        fetched = await self._fetch(request)
        if not fetched.bad_rows:
            return fetched
        for _ in range(_MOST_TRIES):
            if track.rejected.confirm(fetched.bad_rows):
                break
            fetched = await self._fetch(request)
        else:
            raise fetched.bad_rows[0].error()  # another row each time: nothing can be said
        if fetched.bad_rows:
            raised = track.settings.on_bad_row == "raise"
            if not (fetched.messages or bad_only):
                full = track.quirks.is_full(len(fetched.bad_rows), request.size)
                raised = raised or full or not await self._has_messages(track)
            if raised:
                raise fetched.bad_rows[0].error()
        return fetched

    async def _has_messages(self, track: Track) -> bool:
        """Whether a message of the device can be read, in the walk's range or beyond it.

        A service of which no row can be read at all speaks another form, which is an error.
        """
        if not track.has_read:
            latest = PageRequest(
                device_id=track.query.device_id,
                start=None,
                end=None,
                type=track.query.type,
                order="desc",
                size=track.settings.page_size,
                number=None,
            )
            track.has_read = bool((await self._fetch(latest)).messages)
        return track.has_read

    async def last_position(self, track: Track, segment: Segment) -> int | None:
        """Find the position of the last message of `segment`; None if there is none.

        It is the first message in the opposite order.
        """
        request = page_request(track, segment.done, segment.end, size=1, number=None)
        request = attrs.evolve(request, order="desc" if request.order == "asc" else "asc")
        messages = (await self._fetch(request)).messages
        return track.axis.point(messages[0].at) if messages else None

    def _read(self, track: Track, request: PageRequest, fetched: Fetched) -> Page:
        page = Page(fetched.messages, track.axis, request, fetched.bad_rows)
        newest = None
        if fetched.messages:
            track.has_read = True
            newest = page.last if track.axis is ASCENDING else track.axis.point(page.first)
        local_time, server_time = self._clock.time(), fetched.server_time
        track.answered(
            local_time if server_time is None else server_time,
            local_time,
            self._clock.monotonic() * 1000,
            newest,
        )
        if newest is not None and server_time is not None:
            track.check_ahead(newest, server_time)
        return page


def page_request(
    track: Track, anchor: int, end: int, *, size: int, number: int | None
) -> PageRequest:
    """Make the request for a page of what lies from `anchor` to `end` on the axis.

    Args:
        track: whose messages.
        anchor: position from which pages are counted.
        end: exclusive.
        size: messages to ask for.
        number: of the page, as in `PageRequest`.
    """
    query = track.query
    start, end = track.axis.interval((anchor, end))
    if track.axis is ASCENDING:
        # For the pinned end, the query's own is sent: what lies between the two costs no
        # request, and shows whether the server's times are ahead of its clock.
        end = track.end if end == track.pinned_end else end
        # Rounded up, so that a server that rounds it down to the second excludes nothing. An
        # ascending walk ends as soon as a message lies beyond, so it costs nothing either.
        end = end if end == FAR else round_up(end, SECOND)
    elif start > BEGINNING:
        # Likewise for a server that excludes what lies on its lower bound.
        start = round_down(start - 1, SECOND)
    return PageRequest(
        device_id=query.device_id,
        start=None if start <= BEGINNING else start,
        end=None if end >= FAR else end,
        type=query.type,
        order=query.order,
        size=size,
        number=number,
    )


def _next_request(track: Track, segment: Segment) -> PageRequest:
    test, run = segment.test, segment.run
    if test is not None:
        number, size, _ = test.request
        return page_request(track, test.anchor, test.at + 1, size=size, number=number)
    return page_request(track, run.anchor, segment.end, size=run.size, number=run.number)


def _history_request(track: Track, segment: Segment) -> HistoryRequest:
    after_id, before_id = segment.ids or (None, None)
    return HistoryRequest(
        device_id=track.query.device_id,
        type=track.query.type,
        at=track.axis.point(segment.done),
        after_id=after_id,
        before_id=before_id,
        size=HISTORY_LIMIT,
    )
