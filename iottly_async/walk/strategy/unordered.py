"""The walk with many requests at once and without order: idle workers split segments.

All segments of all devices lie in one pool. If there are fewer segments than workers, the one
with the most messages left, by the rate it last had, is split in two. A split falls beyond what
is done, and `done` moves before anything is awaited. So no message is ever in two segments, or
in none.

A split costs requests: a page costs what the next one repeats of it, and the last page of a
split-off segment costs what it lacks of a full one. `SplitBudget` accounts for that, and allows
only as many splits as keep the walk within 5 % of the fewest requests possible.

Of many devices, one that fails ends alone: its segments are dropped, and the others are walked to
their ends.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncGenerator, Callable, Iterator
from typing import Final

from ...aio.tasks import TaskGroup
from ...errors import EVERY_DEVICE, DeviceFailure, DevicesFailedError, IottlyError
from ...models.message_batch import MessageBatch
from ..axis import BEGINNING, DESCENDING
from ..keyset.page import CompleteInterval
from ..keyset.segment import Segment
from ..source import PageSource
from ..track import Track
from .concurrency import PrioritySemaphore

_LEAST_PAGES: Final = 3.0
"""A segment with fewer pages left, by estimate, is not split."""

_CLEAR_PAGES: Final = 1.5
"""Pages, by estimate, between what is done and a split, at least."""

_LASTING: Final = 8
"""Where messages come in bursts, a segment is expected to go on at its rate for this many times
the pages that it has gone on at it."""


def most_intervals(concurrency: int) -> int:
    """How many intervals a walk can leave to deliver, at most.

    An interval ends where another worker's segment was delivered, so there are never more
    intervals than segments that are not delivered to their end:

    - `concurrency` are walked. No segment is split while another one waits for a worker, so
      one more waits at most: what the search for the last message has split off.
    - Of `2 * concurrency` segments, the last page may be fetched and not delivered: there are
      no more slots (`UnorderedWalk`).
    - A walk that is resumed adds what is new, and what it looks back at.

    A walk in order leaves one interval.

    Args:
        concurrency: of the walk.

    Returns:
        A number of intervals.
    """
    return 3 * concurrency + 3


class SplitBudget:
    """What the splits of a walk have cost so far, in pages, and whether another is allowed."""

    __slots__ = ("_missed", "_open", "_requests", "_splits", "_waste")

    def __init__(self) -> None:
        self._requests = self._splits = self._open = self._missed = 0
        self._waste = 0.0

    def allows(self) -> bool:
        """Whether one more split keeps the cost within 4.5 % of the requests, and 7.

        A split-off segment that has not ended yet is expected to cost half a page.
        """
        return self._waste + (self._open + 1) / 2 <= 7 + 0.045 * self._requests

    @property
    def estimates_fail(self) -> bool:
        """Whether more than a tenth of the splits brought next to nothing.

        Messages are not spread evenly then, and a segment's length does not show what it holds.
        """
        return self._missed > 2 + 0.1 * self._splits

    def note_page(self, repeated: float) -> None:
        """Note that a page has come of which a share, `repeated`, will come again."""
        self._requests += 1
        self._waste += repeated

    def note_end_search(self) -> None:
        """Note one request for the last message, and one that finds nothing after it."""
        self._waste += 2

    def note_split(self) -> None:
        """Note that a segment was split."""
        self._splits += 1
        self._open += 1

    def note_end(self, share: float, *, missed: bool) -> None:
        """Note that a split-off segment has ended.

        Args:
            share: how full its last page was, from 0 to 1.
            missed: whether there was next to nothing in it.
        """
        self._open -= 1
        self._waste += 1 - share
        self._missed += missed

    def note_dropped(self) -> None:
        """Note that a split-off segment is walked no further, because its device has failed."""
        self._open -= 1


class _Job:
    """A segment that a worker walks; or, with `finds_end`, whose last message it looks for."""

    __slots__ = ("finds_end", "is_split", "segment", "track")

    def __init__(
        self, track: Track, segment: Segment, *, is_split: bool = False, finds_end: bool = False
    ) -> None:
        self.track = track
        self.segment = segment
        self.is_split = is_split
        self.finds_end = finds_end


class UnorderedWalk:
    """The pool of segments, its workers, and what they have fetched but not delivered."""

    def __init__(
        self,
        source: PageSource,
        tracks: Iterator[Track],
        limit: Callable[[], int],
        *,
        many: bool = False,
        on_failure: Callable[[str, DeviceFailure], object] | None = None,
    ) -> None:
        """Walk over `tracks` with `limit()` workers.

        Args:
            source: where pages come from.
            tracks: the devices' walks; each is begun when a worker is free for it.
            limit: how many requests run at once, at most.
            many: whether the error of one device ends that device alone. Default False: it
                ends the walk.
            on_failure: called at once with the id and the failure of a device that ends
                alone. Default None: nothing is called.
        """
        self._source = source
        self._tracks = tracks
        self._limit = limit
        self._many = many
        self._on_failure = on_failure
        self._begun = 0
        self._failed: dict[Track, IottlyError] = {}
        self._budget = SplitBudget()
        self._waiting: deque[_Job] = deque()
        self._active: dict[_Job, None] = {}
        self._workers = TaskGroup()
        self._ready: deque[tuple[Track, CompleteInterval | None]] = deque()
        self._slots = PrioritySemaphore(lambda: 2 * limit())
        self._ends_known: set[Track] = set()
        self._ends_wanted: set[Segment] = set()

    async def batches(self) -> AsyncGenerator[MessageBatch, None]:
        """Yield what the workers fetch, as it comes.

        Raises:
            DevicesFailedError: some of many devices failed; everything else was yielded.
        """
        async with self._workers:
            self._start_workers()
            while True:
                while self._ready:
                    track, complete = self._ready.popleft()
                    if complete is None:
                        yield track.last_batch()
                        continue
                    self._slots.release()
                    batch = track.deliver(complete)
                    if batch is not None:
                        yield batch
                if self._workers.error is not None:
                    # What was ready is delivered; nothing more was fetched for it.
                    raise self._workers.error
                if not self._workers:
                    self._start_workers()
                    if not self._workers and not self._ready:
                        break
                await self._workers.wait()
        if self._failed:
            failures = {
                track.query.device_id: _failure(track, error)
                for track, error in self._failed.items()
            }
            raise DevicesFailedError.of(failures, devices=self._begun)

    def _start_workers(self) -> None:
        """Start as many workers as the limit and the segments allow."""
        while self._workers.open and len(self._workers) < self._limit():
            job = self._next_job()
            if job is None:
                return
            self._active[job] = None
            self._workers.start(self._work(job))

    async def _work(self, first: _Job) -> None:
        job: _Job | None = first
        while job is not None:
            self._active[job] = None
            try:
                await self._walk(job)
            except IottlyError as error:
                if not self._ends_alone(job.track, error):
                    raise
            finally:
                del self._active[job]
            job = self._next_job() if len(self._workers) <= self._limit() else None

    def _ends_alone(self, track: Track, error: IottlyError) -> bool:
        """Note the error of one device of many; False if it ends the whole walk."""
        if not self._many or isinstance(error, EVERY_DEVICE):
            return False
        if track not in self._failed:
            self._failed[track] = error
            if self._on_failure is not None:
                self._on_failure(track.query.device_id, _failure(track, error))
        return True

    def _next_job(self) -> _Job | None:
        while True:
            while self._waiting:
                job = self._waiting.popleft()
                if job.track not in self._failed:
                    return job
                self._drop(job)
            track = next(self._tracks, None)
            if track is None:
                return self._split() if self._budget.allows() else None
            self._begun += 1
            try:
                track.begin()
            except IottlyError as error:
                if not self._ends_alone(track, error):
                    raise
                continue
            self._waiting.extend(_Job(track, segment) for segment in track.segments())
            if not track.remaining:
                self._ready.append((track, None))
                self._workers.changed.set()

    def _drop(self, job: _Job) -> None:
        """Walk a failed device's segment no further."""
        if job.is_split:
            self._budget.note_dropped()

    def _pages_left(self, job: _Job) -> float:
        """How many pages the job's segment has left, by estimate."""
        segment, size = job.segment, job.track.settings.page_size
        pages = segment.rate * (segment.end - segment.done) / size
        if self._budget.estimates_fail:
            # What has lasted for so long will last as long again, some times over.
            pages = min(pages, _LASTING * segment.steady)
        return pages

    def _split(self) -> _Job | None:
        """Split the segment with the most pages left, and return its later half as a job."""
        best: _Job | None = None
        most = _LEAST_PAGES
        for job in self._active:
            busy = job.finds_end or job.segment in self._ends_wanted or job.track in self._failed
            pages = 0.0 if busy else self._pages_left(job)
            if pages > most:
                best, most = job, pages
        if best is None:
            return None
        track, segment = best.track, best.segment
        if track not in self._ends_known and segment.end == track.bounds[1]:
            self._ends_known.add(track)
            self._ends_wanted.add(segment)
            self._budget.note_end_search()
            return _Job(track, segment, finds_end=True)
        if segment.end == -BEGINNING and track.axis is DESCENDING:
            return None  # it would fall somewhere between now and the year 1
        ahead = max(most / 2, _CLEAR_PAGES)
        middle = segment.done + 1 + int(ahead * track.settings.page_size / segment.rate)
        if middle >= segment.end:
            return None
        later = track.segment(middle, segment.end)
        later.rate, later.steady = segment.rate, segment.steady
        segment.end = middle
        self._budget.note_split()
        return _Job(track, later, is_split=True)

    async def _walk(self, job: _Job) -> None:
        track, segment = job.track, job.segment
        size = track.settings.page_size
        while not segment.finished:
            await self._slots.acquire()
            if track in self._failed:
                self._slots.release()
                self._drop(job)
                return
            if len(self._workers) > self._limit():
                self._slots.release()
                self._waiting.appendleft(job)
                return
            first = segment.fresh
            try:
                if job.finds_end:
                    await self._find_end(job)
                    self._slots.release()
                    return
                complete = await self._source.fetch(track, segment)
            except IottlyError:
                self._slots.release()
                self._drop(job)
                raise
            self._budget.note_page(0 if segment.run.contiguous else segment.held_back / size)
            if job.is_split and segment.finished:
                share = min(1.0, len(complete.messages) / size)
                self._budget.note_end(share, missed=first and share < 0.5)
            self._ready.append((track, complete))
            self._workers.changed.set()
            self._start_workers()

    async def _find_end(self, job: _Job) -> None:
        """Find the last message of a segment, which may lie long before the segment's end.

        The segment is split behind it, so that no further split falls into what is empty. What
        should be empty is walked too, for the service may have sent another message.
        """
        track, segment = job.track, job.segment
        try:
            last = await self._source.last_position(track, segment)
        finally:
            self._ends_wanted.discard(segment)
        if last is not None and segment.done < last + 1 < segment.end:
            self._waiting.append(_Job(track, track.segment(last + 1, segment.end)))
            segment.end = last + 1


def _failure(track: Track, error: IottlyError) -> DeviceFailure:
    return DeviceFailure(error=error, cursor=track.reached())
