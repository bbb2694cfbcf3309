"""The walk with many requests at once, in the order of time.

Lookahead pages divide what is to come into *stages*: gaps, each walked by a worker of its own,
and what the lookahead pages hold themselves. The stages are delivered one after the other.
Workers that are ahead wait if too many messages are held. The worker of the first stage never
waits for another, only for the consumer.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable
from typing import Final

from ...aio.tasks import TaskGroup
from ...models.message_batch import MessageBatch
from ...models.row import MessageRow
from ..keyset.page import CompleteInterval, Page
from ..keyset.segment import Segment
from ..source import PageSource, page_request
from ..track import Track
from .concurrency import PrioritySemaphore
from .lookahead import GAP, Lookahead, LookaheadPlan, read_lookahead, repeats

_LOOKAHEAD_PRIORITY: Final = -1
"""Before any worker's: the workers' segments depend on what the lookahead finds."""


class _Stage:
    """A part of the axis, in its place among the others.

    Attributes:
        number: its place; the priority of its requests.
        pages: how many it is expected to take.
        fetched: what was fetched of it and not delivered yet.
        closed: whether all of it was fetched.
        may_go_on: set when its worker may go on, if it waits.
    """

    __slots__ = ("closed", "fetched", "may_go_on", "number", "pages")

    def __init__(self, number: int, pages: int) -> None:
        self.number = number
        self.pages = pages
        self.fetched: deque[CompleteInterval] = deque()
        self.closed = False
        self.may_go_on = asyncio.Event()


class OrderedWalk:
    """A walk in order, with `limit()` requests at once."""

    def __init__(self, source: PageSource, track: Track, limit: Callable[[], int]) -> None:
        """Walk over what remains of `track`."""
        self._source = source
        self._track = track
        self._limit = limit
        self._page_size = track.settings.page_size
        self._slots = PrioritySemaphore(limit)
        self._tasks = TaskGroup()
        self._stages: deque[_Stage] = deque()
        self._next_number = 0
        self._planned_pages = 0
        self._held = 0
        self._room = asyncio.Event()
        self._all_planned = False

    async def batches(self) -> AsyncGenerator[MessageBatch, None]:
        """Yield what the workers and the lookahead fetch, in order."""
        async with self._tasks:
            self._tasks.start(self._plan())
            while not self._track.finished:
                complete = self._take()
                if complete is not None:
                    batch = self._track.deliver(complete)
                    if batch is not None:
                        yield batch
                elif self._tasks.error is not None:
                    raise self._tasks.error
                elif self._all_planned and not self._stages:
                    yield self._track.last_batch()
                else:
                    await self._tasks.wait()

    def _take(self) -> CompleteInterval | None:
        """Take the next interval in order; None if it was not fetched yet."""
        while self._stages:
            first = self._stages[0]
            if first.fetched:
                complete = first.fetched.popleft()
                self._held -= len(complete.messages)
                self._make_room()
                return complete
            if not first.closed:
                return None
            self._stages.popleft()
            self._planned_pages -= first.pages
            self._make_room()
        return None

    @property
    def _max_pages(self) -> int:
        return (GAP + 2) * self._limit()

    def _may_fetch(self, stage: _Stage) -> bool:
        """Whether the stage's worker may fetch: there is room, or the consumer waits for it."""
        if self._held <= self._max_pages * self._page_size:
            return True
        return self._stages[0] is stage and not stage.fetched

    def _make_room(self) -> None:
        if self._planned_pages <= self._max_pages:
            self._room.set()
        for stage in self._stages:
            if not stage.closed and not stage.may_go_on.is_set():
                if not self._may_fetch(stage):
                    break
                stage.may_go_on.set()

    # Planning

    async def _plan(self) -> None:
        for start, end in [*self._track.remaining]:
            await self._plan_between(start, end)
        self._all_planned = True

    async def _plan_between(self, start: int, end: int) -> None:
        """Divide [start, end) into stages, by a first page and rounds of lookahead pages."""
        track = self._track
        segment = track.segment(start, end)
        messages = await self._first(segment)
        frontier, end = segment.done, segment.end
        start = track.axis.point(messages[0].at) if messages else frontier
        lookahead = Lookahead(start, self._page_size)
        lookahead.note_messages(len(messages))
        last: list[Page] = []
        while frontier < end:
            while self._planned_pages > self._max_pages:
                self._room.clear()
                await self._room.wait()
            plan = lookahead.plan(frontier, end, self._limit())
            looking = [
                self._tasks.start(self._look_ahead(frontier, end, plan.size, number))
                for number in plan.numbers
            ]
            pages = await asyncio.gather(*looking)
            before = frontier
            frontier, missed = self._read(pages, plan, frontier, end, lookahead)
            repeated, last = repeats([*last, *pages]), pages[-1:]
            if missed and plan.gap > 1:
                lookahead.note_missed()
            elif missed or repeated:
                self._add_worker(frontier, end, 1, lookahead)
                return
            else:
                lookahead.note_found(plan, advanced=frontier > before)

    async def _first(self, segment: Segment) -> list[MessageRow]:
        """Fetch the first page; more while it may be short, or holds a single millisecond."""
        messages: list[MessageRow] = []
        while True:
            complete = await self._fetch(segment, _LOOKAHEAD_PRIORITY)
            self._add_complete(complete)
            messages += complete.messages
            if segment.finished or (messages and segment.certain):
                return messages

    def _read(
        self,
        pages: list[Page],
        plan: LookaheadPlan,
        frontier: int,
        end: int,
        lookahead: Lookahead,
    ) -> tuple[int, bool]:
        """Add stages for a round's pages: the new frontier, and whether a page was empty."""
        track = self._track
        for page in pages:
            if frontier >= end:
                break
            if not page.messages:
                return frontier, True
            full = track.quirks.is_full(len(page), plan.size)
            found = read_lookahead(page, frontier, end, full=full, axis=track.axis)
            self._add_worker(frontier, found.gap_end, plan.gap, lookahead)
            self._add_complete(found.complete)
            frontier = found.complete.end
            lookahead.note_messages((plan.gap + 1) * plan.size)
        return frontier, False

    async def _look_ahead(self, frontier: int, end: int, size: int, number: int) -> Page:
        request = page_request(self._track, frontier, end, size=size, number=number)
        await self._slots.acquire(_LOOKAHEAD_PRIORITY)
        try:
            return await self._source.page(self._track, request)
        finally:
            self._slots.release()

    # Stages

    def _add_complete(self, complete: CompleteInterval) -> None:
        """Add a stage that was fetched already."""
        if complete.end > complete.start:
            stage = self._add_stage(1)
            stage.closed = True
            self._put(stage, complete)

    def _add_worker(self, start: int, end: int, pages: int, lookahead: Lookahead) -> None:
        """Add a stage with a worker that walks it."""
        if end > start:
            stage = self._add_stage(pages)
            self._tasks.start(self._walk(stage, self._track.segment(start, end), lookahead))

    def _add_stage(self, pages: int) -> _Stage:
        stage = _Stage(self._next_number, pages)
        self._next_number += 1
        self._planned_pages += pages
        self._stages.append(stage)
        return stage

    async def _walk(self, stage: _Stage, segment: Segment, lookahead: Lookahead) -> None:
        while not segment.finished:
            while not self._may_fetch(stage):
                stage.may_go_on.clear()
                await stage.may_go_on.wait()
            complete = await self._fetch(segment, stage.number)
            if not segment.finished and not segment.run.contiguous:
                lookahead.note_held_back(segment.held_back)
            self._put(stage, complete)
        stage.closed = True
        self._tasks.changed.set()

    async def _fetch(self, segment: Segment, priority: int) -> CompleteInterval:
        await self._slots.acquire(priority)
        try:
            return await self._source.fetch(self._track, segment)
        finally:
            self._slots.release()

    def _put(self, stage: _Stage, complete: CompleteInterval) -> None:
        stage.fetched.append(complete)
        self._held += len(complete.messages)
        self._tasks.changed.set()
