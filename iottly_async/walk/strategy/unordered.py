"""Many windows at once, order not asked for: idle workers take the later half of others.

All windows of all devices lie in one pool. Where there are fewer of them than workers,
the one with the most messages left, by the rate it last saw, is cut in two. A cut falls
above what is done, and what is done moves before anything is awaited, so that no
message is ever in two windows or in none. What cuts cost in requests is accounted for,
and only so many are made.

What cutting windows costs in requests, so that a parallel walk makes hardly more of them.

A page costs what the next one brings again of it; the last page of a part that was cut
off costs what it lacks of a full one.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncGenerator, Callable, Iterator

from ...aio.tasks import TaskGroup
from ...models._time import epoch_ms
from ...models.message import MessageBatch
from ..axis import BEGINNING, DESCENDING
from ..keyset.page import CompleteInterval
from ..keyset.segment import Segment
from ..source import PageSource
from ..track import Track
from .concurrency import PrioritySemaphore


class SplitBudget:
    """What a walk in parts has cost so far, in pages, and whether another cut may be made."""

    __slots__ = ("_cuts", "_live", "_missed", "_requests", "_waste")

    def __init__(self) -> None:
        self._requests = self._cuts = self._live = self._missed = 0
        self._waste = 0.0

    def allows(self) -> bool:
        """Whether the cost stays within 4.5 % of the requests and 7, even with one cut more;
        of those that have not ended yet, half a page each is expected."""
        return self._waste + (self._live + 1) / 2 <= 7 + 0.045 * self._requests

    @property
    def misled(self) -> bool:
        """Whether more than a tenth of the cuts brought next to nothing: the messages are
        not spread evenly, and what a window holds cannot be told from its length."""
        return self._missed > 2 + 0.1 * self._cuts

    def page(self, again: float) -> None:
        """A page has come, and this share of one comes again."""
        self._requests += 1
        self._waste += again

    def sounded(self) -> None:
        """A request finds out where the messages end, and another that nothing follows."""
        self._waste += 2

    def cut(self) -> None:
        """A cut was made."""
        self._cuts += 1
        self._live += 1

    def ended(self, last: float, *, missed: bool) -> None:
        """A part that was cut off has ended with this share of a page; `missed`: there was
        next to nothing in it."""
        self._live -= 1
        self._waste += 1 - last
        self._missed += missed


_LEAST_PAGES = 3.0
"""A window with fewer pages left, by estimate, is not cut."""

_CLEAR_PAGES = 1.5
"""A cut falls at least so many pages, by estimate, above what is done."""

_LASTING = 8
"""Where messages come in bursts, a window is thought to go on at its rate for so many
times the pages that it has gone on at it."""


class _Job:
    """A window that a worker walks; or, where `sounds`, whose far end it looks for."""

    __slots__ = ("is_cut", "sounds", "track", "window")

    def __init__(
        self, track: Track, window: Segment, *, is_cut: bool = False, sounds: bool = False
    ) -> None:
        self.track = track
        self.window = window
        self.is_cut = is_cut
        self.sounds = sounds


class UnorderedWalk:
    """The windows, the workers, and what they have fetched and nobody took yet."""

    def __init__(
        self, source: PageSource, tracks: Iterator[Track], limit: Callable[[], int]
    ) -> None:
        """A pool over the windows of `tracks`, with `limit()` workers."""
        self._source = source
        self._tracks = tracks
        self._limit = limit
        self._budget = SplitBudget()
        self._waiting: deque[_Job] = deque()
        self._active: dict[_Job, None] = {}
        self._crew = TaskGroup()
        self._ready: deque[tuple[Track, CompleteInterval | None]] = deque()
        self._places = PrioritySemaphore(lambda: 2 * limit())
        self._sounded: set[Track] = set()
        self._sounding: set[Segment] = set()

    async def batches(self) -> AsyncGenerator[MessageBatch, None]:
        """What the workers fetch, as it comes."""
        try:
            self._employ()
            while True:
                while self._ready:
                    track, piece = self._ready.popleft()
                    if piece is None:
                        yield track.last()
                        continue
                    self._places.leave()
                    batch = track.hand_out(piece)
                    if batch is not None:
                        yield batch
                if self._crew.error is not None:
                    # What was ready is handed out; nothing more was fetched for it.
                    raise self._crew.error
                if not self._crew:
                    self._employ()
                    if not self._crew and not self._ready:
                        return
                await self._crew.wait()
        finally:
            await self._crew.aclose()

    def _employ(self) -> None:
        """Set workers to work, as many as the limit and the windows allow."""
        while self._crew.open and len(self._crew) < self._limit():
            job = self._next()
            if job is None:
                return
            self._active[job] = None
            self._crew.start(self._work(job))

    async def _work(self, first: _Job) -> None:
        job: _Job | None = first
        while job is not None:
            self._active[job] = None
            try:
                await self._walk(job)
            finally:
                del self._active[job]
            job = self._next() if len(self._crew) <= self._limit() else None

    def _next(self) -> _Job | None:
        while not self._waiting:
            track = next(self._tracks, None)
            if track is None:
                return self._cut() if self._budget.allows() else None
            self._waiting.extend(_Job(track, window) for window in track.windows())
            if not track.remaining:
                self._ready.append((track, None))
                self._crew.changed.set()
        return self._waiting.popleft()

    def _pages(self, job: _Job) -> float:
        """How many pages the job's window has left, by estimate."""
        window, size = job.window, job.track.page_size
        pages = window.rate * (window.end - window.done) / size
        if self._budget.misled:
            # What has lasted for so long will last as long again, some times over.
            pages = min(pages, _LASTING * window.steady)
        return pages

    def _cut(self) -> _Job | None:
        """The later half of the window with the most pages left, by estimate."""
        best: _Job | None = None
        most = _LEAST_PAGES
        for job in self._active:
            pages = 0.0 if job.sounds or job.window in self._sounding else self._pages(job)
            if pages > most:
                best, most = job, pages
        if best is None:
            return None
        track, window = best.track, best.window
        if track not in self._sounded and window.end == track.bounds[1]:
            self._sounded.add(track)
            self._sounding.add(window)
            self._budget.sounded()
            return _Job(track, window, sounds=True)
        if window.end == -BEGINNING and track.axis is DESCENDING:
            return None  # it would fall somewhere between now and the year 1
        ahead = max(most / 2, _CLEAR_PAGES)
        middle = window.done + 1 + int(ahead * track.page_size / window.rate)
        if middle >= window.end:
            return None
        later = track.window(middle, window.end)
        later.rate, later.steady = window.rate, window.steady
        window.end = middle
        self._budget.cut()
        return _Job(track, later, is_cut=True)

    async def _walk(self, job: _Job) -> None:
        track, window = job.track, job.window
        while not window.finished:
            await self._places.enter()
            if len(self._crew) > self._limit():
                self._places.leave()
                self._waiting.appendleft(job)
                return
            if job.sounds:
                await self._sound(job)
                self._places.leave()
                return
            first = window.fresh
            piece = await self._source.ask(track, window)
            size = track.page_size
            self._budget.page(0 if window.run.straight else window.held / size)
            if job.is_cut and window.finished:
                share = min(1.0, len(piece.messages) / size)
                self._budget.ended(share, missed=first and share < 0.5)
            self._put(track, piece)
            self._employ()

    def _put(self, track: Track, piece: CompleteInterval) -> None:
        self._ready.append((track, piece))
        self._crew.changed.set()

    async def _sound(self, job: _Job) -> None:
        """Find where the messages end, which may be long before their range does.

        The window is cut there, so that no further cut falls into what is empty. What should
        be empty is walked too, for a service may have answered with another message.
        """
        track, window = job.track, job.window
        try:
            found = (await self._source.fetch(track.farthest(window))).messages
        finally:
            self._sounding.discard(window)
        if found:
            bottom = track.axis.point(epoch_ms(found[0].timestamp)) + 1
            if window.done < bottom < window.end:
                self._waiting.append(_Job(track, track.window(bottom, window.end)))
                window.end = bottom
