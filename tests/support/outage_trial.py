"""Work that goes by itself, while the service goes away and comes back.

A trial begins the work, takes the service away once a part of the rows has arrived, lets it come
back, and counts: rows lost and repeated, devices that failed, requests while it was away, and the
seconds until rows arrived again. Benchmarks print the same numbers.

`InProcess` is an emulator in the same event loop. With `in_virtual_time`, an outage of an
hour takes seconds. `OtherProcess` is an emulator that is killed and started again on its port.
"""

import asyncio
from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Coroutine,
    Iterable,
    Iterator,
    Mapping,
)
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime
from tempfile import TemporaryDirectory
from typing import Any, Final, Protocol, TypeVar
from unittest.mock import patch

import attrs

from iottly_async import (
    Config,
    DevicesFailedError,
    FollowPace,
    Hooks,
    IottlyError,
    IottlySession,
    Message,
    RateLimiter,
)
from iottly_async.aio.tasks import cancel_and_wait
from iottly_async.emulator import Emulator
from iottly_async.emulator.outage import OutageKind
from iottly_async.ingest import Group, IngestJob, StoredState

from .emulator_process import control
from .restarted_emulator import EmulatorProcess, running_emulator
from .virtual_time import VirtualClock, run_virtual

__all__ = [
    "WORK",
    "InProcess",
    "OtherProcess",
    "OutageResult",
    "Service",
    "fleet_of",
    "in_process",
    "in_virtual_time",
    "other_process",
    "outage_trial",
]

T = TypeVar("T")

PAGE: Final = 10
_PAGES_A_REQUEST: Final = 5
"""Pages for each of the requests at once: while some are on their way, others wait."""

_UNTIL: Final = datetime(2025, 12, 1, tzinfo=UTC)
"""When the history ends: before the virtual present."""

_LONG_AGO: Final = datetime(2020, 1, 1, tzinfo=UTC)
_SETTLE: Final = 0.3
_NOTICED: Final = 0.2
_PACE: Final = FollowPace(fastest=0.2, slowest=2.0)


class Service(Protocol):
    """An emulator that can go away."""

    @property
    def base_url(self) -> str:
        """Where it listens."""

    @property
    def api_key(self) -> str:
        """A key that it accepts."""

    @property
    def project_id(self) -> str:
        """Its project."""

    @property
    def device_ids(self) -> list[str]:
        """Its devices."""

    @property
    def rows(self) -> int:
        """The rows of its history."""

    def append(self, device_id: str) -> None:
        """Add one message of a device, now."""

    async def away(self, seconds: float) -> None:
        """Go away, and return once it is back."""


class InProcess:
    """An emulator in this event loop.

    Args:
        emulator: an emulator that runs.
        kind: how it is away.
    """

    def __init__(self, emulator: Emulator, kind: OutageKind) -> None:
        self.base_url, self.api_key = emulator.base_url, emulator.api_key
        self.project_id, self.device_ids = emulator.project_id, emulator.device_ids
        self.rows = emulator.settings.messages
        self._emulator = emulator
        self._kind = kind

    def append(self, device_id: str) -> None:
        """Add one message of a device, now."""
        self._emulator.set_connected(device_id, connected=True)  # others send nothing
        self._emulator.append(device_id)

    async def away(self, seconds: float) -> None:
        """Go away, and return once it is back."""
        self._emulator.outage(self._kind, seconds=seconds)
        await asyncio.sleep(seconds)
        self._emulator.end_outage()  # it ends in this moment, if it has not yet


class OtherProcess:
    """An emulator in another process.

    Args:
        process: a process that runs.
        rows: of its history.
    """

    def __init__(self, process: EmulatorProcess, rows: int) -> None:
        self.rows = rows
        self.base_url, self.api_key = process.url, process.api_key
        self.project_id, self.device_ids = process.project_id, process.device_ids
        self._process = process

    def append(self, device_id: str) -> None:
        """Add one message of a device, now."""
        control(self.base_url, "devices", {"device_id": device_id, "connected": True})
        control(self.base_url, "append", {"device_id": device_id, "messages": 1})

    async def away(self, seconds: float) -> None:
        """Be killed, and return once a new process listens on the port."""
        self._process.kill()
        await asyncio.sleep(seconds)
        await asyncio.to_thread(self._process.start)


def fleet_of(work: str, concurrency: int) -> dict[str, int]:
    """The settings of a fleet with five pages for each of the requests at once."""
    return {
        "devices": 1 if work in _OF_ONE_DEVICE else concurrency,
        "messages": concurrency * _PAGES_A_REQUEST * PAGE,
    }


def in_virtual_time(main: Callable[[], Coroutine[Any, Any, T]], *, listens: bool = True) -> T:
    """Run `main()` in virtual time, which `time.time` and `time.monotonic` show too.

    Args:
        main: makes the coroutine to run.
        listens: whether it has sockets, for which time waits.

    Returns:
        Its result.
    """

    async def patched() -> T:
        loop = asyncio.get_running_loop()
        with (
            patch("time.time", VirtualClock(loop=loop).time),
            patch("time.monotonic", loop.time),
        ):
            return await main()

    return run_virtual(patched, listens=listens)


@asynccontextmanager
async def in_process(kind: OutageKind = "refuse", **settings: Any) -> AsyncIterator[InProcess]:
    """Serve a fleet in this event loop, with its clock; `kind` is how it will be away."""
    async with Emulator(until=_UNTIL, **settings) as emulator:
        emulator.clock._real = VirtualClock().time
        yield InProcess(emulator, kind)


@contextmanager
def other_process(**settings: Any) -> Iterator[OtherProcess]:
    """Serve a fleet in another process, in real time; a kill loses no message of it."""
    options = [f"--{name.replace('_', '-')}={value}" for name, value in settings.items()]
    with (
        TemporaryDirectory() as folder,
        running_emulator(f"--database={folder}/fleet.db", *options) as process,
    ):
        yield OtherProcess(process, settings["messages"])


class Received:
    """What the work has received.

    Attributes:
        keys: of the rows.
        repeated: rows that had arrived before.
        times: when rows arrived, in seconds of the loop.
        expected: how many rows there are; None while more are to be added.
    """

    def __init__(self) -> None:
        self.keys: set[str] = set()
        self.repeated = 0
        self.times: list[float] = []
        self.expected: int | None = None
        self._changed = asyncio.Event()

    def add(self, messages: Iterable[Message]) -> None:
        """Note rows that arrived."""
        found = [message.key for message in messages]
        if found:
            self.repeated += len(found) - len(set(found) - self.keys)
            self.keys.update(found)
            self.times.append(asyncio.get_running_loop().time())
        self._changed.set()

    @property
    def complete(self) -> bool:
        """Whether all rows have arrived."""
        return self.expected is not None and len(self.keys) >= self.expected

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait for a condition that can change when rows arrive."""
        while not condition():
            self._changed.clear()
            await self._changed.wait()


class _ListStore:
    """A store in memory, which tells of its rows."""

    def __init__(self, received: Received) -> None:
        self._received = received

    async def open(self) -> StoredState:
        """Begin with nothing."""
        return StoredState(plan=None, cursors={})

    async def begin(self, plan: str) -> None:
        """Forget the plan."""

    async def write(self, group: Group) -> Mapping[str, int]:
        """Tell of the rows."""
        self._received.add(group.messages)
        return {}

    async def flush(self) -> None:
        """Do nothing."""

    async def close(self) -> None:
        """Do nothing."""


@attrs.frozen
class _Work:
    """Work under way: over which service, with how many requests at once."""

    session: IottlySession
    service: Service
    concurrency: int
    received: Received

    @property
    def messages(self) -> Any:
        """The project's messages."""
        return self.session.project(self.service.project_id).messages

    async def walk(self) -> int:
        """Walk the first device."""
        first = self.service.device_ids[0]
        async for batch in self.messages.batches(first, concurrency=self.concurrency):
            self.received.add(batch.messages)
        return 0

    async def walk_unordered(self) -> int:
        """Walk the first device, in any order."""
        first = self.service.device_ids[0]
        async for batch in self.messages.batches(
            first, concurrency=self.concurrency, ordered=False
        ):
            self.received.add(batch.messages)
        return 0

    async def many(self) -> int:
        """Walk all devices."""
        async for batch in self.messages.batches_many(
            self.service.device_ids, concurrency=self.concurrency
        ):
            self.received.add(batch.messages)
        return 0

    async def follow(self) -> int:
        """Follow all devices, until all rows have arrived."""
        batches = self.messages.follow_many(
            self.service.device_ids,
            start=_LONG_AGO,
            settle=_SETTLE,
            pace=_PACE,
            concurrency=self.concurrency,
        )
        try:
            async for batch in batches:
                self.received.add(batch.messages)
                if self.received.complete:
                    break
        finally:
            await batches.aclose()
        return 0

    async def job(self) -> int:
        """Ingest all devices."""
        return await self._run(follow=False)

    async def following_job(self) -> int:
        """Ingest all devices, and then what is new, until all rows have arrived."""
        return await self._run(follow=True)

    async def _run(self, *, follow: bool) -> int:
        job = IngestJob(
            self.session,
            project=self.service.project_id,
            store=_ListStore(self.received),
            concurrency=self.concurrency,
            flush_every=0.1,
            follow=follow,
            pace=_PACE if follow else None,
        )
        running = asyncio.create_task(job.run())
        try:
            if follow:
                waiting = asyncio.create_task(self.received.until(lambda: self.received.complete))
                await asyncio.wait({running, waiting}, return_when=asyncio.FIRST_COMPLETED)
                waiting.cancel()
                job.stop()
            report = await running
        finally:
            running.cancel()
        return sum(device.error is not None for device in report.devices)


Worker = Callable[[_Work], Awaitable[int]]

WORK: Final[Mapping[str, Worker]] = {
    "walk": _Work.walk,
    "walk, unordered": _Work.walk_unordered,
    "many": _Work.many,
    "job": _Work.job,
    "follow": _Work.follow,
    "job that follows": _Work.following_job,
}
"""Kinds of work; each returns how many devices failed."""

_OF_ONE_DEVICE: Final = frozenset({"walk", "walk, unordered"})
_WITHOUT_END: Final = frozenset({"follow", "job that follows"})


@attrs.frozen(kw_only=True)
class OutageResult:
    """What became of the work.

    Attributes:
        failed: devices that failed.
        lost: rows that did not arrive.
        repeated: rows that arrived again.
        requests: sent while the service was away.
        later_requests: those sent more than 0.2 s after it went away. In the first moment, answers
            are read that had arrived before, and each lets a worker send its next request.
        flowing_after: seconds from the service's return to the next row; None if none came.
    """

    failed: int
    lost: int
    repeated: int
    requests: int
    later_requests: int
    flowing_after: float | None


async def outage_trial(
    work: str,
    service: Service,
    *,
    concurrency: int,
    seconds: float,
    limit: float,
    config: Config | None = None,
) -> OutageResult:
    """Do some work, and take the service away meanwhile.

    Args:
        work: a name of `WORK`.
        service: that goes away; its fleet is that of `fleet_of`.
        concurrency: requests at once.
        seconds: how long it is away.
        limit: seconds after which the work is given up, and what is missing is lost.
        config: of the session, beside where the service is; None is the default.

    Returns:
        The counts.
    """
    loop = asyncio.get_running_loop()
    received, sent = Received(), list[float]()
    hooks = Hooks(request=lambda _: sent.append(loop.time()))
    rows = service.rows
    settings = attrs.asdict(config or Config(), recurse=False) | {
        "base_url": service.base_url,
        "page_size": PAGE,
        "settle": _SETTLE,
    }
    failed = 0
    async with IottlySession(
        service.api_key, config=Config(**settings), limiter=RateLimiter(), hooks=hooks
    ) as session:
        began = ended = 0.0

        async def take_away() -> None:
            nonlocal began, ended, rows
            await received.until(lambda: len(received.keys) >= rows // 3)
            if work in _WITHOUT_END:
                rows += _append(service)
            began = loop.time()
            await service.away(seconds)
            ended = loop.time()
            if work in _WITHOUT_END:
                rows += _append(service)
            received.expected = rows

        working = asyncio.ensure_future(WORK[work](_Work(session, service, concurrency, received)))
        taking = asyncio.ensure_future(take_away())
        try:
            async with asyncio.timeout(limit):
                await asyncio.wait({working, taking}, return_when=asyncio.FIRST_EXCEPTION)
            if working.done():
                failed = await working
            else:
                await taking
        except DevicesFailedError as error:
            failed = len(error.failures)
        except IottlyError:
            failed = 1
        except TimeoutError:
            pass
        finally:
            await cancel_and_wait([working, taking])
        assert began, "the work was done before the service went away"
    return OutageResult(
        failed=failed,
        lost=rows - len(received.keys),
        repeated=received.repeated,
        requests=sum(began < at < ended for at in sent),
        later_requests=sum(began + _NOTICED < at < ended for at in sent),
        flowing_after=next((at - ended for at in received.times if at > ended), None),
    )


def _append(service: Service) -> int:
    for device_id in service.device_ids:
        service.append(device_id)
    return len(service.device_ids)
