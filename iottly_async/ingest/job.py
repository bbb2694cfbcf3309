"""A job: fetches the messages of a project's devices over a range, and stores them."""

from __future__ import annotations

import asyncio
import math
import os
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from typing import Final, TypeVar, cast

from ..aio.tasks import cancel_and_wait
from ..clock import SYSTEM_CLOCK
from ..codec import MESSAGE_TYPES, choice
from ..config import Seconds, flag, seconds, whole
from ..errors import ConfigurationError
from ..follow import FollowPace, checked_pace
from ..models._time import from_epoch_ms
from ..resources.arguments import checked_ids, time_range
from ..resources.messages import TypeFilter
from ..session import IottlySession
from .bottleneck import BottleneckMeter
from .fetch import Fetcher
from .payload_columns import ColumnTypes, checked_columns, merged_columns
from .plan import IngestPlan, Query
from .progress import Meter, Progress
from .report import IngestReport, Outcome
from .run_plan import RunStart, begin_run, plan_after, renewal
from .stores import ListedDevice, Store, StoredState, open_store
from .stores.base import StoreWithColumns, StoreWithDevices
from .waiting import WaitMeter
from .writer import Writer

T = TypeVar("T")

OnProgress = Callable[[Progress], object]

_SAMPLE_EVERY: Final = 0.05  # seconds between two samples for the bottleneck
_PROGRESS_EVERY: Final = 0.25  # seconds between two calls of a progress function


class IngestJob:
    """Fetches the messages of a project's devices and stores each of them exactly once.

    A run that was killed, cancelled or stopped is resumed by running the same job again, in
    any process. It has the same range and goes on at the store's cursors. A run after a
    complete one goes on to the server's present time, or to `end`. It fetches the messages
    that are new, and those that are missing of devices that failed. The stored
    messages show what is new, and not a clock (D11).

    Args:
        session: an open session. The job does not close it.
        project: the project's id.
        store: a path or text as `open_store` takes it, or an object with the methods of
            `Store`.
        devices: the ids of the devices to fetch. None is all devices that the project has
            when the run begins. They may differ from an earlier run into the same store.
        start: aware, inclusive. None is the oldest message.
        end: aware, exclusive. None, or a time in the future, ends each run at the server's
            present time less `Config.settle` (D11). It may be later than in an earlier run
            into the same store, but not earlier than what is stored.
        type: "all", "userdefined" or "iottlyagent". Default "all".
        concurrency: requests at once, at most; 1 to 1,000. The quota may allow fewer.
            Default 8.
        flush_every: seconds after which a message that was fetched is durable, at the
            latest, in every store. It is durable earlier if a tenth of the quota's requests in
            a window were made. A kill makes the next run fetch that much again. Default 1.
        columns: typed columns of a view ``wide`` of the messages, or of the files of a Parquet
            store: the path of each in the payload, by its name, such as
            ``{"temperature": "sensor_data_reading.temperature"}`` or
            ``{"volts": "phases[0].volts"}``. The first value decides on a column's type: number,
            boolean, text, or JSON. A value of another type is null there, and counted in
            `IngestReport.clashes`. Columns of earlier runs into the store stay. For DuckDB,
            PostgreSQL and Parquet, whose files are written again if its columns change. None
            (the default) adds none.
        patience: seconds for which failures of the service that pass are waited out: no
            connection, an attempt's timeout, 5xx, a proxy's page (D18). `math.inf` is without
            end. None (the default) is `Config.patience`; a job that follows waits without end.
        follow: whether the job goes on with new messages after the range, until `stop`.
            Devices that are added to the project join in if `devices` is None. It excludes
            `end`. Default False.
        pace: how often followed devices are polled. None (the default) is `FollowPace()`.

    Raises:
        ConfigurationError: an argument is not as above. Nothing was sent or opened.

    Example:
        ```python
        async with IottlySession() as session:
            job = IngestJob(session, project="59c1…", store="telemetry.duckdb")
            report = await job.run(progress=print)
        print(report.rows, "messages stored")
        ```
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
        flush_every: Seconds = 1.0,
        columns: Mapping[str, str] | None = None,
        patience: Seconds | None = None,
        follow: bool = False,
        pace: FollowPace | None = None,
    ) -> None:
        if not isinstance(session, IottlySession):
            raise ConfigurationError("session must be an IottlySession, and is something else")
        self._session = session
        self._project = session.project(project)
        low, high = time_range(start, end)
        if follow and high is not None:
            raise ConfigurationError("a job that follows has no end: leave out end, or follow")
        kind = choice(type, MESSAGE_TYPES, name="type")
        self._query = Query(project_id=project, type=kind, start=low, end=high)
        self._devices = None if devices is None else _checked(devices)
        self._concurrency = whole(concurrency, name="concurrency", least=1, most=1000)
        self._store = open_store(store, retry=session.config.retry)
        self._columns = checked_columns(columns)
        if self._columns and not isinstance(self._store, StoreWithColumns):
            raise ConfigurationError(
                f"columns: {self._store!r} makes no typed columns; take a DuckDB, PostgreSQL or "
                "Parquet store, or read the paths from the payload"
            )
        self._flush_every = seconds(flush_every, name="flush_every")
        self._follow = flag(follow, name="follow")
        if patience is None:
            patience = math.inf if follow else session.config.patience
        self._patience = seconds(patience, name="patience", zero=True, endless=True)
        self._pace = checked_pace(pace)
        self._stopping = asyncio.Event()
        self._started = False

    def stop(self) -> None:
        """End the run soon: send no new request, and store what was fetched.

        `run` then returns its report. The next run goes on where this one stopped. Call this
        in the job's event loop, for example from a signal handler of the loop.
        """
        self._stopping.set()

    async def run(self, progress: OnProgress | None = None) -> IngestReport:
        """Fetch and store until all devices have reached their end, or an error.

        Failures of the service that pass are waited out for `patience`. An error of one
        device that does not pass, such as `ForbiddenError`, ends that device's walk. It is
        logged at once at WARNING by ``iottly_async.ingest`` and is in the report, and the
        next run goes on there. A job that follows looks at the device again after an hour,
        unless the key gives no access to it, and returns only after `stop`. A job runs once;
        to run it again, make another one.

        Args:
            progress: called in the event loop with a `Progress`, four times a second and at
                the end. None calls nothing.

        Returns:
            The report of the run.

        Raises:
            CursorMismatchError: the store is of another query, project or server.
            ConfigurationError: the store cannot be opened, or the job was run before.
            StoreError: another job writes to the store; or the store failed. What it holds is
                right, and a run can go on with it.
            UnauthorizedError: the key is not accepted, or no longer.
            IottlyError: the project's devices could not be listed within `patience`.
        """
        if self._started:
            raise ConfigurationError("a job runs once; make another one to run it again")
        self._started = True
        run = _Run(self._session)
        working = asyncio.ensure_future(self._run(run, progress))
        watching = asyncio.ensure_future(run.watch(progress))
        try:
            # Watching has no end. If it ends first, it has failed.
            await asyncio.wait({working, watching}, return_when=asyncio.FIRST_COMPLETED)
            if not working.done():
                await watching
            return await working
        finally:
            await cancel_and_wait([working, watching])
            await self._store.close()

    async def _run(self, run: _Run, progress: OnProgress | None) -> IngestReport:
        stored = await self._store.open()
        start = await self._unless_stopped(self._plan(stored))
        if start is None:
            return run.report(self._query, None)
        run.meter.begin(
            start.devices,
            start=start.plan.query.start,
            end=start.plan.pinned_end,
            server_ahead=start.server_now - _now(),
            data_end=start.data_end,
        )
        run.types = await self._column_types(stored)
        await self._fetch_and_write(start.plan, run, stored)
        plan = plan_after(start.plan, run.meter)
        await self._store.begin(plan.to_json())
        run.sample()
        if progress is not None:
            progress(run.snapshot())
        return run.report(self._query, plan)

    # --- the plan ------------------------------------------------------------------------

    async def _plan(self, stored: StoredState) -> RunStart:
        listed: dict[str, ListedDevice] = {}
        if self._devices is None:
            devices = await self._project.devices.list(patience=self._patience)
            listed = {device.id: ListedDevice.of(device) for device in devices}
        start = await begin_run(
            self._project.messages,
            self._store,
            stored,
            self._query,
            self._devices or [*listed],
            settle=self._session.config.settle,
            patience=self._patience,
        )
        if isinstance(self._store, StoreWithDevices):
            await self._store.keep_devices([*listed.values()])
        return start

    async def _column_types(self, stored: StoredState) -> ColumnTypes | None:
        """The typed columns of the store, with those that are new; None if there are none."""
        columns = merged_columns(self._columns, stored.columns)
        if not columns or not isinstance(self._store, StoreWithColumns):
            return None
        if columns != stored.columns:
            kept = await self._store.keep_columns([*columns.values()])
            columns = {one.name: one for one in kept}
        return ColumnTypes(columns)

    # --- the range, then what arrives later ----------------------------------------------

    async def _fetch_and_write(self, plan: IngestPlan, run: _Run, stored: StoredState) -> None:
        """Fetch and write until the end or until stopped; then all that was fetched is stored."""
        writer = run.writer = Writer(
            self._store,
            run.meter,
            flush_every=self._flush_every,
            quota=lambda: self._session.quota.limit,
            plan=renewal(plan, run.meter),
            unreadable=stored.unreadable,
            types=run.types,
        )
        fetching = asyncio.ensure_future(self._unless_stopped(self._fetch(plan, run.meter, writer)))
        writing = asyncio.ensure_future(writer.run())
        try:
            # Only fetching ends by itself. If writing ends first, it has failed.
            await asyncio.wait({fetching, writing}, return_when=asyncio.FIRST_COMPLETED)
            if not fetching.done():
                await writing
            writer.finish()
            await writing
            await fetching
        finally:
            await cancel_and_wait([fetching, writing])

    async def _fetch(self, plan: IngestPlan, meter: Meter, writer: Writer) -> None:
        devices = [*meter.devices.values()]
        fetcher = Fetcher(
            messages=self._project.messages,
            type=cast(TypeFilter, plan.query.type),
            start=plan.query.start,
            concurrency=self._concurrency,
            patience=self._patience,
            on_batch=writer.put,
            on_device_end=meter.ended,
            cursors={device.device_id: device.cursor for device in devices if device.cursor},
        )
        await fetcher.fetch_range(
            [one.device_id for one in devices if one.outcome is not Outcome.DONE],
            from_epoch_ms(plan.pinned_end),
        )
        if self._follow:
            meter.following = True
            await fetcher.follow(self._devices, pace=self._pace)

    async def _unless_stopped(self, work: Awaitable[T]) -> T | None:
        """What `work` returns; None if the job was stopped first."""
        working = asyncio.ensure_future(work)
        stopping = asyncio.ensure_future(self._stopping.wait())
        try:
            await asyncio.wait({working, stopping}, return_when=asyncio.FIRST_COMPLETED)
            return await working if working.done() else None
        finally:
            await cancel_and_wait([working, stopping])


class _Run:
    """Measures a run, and says how it goes and how it went.

    Attributes:
        meter: the run's counters.
        writer: None until the run fetches.
        types: of the store's typed columns; None without one.
    """

    def __init__(self, session: IottlySession) -> None:
        now = _now()
        self.meter = Meter(now=_now, begun=now)
        self.writer: Writer | None = None
        self.types: ColumnTypes | None = None
        self._session = session
        self._attempts_before = session.stats.attempts
        self._bottleneck = BottleneckMeter(now, time.thread_time())
        self._waits = WaitMeter(now)

    async def watch(self, progress: OnProgress | None) -> None:
        """Take samples and call `progress`, without an end."""
        last = -_PROGRESS_EVERY
        while True:
            self.sample()
            if progress is not None and _now() - last >= _PROGRESS_EVERY:
                last = _now()
                progress(self.snapshot())
            await asyncio.sleep(_SAMPLE_EVERY)

    def sample(self) -> None:
        """Take a sample of what the run is limited by, and of what it waits for."""
        session, now = self._session, _now()
        quota = session.quota
        self._waits.sample(now, SYSTEM_CLOCK.time(), quota=quota, outage=session.outage)
        self._bottleneck.sample(
            now,
            time.thread_time(),
            waiting=quota.waiting,
            in_flight=quota.in_flight,
            store_busy=self.writer is not None and self.writer.blocks,
        )

    def snapshot(self) -> Progress:
        """How far the run is."""
        return self.meter.snapshot(
            requests=self._requests,
            quota=self._session.quota,
            shares=self._bottleneck.recent(),
            waiting=self._waits.current,
        )

    def report(self, query: Query, plan: IngestPlan | None) -> IngestReport:
        """The report of the run; `plan` is None if the run was stopped before it had one."""
        meter = self.meter
        devices = meter.devices.values()
        return IngestReport(
            project_id=query.project_id,
            rows=meter.rows,
            rejected=meter.rejected,
            total=meter.total,
            requests=self._requests,
            seconds=meter.seconds,
            interrupted=plan is None or meter.count(Outcome.STOPPED) > 0,
            start=query.start,
            end=None if plan is None else plan.pinned_end,
            devices=tuple(device.as_outcome() for device in devices),
            followed=meter.following,
            shares=self._bottleneck.shares(),
            quota_seconds=self._waits.quota,
            outage_seconds=self._waits.service,
            clashes={} if self.types is None else dict(self.types.clashes),
        )

    @property
    def _requests(self) -> int:
        return self._session.stats.attempts - self._attempts_before


def _checked(devices: Sequence[str]) -> list[str]:
    ids = checked_ids(devices, name="devices")
    if not ids:
        raise ConfigurationError("devices must name one at least, or be None for all")
    return ids


def _now() -> float:
    return asyncio.get_running_loop().time()
