"""Cancellation at every wait of every public coroutine.

The list of coroutines is read from the package: one that is added without a sweep fails
here. The sweeps of walks are in `test_walk_cancellation`.
"""

from __future__ import annotations

import asyncio
import importlib
import inspect
import pkgutil
import tempfile
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from attrs import frozen

import iottly_async
from iottly_async import Config, Doorbell, IottlySession, RateLimiter, resources
from iottly_async.emulator import EmulatorThread
from iottly_async.ingest import IngestJob, coverage, partitions
from iottly_async.ingest.partitions import Partition, PartitionSource
from iottly_async.walk import HistoryRequest, PageRequest
from iottly_async.wire import Request, Route
from tests.support.canary import CANARY
from tests.support.leaks import tasks, until
from tests.support.stepping import MOMENTS, Moment, Stepped

from . import test_walk_cancellation as walks
from .test_walk_cancellation import sample

KEY_ENV = "IOTTLY_SWEPT_KEY"


@frozen
class World:
    """What a sweep works with.

    Attributes:
        folder: holds a filled store, ``held.jsonl``.
        partition: of a plan of the emulator's project.
        token: of a licence.
        command: the id of a command that has ended.
    """

    fleet: EmulatorThread
    session: IottlySession
    folder: Path
    partition: Partition
    token: str
    command: str

    @property
    def project(self) -> Any:
        """The emulator's project."""
        return self.session.project(self.fleet.project_id)

    def another(self) -> IottlySession:
        """Make a session for a sweep that ends it."""
        config = Config(base_url=self.fleet.base_url)
        return IottlySession(self.fleet.api_key, config=config, limiter=RateLimiter())

    def fresh(self, name: str) -> Path:
        """Make a path in an empty folder."""
        return Path(tempfile.mkdtemp(dir=self.folder)) / name


Sweep = Callable[[World], Coroutine[Any, Any, Any]]


async def opened_and_closed(world: World) -> None:
    """Use a session from its first call to its end, with a call of another task under way."""
    async with world.another() as session:
        call = asyncio.ensure_future(session.ping())
        call.add_done_callback(lambda ended: ended.cancelled() or ended.exception())
        await session.ping()
        await session.aclose()


async def called(world: World) -> None:
    """Make the call that all resources are built on."""
    await world.session.call(Request(Route("x", "GET", "v1.0"), "/v1.0/project/ping", bool))


async def fetched(world: World) -> None:
    """Fetch a page as a walk does."""
    page = PageRequest(
        device_id=world.fleet.device_ids[0],
        start=None,
        end=None,
        type="all",
        order="asc",
        size=9,
        number=None,
    )
    await world.project.messages.fetch(page)


async def proven(world: World) -> None:
    """Fetch messages of one millisecond as the proof of a walk does."""
    device_id = world.fleet.device_ids[0]
    tie = HistoryRequest(
        device_id=device_id, type="all", at=0, after_id=None, before_id=None, size=9
    )
    await world.project.messages.history(tie)


async def streamed(world: World) -> None:
    """Open a stream, read a message, send a command, and close it."""
    async with world.session.stream() as stream:
        await stream.until_connected()
        result = await stream.run(world.fleet.fleet_ids[0], "uptime")
        assert result.status.finished
        world.fleet.append(world.fleet.device_ids[0])
        async for _ in stream.messages():
            break


async def rung(_world: World) -> None:
    """Ring a doorbell while it is listened to."""
    bell = Doorbell()
    asyncio.get_running_loop().call_later(0.001, bell.ring, "d1")
    async for _ in bell:
        break


async def queued(_world: World) -> None:
    """Wait for a permit that another task has to give back first."""
    limiter = RateLimiter()
    first = await limiter.acquire()
    asyncio.get_running_loop().call_later(0.001, limiter.answered, first, 200, {})
    limiter.unused(await limiter.acquire())


async def ingested(world: World) -> None:
    """Run a job into a new store."""
    store = world.fresh("store.jsonl")
    await IngestJob(world.session, project=world.fleet.project_id, store=store).run()


async def planned(world: World) -> None:
    """Plan the partitions of a project's history."""
    config = Config(base_url=world.fleet.base_url)
    await partitions.plan(
        [PartitionSource(project=world.fleet.project_id, key_env=KEY_ENV)],
        start=datetime(2026, 1, 1, tzinfo=UTC),
        config=config,
    )


async def run_in_parts(world: World) -> None:
    """Run one partition into a new folder."""
    await partitions.run_partition(
        world.partition, world.fresh("parts"), config=Config(base_url=world.fleet.base_url)
    )


async def surveyed(world: World) -> None:
    """Read the coverage of a store."""
    await coverage.survey(world.folder / "held.jsonl")


SWEEPS: dict[str, Sweep] = {
    "IottlySession.__aenter__": opened_and_closed,
    "IottlySession.__aexit__": opened_and_closed,
    "IottlySession.aclose": opened_and_closed,
    "IottlySession.call": called,
    "IottlySession.ping": lambda world: world.session.ping(),
    "Project.inspect": lambda world: world.project.inspect(),
    "Context.call": lambda world: world.project.inspect(),
    "Licenses.list": lambda world: world.project.licenses.list(),
    "Licenses.get": lambda world: world.project.licenses.get(world.token),
    "Devices.list": lambda world: world.project.devices.list(),
    "Devices.get": lambda world: world.project.devices.get(world.fleet.device_ids[0]),
    "Devices.rename": lambda world: world.project.devices.rename(world.fleet.device_ids[0], "x"),
    "Commands.send": lambda world: world.project.commands.send(world.fleet.device_ids[0], "echo"),
    "Messages.recent": lambda world: world.project.messages.recent(world.fleet.device_ids[0]),
    "Messages.page": lambda world: world.project.messages.page(world.fleet.device_ids[0]),
    "Messages.to_arrow": lambda world: world.project.messages.to_arrow(world.fleet.device_ids[0]),
    "Messages.fetch": fetched,
    "Messages.history": proven,
    "FleetDevices.page": lambda world: world.session.devices.page(),
    "FleetDevices.get": lambda world: world.session.devices.get(world.fleet.fleet_ids[0]),
    "FleetCommands.send": lambda world: world.session.commands.send(world.fleet.fleet_ids[0], "a"),
    "FleetCommands.get": lambda world: world.session.commands.get(world.command),
    "FleetCommands.wait": lambda world: world.session.commands.wait(world.command),
    "FleetCommands.run": lambda world: world.session.commands.run(world.fleet.fleet_ids[0], "a"),
    "Stream.__aenter__": streamed,
    "Stream.__aexit__": streamed,
    "Stream.aclose": streamed,
    "Stream.messages": streamed,
    "Stream.run": streamed,
    "Stream.until_connected": streamed,
    "Doorbell.__aiter__": rung,
    "RateLimiter.acquire": queued,
    "IngestJob.run": ingested,
    "plan": planned,
    "run_partition": run_in_parts,
    "survey": surveyed,
}

GENERATORS: dict[str, walks.Walk] = {
    "FleetDevices.list": walks.devices,
    "Messages.walk": walks.walk_one,
    "Messages.batches": walks.walk_down,
    "Messages.walk_many": walks.walk_all,
    "Messages.batches_many": walks.batches_of_all,
    "Messages.arrow": walks.columns,
    "Messages.arrow_many": walks.columns_of_all,
    "Messages.follow": walks.followed,
    "Messages.follow_many": walks.all_followed,
    "Stream.__aiter__": walks.streamed,
}


# --- what there is ---------------------------------------------------------------------------


def modules_of(package: ModuleType) -> Iterator[ModuleType]:
    """The modules of a package."""
    for found in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
        yield importlib.import_module(found.name)


def public_objects() -> list[Any]:
    """The classes and functions by which a user can reach a coroutine."""
    faces = (iottly_async, iottly_async.ingest, partitions, coverage)
    found = [getattr(face, name) for face in faces for name in face.__all__]
    for module in modules_of(resources):
        found += [
            each
            for name, each in vars(module).items()
            if inspect.isclass(each) and each.__module__ == module.__name__ and name[0] != "_"
        ]
    classes = [each for each in found if inspect.isclass(each)]
    bases = {base for each in classes for base in each.__mro__[1:]}
    return [each for each in found if each not in bases and each is not resources.pages.Pages]


def is_awaited(function: object) -> bool:
    """Say whether a function's result is awaited or iterated over asynchronously."""
    if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
        return True
    reported = str(getattr(function, "__annotations__", {}).get("return", ""))
    return reported.startswith(("AsyncGenerator", "AsyncIterator", "Coroutine", "Awaitable"))


def public_coroutines(objects: Iterable[Any]) -> set[str]:
    """The names of public coroutines, methods with their class; protocols are left out."""
    names: set[str] = set()
    for each in objects:
        if not inspect.isclass(each):
            names |= {each.__name__} if is_awaited(each) else set()
        elif not getattr(each, "_is_protocol", False):
            names |= {
                f"{each.__name__}.{name}"
                for name, function in inspect.getmembers(each, inspect.isfunction)
                if is_awaited(function) and (name[0] != "_" or name.startswith("__a"))
            }
    return names


def test_every_public_coroutine_has_its_sweep() -> None:
    """Every public coroutine has a sweep, and every sweep a coroutine."""
    assert public_coroutines(public_objects()) == SWEEPS.keys() | GENERATORS.keys()
    assert set(GENERATORS.values()) <= set(walks.WALKS)


def test_the_search_finds_what_it_searches_for() -> None:
    """The search finds a coroutine, a generator and a function that returns one, and no other."""

    class Some:
        async def waits(self) -> None: ...
        async def yields(self) -> AsyncIterator[int]:
            yield 1

        def returns(self) -> AsyncIterator[int]:
            return self.yields()

        def does(self) -> int:
            return 1

        async def _hidden(self) -> None: ...

    assert public_coroutines([Some]) == {"Some.waits", "Some.yields", "Some.returns"}


# --- the sweeps ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def fleet() -> Iterator[EmulatorThread]:
    """An emulator in another thread, so that this loop has no task of it."""
    with EmulatorThread(
        devices=2, messages=150, api_keys=(CANARY,), pending_for=0.0, running_for=0.05
    ) as emulator:
        yield emulator


@pytest.fixture(scope="module")
def prepared(
    fleet: EmulatorThread, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[IottlySession], World]]:
    """What all sweeps work with, without the session."""
    folder = tmp_path_factory.mktemp("sweep")
    config = Config(base_url=fleet.base_url)

    async def prepare() -> tuple[Partition, str, str]:
        source = PartitionSource(project=fleet.project_id, key_env=KEY_ENV)
        (part, *_) = await partitions.plan([source], config=config)
        async with IottlySession(CANARY, config=config, limiter=RateLimiter()) as session:
            store = folder / "held.jsonl"
            await IngestJob(session, project=fleet.project_id, store=store).run()
            licenses = await session.project(fleet.project_id).licenses.list()
            result = await session.commands.run(fleet.fleet_ids[0], "uptime")
        return part, licenses[0].token, result.id

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(KEY_ENV, CANARY)
        part, token, command = asyncio.run(prepare())
        yield lambda session: World(fleet, session, folder, part, token, command)


@pytest.fixture
async def world(prepared: Callable[[IottlySession], World], fleet: EmulatorThread) -> Any:
    """What all sweeps work with, and a session with few connections."""
    config = Config(base_url=fleet.base_url, max_connections=3)
    async with IottlySession(CANARY, config=config, limiter=RateLimiter()) as session:
        yield prepared(session)


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("name", {sweep: name for name, sweep in SWEEPS.items()}.values())
async def test_it_is_cancelled_at_any_wait(name: str, moment: Moment, world: World) -> None:
    """After a cancellation at any wait, no task and no permit is left, and the session works."""
    before, session = tasks(), world.session
    for cut in sample(moment):
        ended = await Stepped(SWEEPS[name](world), cut).ended_by_itself()
        await until(lambda: tasks() <= before, "the end of all tasks")
        quota = session.quota
        assert (quota.in_flight, quota.waiting) == (0, 0)
        async with asyncio.timeout(10):
            await asyncio.gather(*(session.ping() for _ in range(4)))
        if ended:
            return
