"""A job: the messages of a project's devices, over a range, into a store."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Final, TypeVar, cast

from attrs import evolve

from ..clock import SYSTEM_CLOCK
from ..codec import MESSAGE_TYPES, choice
from ..config import Seconds, seconds, whole
from ..errors import ApiError, ConfigurationError, IottlyError
from ..models import Cursor
from ..resources.messages import TypeFilter
from ..resources.pages import bounds
from ..session import IottlySession
from ..walk import PageRequest
from ..wire import segment
from .plan import Plan, Query, cursor_for, next_plan, time_of
from .progress import Course, Meter, Progress
from .report import IngestReport, Outcome
from .stores import Held, Store, open_store
from .together import end
from .walks import FATAL, DeviceWalk, Range, walk_devices
from .writer import Writer

T = TypeVar("T")

Report = Callable[[Progress], object]

_FLUSH_EVERY: Final = 1.0
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
    ) -> None:
        self._session = session
        self._project = session.project(project)
        low, high = bounds(start, end)
        kind = choice(type, MESSAGE_TYPES, name="type")
        self._query = Query(project_id=project, type=kind, start=low, end=high)
        self._devices = None if devices is None else _checked(devices)
        self._concurrency = whole(concurrency, name="concurrency", least=1, most=1000)
        self._store = open_store(store, retry=session.config.retry)
        if flush_every is None:
            flush_every = getattr(self._store, "flush_every", _FLUSH_EVERY)
        self._flush_every = seconds(flush_every, name="flush_every")
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
        try:
            held = await self._store.open()
            prepared = await self._unless_stopped(self._prepare(held))
            if prepared is None:
                meter = Meter(now=_now, begun=begun, end=0, courses={})
                return self._report(meter, before, None, interrupted=True)
            plan, courses = prepared
            meter = Meter(now=_now, begun=begun, end=plan.pinned_end, courses=courses)
            await self._carry_out(plan, meter, lambda: self._snapshot(meter, before), progress)
            interrupted = meter.count(Outcome.STOPPED) > 0
            if not interrupted:
                await self._store.begin(evolve(plan, ended=True).to_json())
            return self._report(meter, before, plan, interrupted=interrupted)
        finally:
            await self._store.close()

    async def _prepare(self, held: Held) -> tuple[Plan, dict[str, Course]]:
        """The plan of this run, kept in the store, and where each device goes on."""
        old = None if held.plan is None else Plan.from_json(held.plan)
        devices = self._devices
        if devices is None:
            devices = [device.id for device in await self._project.devices.list()]
        plan = next_plan(
            self._query,
            old,
            server_now=await self._server_now(devices),
            settle=self._session.config.settle,
        )
        await self._store.begin(plan.to_json())
        courses: dict[str, Course] = {}
        for device_id in devices:
            text = held.cursors.get(device_id)
            saved = None if text is None else Cursor.from_json(text)
            cursor = cursor_for(plan, device_id, saved)
            stored = 0 if cursor is None else cursor.count
            courses[device_id] = course = Course(device_id, cursor=cursor, before=stored)
            if cursor is not None and cursor.finished:
                course.outcome = Outcome.DONE
        return plan, courses

    async def _server_now(self, devices: Sequence[str]) -> float:
        """Seconds since the epoch on the server's clock; one small request.

        Raises:
            IottlyError: what the first device was answered, where none gives an answer.
        """
        refused: ApiError | None = None
        for device_id in devices:
            request = PageRequest(
                device_id=device_id,
                start=self._query.start,
                end=None,
                type=self._query.type,
                order="asc",
                size=1,
                number=None,
            )
            try:
                fetched = await self._project.messages.fetch(request)
            except FATAL:
                raise
            except ApiError as error:
                refused = refused or error
            else:
                told = fetched.server_time
                return SYSTEM_CLOCK.time() if told is None else told
        if refused is not None:
            raise refused
        return SYSTEM_CLOCK.time()

    async def _carry_out(
        self,
        plan: Plan,
        meter: Meter,
        snapshot: Callable[[], Progress],
        progress: Report | None,
    ) -> None:
        """Walk and write, until the end or until stopped; what was fetched is stored."""
        writer = Writer(self._store, meter, flush_every=self._flush_every)
        walking = asyncio.ensure_future(self._unless_stopped(self._walk(plan, meter, writer)))
        writing = asyncio.ensure_future(writer.run())
        ticking = asyncio.ensure_future(_tick(snapshot, progress))
        try:
            # Only the walks end by themselves; whatever else ends has failed.
            await asyncio.wait({walking, writing, ticking}, return_when=asyncio.FIRST_COMPLETED)
            if not walking.done():
                await (writing if writing.done() else ticking)
            writer.finish()
            await writing
            await walking
        finally:
            await end([walking, writing, ticking])
        if progress is not None:
            progress(snapshot())

    async def _walk(self, plan: Plan, meter: Meter, writer: Writer) -> bool:
        async def ended(device_id: str, error: IottlyError | None) -> None:
            course = meter.courses[device_id]
            course.error = error
            course.outcome = Outcome.DONE if error is None else Outcome.FAILED

        await walk_devices(
            self._project.messages,
            [
                DeviceWalk(device_id=course.device_id, cursor=course.cursor)
                for course in meter.courses.values()
                if course.outcome is not Outcome.DONE
            ],
            Range(
                start=time_of(plan.query.start),
                end=cast(datetime, time_of(plan.pinned_end)),
                type=cast(TypeFilter, plan.query.type),
            ),
            concurrency=self._concurrency,
            deliver=writer.put,
            ended=ended,
        )
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

    def _snapshot(self, meter: Meter, before: int) -> Progress:
        requests = self._session.stats.attempts - before
        return meter.snapshot(requests=requests, quota=self._session.quota)

    def _report(
        self, meter: Meter, before: int, plan: Plan | None, *, interrupted: bool
    ) -> IngestReport:
        return IngestReport(
            project_id=self._query.project_id,
            rows=meter.rows,
            rejected=meter.rejected,
            total=sum(course.total for course in meter.courses.values()),
            requests=self._session.stats.attempts - before,
            seconds=meter.seconds,
            interrupted=interrupted,
            start=self._query.start,
            end=None if plan is None else plan.pinned_end,
            devices=tuple(course.as_outcome() for course in meter.courses.values()),
        )


async def _tick(snapshot: Callable[[], Progress], progress: Report | None) -> None:
    while True:
        if progress is not None:
            progress(snapshot())
        await asyncio.sleep(_TICK)


def _checked(devices: Sequence[str]) -> list[str]:
    if isinstance(devices, str):
        raise ConfigurationError("devices must be a list of ids, not one text")
    if not devices:
        raise ConfigurationError("devices must name one at least, or be None for all")
    for device_id in devices:
        segment(device_id, name="devices")
    return list(dict.fromkeys(devices))


def _now() -> float:
    return asyncio.get_running_loop().time()
