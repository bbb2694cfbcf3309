"""Many requests at once, in the order of time: scouts, lanes, and a merge.

Scouts go ahead and cut what is to come into stretches: gaps, each walked by a lane of
its own with held-back seek, and what the scouts bring themselves. The stretches are
handed out one after the other. OrderedWalk that are ahead wait when too much is held; the
first lane never waits for another, only for the consumer.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable

from ...aio.tasks import TaskGroup
from ...models._time import epoch_ms
from ...models.message import Message, MessageBatch
from ..keyset.page import CompleteInterval, Page
from ..keyset.segment import Segment
from ..source import PageSource
from ..track import Track
from .concurrency import PrioritySemaphore
from .lookahead import GAP, Lookahead, LookaheadPlan, repeats, sight

_SCOUT = -1
"""More urgent than any lane: a lane's work waits for what the scouts find."""


class _OrderedSegment:
    """A part of the axis in its place among the others.

    Attributes:
        pages: how many it is thought to take.
        pieces: what was fetched of it and not handed out yet.
        closed: whether all of it was fetched.
        go: set when its lane may go on, if it waits.
    """

    __slots__ = ("closed", "go", "number", "pages", "pieces")

    def __init__(self, number: int, pages: int) -> None:
        self.number = number
        self.pages = pages
        self.pieces: deque[CompleteInterval] = deque()
        self.closed = False
        self.go = asyncio.Event()


class OrderedWalk:
    """A walk in order, with `limit()` requests at once."""

    def __init__(self, source: PageSource, track: Track, limit: Callable[[], int]) -> None:
        """A walk over what remains of `track`."""
        self._source = source
        self._track = track
        self._limit = limit
        self._gate = PrioritySemaphore(limit)
        self._crew = TaskGroup()
        self._stretches: deque[_OrderedSegment] = deque()
        self._numbers = 0
        self._planned = 0
        self._held = 0
        self._room = asyncio.Event()
        self._all_planned = False

    async def batches(self) -> AsyncGenerator[MessageBatch, None]:
        """What the lanes and scouts fetch, in order."""
        try:
            self._crew.start(self._plan())
            while not self._track.finished:
                piece = self._take()
                if piece is not None:
                    batch = self._track.hand_out(piece)
                    if batch is not None:
                        yield batch
                elif self._crew.error is not None:
                    raise self._crew.error
                elif self._all_planned and not self._stretches:
                    yield self._track.last()
                else:
                    await self._crew.wait()
        finally:
            await self._crew.aclose()

    def _take(self) -> CompleteInterval | None:
        """The next piece in order; None if it was not fetched yet."""
        while self._stretches:
            first = self._stretches[0]
            if first.pieces:
                piece = first.pieces.popleft()
                self._held -= len(piece.messages)
                self._make_room()
                return piece
            if not first.closed:
                return None
            self._stretches.popleft()
            self._planned -= first.pages
            self._make_room()
        return None

    @property
    def _most_pages(self) -> int:
        return (GAP + 2) * self._limit()

    def _may_go(self, stretch: _OrderedSegment) -> bool:
        """Whether its lane may fetch: there is room, or the consumer waits for it."""
        if self._held <= self._most_pages * self._track.page_size:
            return True
        return self._stretches[0] is stretch and not stretch.pieces

    def _make_room(self) -> None:
        if self._planned <= self._most_pages:
            self._room.set()
        for stretch in self._stretches:
            if not stretch.closed and not stretch.go.is_set():
                if not self._may_go(stretch):
                    break
                stretch.go.set()

    # Planning

    async def _plan(self) -> None:
        for start, end in [*self._track.remaining]:
            await self._plan_between(start, end)
        self._all_planned = True

    async def _plan_between(self, start: int, end: int) -> None:
        """Cut [start, end) into stretches, by a first page and rounds of scouts."""
        track = self._track
        window = track.window(start, end)
        messages = await self._first(window)
        frontier, end = window.done, window.end
        start = track.axis.point(epoch_ms(messages[0].timestamp)) if messages else frontier
        scouting = Lookahead(start, track.page_size)
        scouting.saw(len(messages))
        last: list[Page] = []
        while frontier < end:
            while self._planned > self._most_pages:
                self._room.clear()
                await self._room.wait()
            plan = scouting.plan(frontier, end, self._limit())
            scouts = [
                self._crew.start(self._scout(frontier, end, plan.size, number))
                for number in plan.numbers
            ]
            pages = await asyncio.gather(*scouts)
            before = frontier
            frontier, missed = self._read(pages, plan, frontier, end, scouting)
            repeated, last = repeats([*last, *pages]), pages[-1:]
            if missed and plan.gap > 1:
                scouting.missed()
            elif missed or repeated:
                self._open_lane(frontier, end, 1, scouting)
                return
            else:
                scouting.hit(plan, advanced=frontier > before)

    async def _first(self, window: Segment) -> list[Message]:
        """The first page of what is to be planned; more where it may be cut short, or tells
        nothing for it holds a single millisecond."""
        messages: list[Message] = []
        while True:
            piece = await self._ask(window, _SCOUT)
            self._append(piece)
            messages += piece.messages
            if window.finished or (messages and window.certain):
                return messages

    def _read(
        self, pages: list[Page], plan: LookaheadPlan, frontier: int, end: int, scouting: Lookahead
    ) -> tuple[int, bool]:
        """Plan by what a round of scouts brings: the new frontier, and whether one missed."""
        for page in pages:
            if frontier >= end:
                break
            if not page:
                return frontier, True
            full = self._track.is_full(page, plan.size)
            sighting = sight(page, frontier, end, full=full, axis=self._track.axis)
            self._open_lane(frontier, sighting.gap_end, plan.gap, scouting)
            self._append(sighting.piece)
            frontier = sighting.piece.end
            scouting.saw((plan.gap + 1) * plan.size)
        return frontier, False

    async def _scout(self, frontier: int, end: int, size: int, number: int) -> Page:
        track = self._track
        request = track.page_request(frontier, end, size=size, number=number)
        await self._gate.enter(_SCOUT)
        try:
            return await self._source.page(track, request)
        finally:
            self._gate.leave()

    # OrderedWalk

    def _append(self, piece: CompleteInterval) -> None:
        """A stretch that is there already."""
        if piece.end > piece.start:
            stretch = self._add(1)
            stretch.closed = True
            self._put(stretch, piece)

    def _open_lane(self, start: int, end: int, pages: int, scouting: Lookahead) -> None:
        """A stretch that a lane walks."""
        if end > start:
            stretch = self._add(pages)
            self._crew.start(self._walk(stretch, self._track.window(start, end), scouting))

    def _add(self, pages: int) -> _OrderedSegment:
        stretch = _OrderedSegment(self._numbers, pages)
        self._numbers += 1
        self._planned += pages
        self._stretches.append(stretch)
        return stretch

    async def _walk(self, stretch: _OrderedSegment, window: Segment, scouting: Lookahead) -> None:
        while not window.finished:
            while not self._may_go(stretch):
                stretch.go.clear()
                await stretch.go.wait()
            piece = await self._ask(window, stretch.number)
            if not window.finished and not window.run.straight:
                scouting.held_back(window.held)
            self._put(stretch, piece)
        stretch.closed = True
        self._crew.changed.set()

    async def _ask(self, window: Segment, urgency: int) -> CompleteInterval:
        await self._gate.enter(urgency)
        try:
            return await self._source.ask(self._track, window)
        finally:
            self._gate.leave()

    def _put(self, stretch: _OrderedSegment, piece: CompleteInterval) -> None:
        stretch.pieces.append(piece)
        self._held += len(piece.messages)
        self._crew.changed.set()
