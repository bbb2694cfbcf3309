"""A job: the messages of a project's devices, over a range, into a store."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Final, TypeVar, cast

from ..codec import MESSAGE_TYPES, choice
from ..config import Seconds, flag, seconds, whole
from ..errors import ConfigurationError, IottlyError
from ..models import Cursor, MessageBatch
from ..resources.given import several
from ..resources.messages import TypeFilter
from ..resources.pages import bounds
from ..session import IottlySession
from .bottleneck import BottleneckMeter
from .fetch import DeviceWalk, FetchRange, walk_devices
from .following import Followers
from .keeping import kept, renewal
from .plan import IngestPlan, Query, time_of
from .progress import Meter, Progress
from .report import IngestReport, Outcome
from .run_plan import RunStart, begin_run
from .stores import Held, Store, open_store
from .together import end
from .writer import Writer

T = TypeVar("T")

Report = Callable[[Progress], object]

_FLUSH_EVERY: Final = 1.0
_LOOK: Final = 0.05  # seconds between two looks at what is waited for
_TICK: Final = 0.25  # seconds between two calls of a progress function


class IngestJob:
    """The messages of a project's devices, over a range, into a store; each exactly once.

    A run that was killed, cancelled or stopped is gone on with by running the same job
    again, in whatever process: it has the same range, and goes on where the store's
    cursors are. A run that came to its end, also one in which devices failed, is followed
    by one that goes on to the server's present now, or to `end`: it fetches what is new
    since, and what is missing of the devices that failed.

    Args:
        session: open; it is not closed here.
        project: the project's id.
        devices: ids of the devices to fetch; None for all that the project has when the
            run begins. They may be others than in an earlier run into the same store.
        start: aware; inclusive; None is the beginning.
        end: aware; exclusive; None, or a time to come, ends each run at the server's now
            less `Config.settle` (D11). It may be later than in an earlier run into the
            same store, never earlier than what is stored.
        type: "all", "userdefined" or "iottlyagent".
        store: a path or text as in `open_store`, or an object with the methods of `Store`.
        concurrency: requests at once, at most, 1 to 1,000; the quota may allow fewer.
            Default 8.
        flush_every: seconds; what was fetched is durable after that long at the latest,
            and as much is fetched again after a kill. None is what the store prefers (its
            attribute `flush_every`: 30 for Parquet, whose flushes make files), or else 1.
        follow: go on with new messages after the range, until `stop`; devices that come to
            the project join in where `devices` is None. Goes without an `end`. Default False.
        slowest: seconds between two looks at a device that is followed, at most, as in
            `Messages.follow_many`; of devices that send often, each message is looked for
            when it is due. Default 60.

    Raises:
        ConfigurationError: an argument is not as above; nothing was sent or opened.
    """

    def __init__(
        self,
        session: IottlySession,
        *,
        project: str,
        store: str | os.PathLike[str] | Store,
        devices: Sequence[str] | None = None,
        start: datetime | None = None,
        end: datetime | None = None,
        type: TypeFilter = "all",  # noqa: A002 - the API's own name
        concurrency: int = 8,
        flush_every: Seconds | None = None,
        follow: bool = False,
        slowest: Seconds = 60.0,
    ) -> None:
        if not isinstance(session, IottlySession):
            raise ConfigurationError("session must be an IottlySession, and is something else")
        self._session = session
        self._project = session.project(project)
        low, high = bounds(start, end)
        if follow and high is not None:
            raise ConfigurationError("a job that follows has no end: leave out end, or follow")
        kind = choice(type, MESSAGE_TYPES, name="type")
        self._query = Query(project_id=project, type=kind, start=low, end=high)
        self._devices = None if devices is None else _checked(devices)
        self._concurrency = whole(concurrency, name="concurrency", least=1, most=1000)
        self._store = open_store(store, retry=session.config.retry)
        if flush_every is None:
            flush_every = getattr(self._store, "flush_every", _FLUSH_EVERY)
        self._flush_every = seconds(flush_every, name="flush_every")
        self._follow = flag(follow, name="follow")
        self._slowest = seconds(slowest, name="slowest")
        self._ledger = BottleneckMeter(0.0, 0.0)
        self._stopping = asyncio.Event()
        self._running = False

    def stop(self) -> None:
        """End the run soon and cleanly: no request more, and all that was fetched is stored.

        `run` then returns its report; the next run goes on where this one stopped. To be
        called in the job's event loop, as by a signal handler of it.
        """
        self._stopping.set()

    async def run(self, progress: Report | None = None) -> IngestReport:
        """Fetch and store until all devices came to their end, or to an error of their own.

        An error of one device ends the walk of that one; it is in the report, and the next
        run goes on there. The job itself runs once; make another one to run it again.
        A job that follows returns only when it is stopped.

        Args:
            progress: called in the event loop four times a second, and at the end, with
                a `Progress`; None reports nothing.

        Raises:
            CursorMismatchError: the store is of another query, project or server.
            ConfigurationError: the store cannot be opened, or the job was run before.
            StoreError: the store failed; what it holds is right, and can be gone on with.
            UnauthorizedError: the key is not accepted (any more).
            IottlyError: the project's devices could not be listed.
        """
        if self._running:
            raise ConfigurationError("a job runs once; make another one to run it again")
        self._running = True
        begun, before = _now(), self._session.stats.attempts
        self._ledger = BottleneckMeter(begun, time.thread_time())
        try:
            held = await self._store.open()
            beginning = await self._unless_stopped(self._prepare(held))
            if beginning is None:
                meter = Meter(now=_now, begun=begun, end=0, courses={})
                return self._report(meter, before, None)
            plan = beginning.plan
            meter = Meter(
                now=_now,
                begun=begun,
                start=plan.query.start,
                end=plan.pinned_end,
                courses=beginning.courses,
                server_ahead=beginning.server_now - _now(),
            )
            await self._carry_out(plan, meter, lambda: self._snapshot(meter, before), progress)
            plan = kept(plan, meter)
            await self._store.begin(plan.to_json())
            return self._report(meter, before, plan)
        finally:
            await self._store.close()

    async def _prepare(self, held: Held) -> RunStart:
        devices = self._devices
        if devices is None:
            devices = await self._listed()
        return await begin_run(
            self._project.messages,
            self._store,
            held,
            self._query,
            devices,
            settle=self._session.config.settle,
        )

    async def _listed(self) -> list[str]:
        return [device.id for device in await self._project.devices.list()]

    async def _carry_out(
        self,
        plan: IngestPlan,
        meter: Meter,
        snapshot: Callable[[], Progress],
        progress: Report | None,
    ) -> None:
        """Walk and write, until the end or until stopped; what was fetched is stored."""
        writer = Writer(
            self._store, meter, flush_every=self._flush_every, plan=renewal(plan, meter)
        )
        fetching = asyncio.ensure_future(self._unless_stopped(self._fetch(plan, meter, writer)))
        writing = asyncio.ensure_future(writer.run())
        watching = asyncio.ensure_future(self._watch(writer, snapshot, progress))
        try:
            # Only the walks end by themselves; whatever else ends has failed.
            await asyncio.wait({fetching, writing, watching}, return_when=asyncio.FIRST_COMPLETED)
            if not fetching.done():
                await (writing if writing.done() else watching)
            writer.finish()
            await writing
            await fetching
        finally:
            await end([fetching, writing, watching])
        self._look(writer)
        if progress is not None:
            progress(snapshot())

    async def _fetch(self, plan: IngestPlan, meter: Meter, writer: Writer) -> bool:
        """Walk the range, then follow where that is wanted."""
        cursors: dict[str, Cursor] = {
            course.device_id: course.cursor for course in meter.courses.values() if course.cursor
        }

        async def deliver(batch: MessageBatch) -> None:
            await writer.put(batch)
            cursors[batch.cursor.device_id] = batch.cursor

        async def ended(device_id: str, error: IottlyError | None) -> None:
            course = meter.course(device_id)
            course.error = error
            course.outcome = Outcome.DONE if error is None else Outcome.FAILED

        await walk_devices(
            self._project.messages,
            [
                DeviceWalk(device_id=course.device_id, cursor=course.cursor)
                for course in meter.courses.values()
                if course.outcome is not Outcome.DONE
            ],
            FetchRange(
                start=time_of(plan.query.start),
                end=cast(datetime, time_of(plan.pinned_end)),
                type=cast(TypeFilter, plan.query.type),
            ),
            concurrency=self._concurrency,
            deliver=deliver,
            ended=ended,
        )
        if self._follow:
            meter.following = True
            failed = {one.device_id for one in meter.courses.values() if one.error is not None}
            await Followers(
                messages=self._project.messages,
                devices=self._devices,
                listed=self._listed,
                start=plan.query.start,
                type=cast(TypeFilter, plan.query.type),
                concurrency=self._concurrency,
                slowest=self._slowest,
                cursors=cursors,
                failed=failed,
                deliver=deliver,
                ended=ended,
            ).run()
        return True

    async def _unless_stopped(self, work: Awaitable[T]) -> T | None:
        """What `work` returns, or None where the job was stopped before it did."""
        working = asyncio.ensure_future(work)
        stopping = asyncio.ensure_future(self._stopping.wait())
        try:
            await asyncio.wait({working, stopping}, return_when=asyncio.FIRST_COMPLETED)
            return await working if working.done() else None
        finally:
            await end([working, stopping])

    async def _watch(
        self, writer: Writer, snapshot: Callable[[], Progress], progress: Report | None
    ) -> None:
        """Look what is waited for, and tell of the progress, without end."""
        told = -_TICK
        while True:
            self._look(writer)
            if progress is not None and _now() - told >= _TICK:
                told = _now()
                progress(snapshot())
            await asyncio.sleep(_LOOK)

    def _look(self, writer: Writer) -> None:
        quota = self._session.quota
        self._ledger.look(
            _now(),
            time.thread_time(),
            waiting=quota.waiting,
            in_flight=quota.in_flight,
            held_up=writer.holds_up,
        )

    def _snapshot(self, meter: Meter, before: int) -> Progress:
        requests = self._session.stats.attempts - before
        return meter.snapshot(
            requests=requests, quota=self._session.quota, shares=self._ledger.recent()
        )

    def _report(self, meter: Meter, before: int, plan: IngestPlan | None) -> IngestReport:
        return IngestReport(
            project_id=self._query.project_id,
            rows=meter.rows,
            rejected=meter.rejected,
            total=sum(course.total for course in meter.courses.values()),
            requests=self._session.stats.attempts - before,
            seconds=meter.seconds,
            interrupted=plan is None or meter.count(Outcome.STOPPED) > 0,
            start=self._query.start,
            end=None if plan is None else plan.pinned_end,
            devices=tuple(course.as_outcome() for course in meter.courses.values()),
            followed=meter.following,
            shares=self._ledger.shares(),
        )


def _checked(devices: Sequence[str]) -> list[str]:
    ids = several(devices, name="devices")
    if not ids:
        raise ConfigurationError("devices must name one at least, or be None for all")
    return ids


def _now() -> float:
    return asyncio.get_running_loop().time()
