"""Planning: lists the devices, pins the end, and divides the work into partitions."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from itertools import zip_longest
from math import floor
from typing import TypeAlias

from attrs import evolve, frozen
from msgspec.structs import replace

from ...codec import MESSAGE_TYPES, choice
from ...config import Config, whole
from ...errors import ConfigurationError
from ...models._time import from_epoch_ms
from ...resources.arguments import checked_ids, time_range
from ...resources.messages import TypeFilter
from ...server_clock import is_ahead
from ...session import IottlySession
from ..plan import Query
from ..run_plan import server_present
from .division import Division, Edges
from .folder_plan import FolderPlan, PlannedSource, read_plan, write_plan, writing
from .layout import folder_of
from .partition import Partition, PartitionSource, check_variable, id_of, windows_of

_Planned: TypeAlias = tuple[PlannedSource, str, str, Edges]

_log = logging.getLogger("iottly_async.ingest")


@frozen
class _ListedSource:
    """A source with its devices, and the time on its server's clock."""

    source: PartitionSource
    base_url: str
    devices: list[str]
    server_now: float


async def plan(
    sources: Sequence[PartitionSource],
    to: str | os.PathLike[str] | None = None,
    *,
    start: datetime | None = None,
    end: datetime | None = None,
    type: TypeFilter = "all",  # noqa: A002 - the API's own name
    window: timedelta | None = None,
    windows_per_partition: int = 50,
    concurrency: int = 8,
    redis_env: str | None = None,
    config: Config | None = None,
) -> list[Partition]:
    """Divide the messages of some projects over a range into partitions.

    Each message belongs to exactly one partition. Planning takes two requests a source. The
    end is pinned once for all partitions, by the servers' clocks. Partitions of different
    keys alternate in the list, so that workers that take them in order use all quotas at the
    same time.

    A folder keeps its plan. For ``telemetry`` it is ``telemetry.ingest/plan.json``. The same call
    again continues it: it returns the same partitions, with the same pinned end, however the first
    program ended. A call with a later `end` adds partitions for what is new since then. Devices
    and sources may be added or left out.

    Args:
        sources: projects and their keys.
        to: the folder that the partitions will be run into; created if it does not exist.
            None, the default, is a plan that no folder has yet. A folder takes the partitions
            of one plan only, so another such plan, with another pinned end, needs another
            folder. It must not be the place where a file system is mounted.
        start: aware, inclusive. None is the oldest message.
        end: aware, exclusive. None, or a time in the future, is the servers' present time
            less `Config.settle` (D11), at the time when this `end` was first planned.
        type: "all", "userdefined" or "iottlyagent". Default "all".
        window: divides each device's range at multiples of this, counted from the epoch. It
            needs a `start`. None leaves the range whole. The time that a device takes for
            about a thousand messages is a good value: shorter windows cost requests, longer
            ones leave workers waiting for the last window.
        windows_per_partition: the number of windows in a partition, at most; all of one
            device. Default 50.
        concurrency: requests at once in a partition, at most; 1 to 1,000. Default 8.
        redis_env: the name of the environment variable that holds the URL of the Redis
            through which the machines share each key's quota. None if they share it through
            the server's headers alone.
        config: for the planning itself. Only its `base_url` becomes part of the partitions.
            None is `Config.from_env()`.

    Returns:
        The partitions, in the order in which they are best run.

    Raises:
        ConfigurationError: an argument is not as above, an environment variable is not set,
            the folder has another plan, or an earlier version has written it.
        StoreError: the plan cannot be written, or another process is planning for the folder.
        IottlyError: the devices of a project could not be listed within `Config.patience`.
    """
    low, high = time_range(start, end)
    kind = choice(type, MESSAGE_TYPES, name="type")
    step = _milliseconds(window, low)
    whole(windows_per_partition, name="windows_per_partition", least=1)
    whole(concurrency, name="concurrency", least=1, most=1000)
    if redis_env is not None:
        check_variable(redis_env, name="redis_env")
    folder = None if to is None else folder_of(to)
    config = Config.from_env() if config is None else config
    if not sources:
        raise ConfigurationError("sources must name one project at least")
    query = Query(project_id="", type=kind, start=low, end=high)
    listed = [await _list(source, query, config) for source in sources]
    _check_once(listed)
    server_now = min(one.server_now for one in listed)
    pinned = floor((server_now - config.settle) * 1000)
    pinned = pinned if high is None else min(pinned, high)
    if low is not None and low >= pinned:
        raise ConfigurationError("start must lie before the server's now: there is nothing yet")
    division = Division(
        type=kind,
        start=low,
        end=high,
        window=step,
        windows_per_partition=windows_per_partition,
        pinned_ends=(pinned,),
    )
    if folder is None:
        planned = _planned(listed, division)
    else:
        division, planned = await asyncio.to_thread(
            _planned_in, folder, listed, division, server_now
        )
        # The plan was pinned by another server's clock, or with another `settle`.
        await asyncio.sleep(division.pinned_ends[-1] / 1000 + config.settle - server_now)
    return [
        Partition(
            id=name,
            project=source.project,
            key_env=source.key_env,
            redis_env=redis_env,
            base_url=source.base_url,
            type=kind,
            concurrency=concurrency,
            windows=windows_of(device_id, edges),
            division=division,
        )
        for source, name, device_id, edges in planned
    ]


def from_environment(name: str) -> str:
    """The value of an environment variable.

    Raises:
        ConfigurationError: the variable is not set; the text names it.
    """
    value = os.environ.get(name, "")
    if not value:
        raise ConfigurationError(f"the environment variable {name} is not set on this machine")
    return value


async def _list(source: PartitionSource, query: Query, config: Config) -> _ListedSource:
    if source.base_url is not None:
        config = evolve(config, base_url=source.base_url)
    async with IottlySession(from_environment(source.key_env), config=config) as session:
        project = session.project(source.project)
        if source.devices is None:
            found = await project.devices.list(patience=config.patience)
            devices = [device.id for device in found]
        else:
            devices = checked_ids(source.devices, name="devices")
        now = (await server_present(project.messages, query, devices)).now
    return _ListedSource(source, config.base_url, sorted(set(devices)), now)


def _milliseconds(window: timedelta | None, start: int | None) -> int | None:
    if window is None:
        return None
    step = window // timedelta(milliseconds=1)
    if step < 1:
        raise ConfigurationError(f"window must be a millisecond or more, not {window}")
    if start is None:
        raise ConfigurationError("window cuts a range that has a start: name one")
    return step


def _check_once(listed: Sequence[_ListedSource]) -> None:
    seen: set[tuple[str, str]] = set()
    for one in listed:
        for device_id in one.devices:
            device = (one.source.project, device_id)
            if device in seen:
                raise ConfigurationError(
                    f"device {device_id} of project {one.source.project} is in two sources, and "
                    "would be fetched twice: divide the devices, or name the project once"
                )
            seen.add(device)


def _planned(listed: Sequence[_ListedSource], division: Division) -> list[_Planned]:
    """The partitions of all sources, in turn."""
    batches = list(division.batches())

    def of(one: _ListedSource) -> Iterator[_Planned]:
        source = one.source
        written = PlannedSource(source.project, one.base_url, source.key_env)
        for device_id in one.devices:
            for edges in batches:
                name = id_of(source.project, division.type, device_id, edges)
                yield written, name, device_id, edges

    alternating = zip_longest(*map(of, listed))
    return [each for together in alternating for each in together if each is not None]


def _planned_in(
    folder: str, listed: Sequence[_ListedSource], asked: Division, server_now: float
) -> tuple[Division, list[_Planned]]:
    """The partitions of the plan that the folder has, or gets."""
    with writing(folder):
        while True:
            old = read_plan(folder)
            division = asked if old is None else old.division.continued(asked, folder=folder)
            end = division.pinned_ends[-1]
            if is_ahead(end / 1000, server_now):
                raise ConfigurationError(
                    f"the plan of folder {folder!r} goes up to {from_epoch_ms(end)}, which is in "
                    "the future of the server: it was made for another server, or its clock was "
                    "wrong then; name another folder"
                )
            planned = _planned(listed, division)
            before = FolderPlan(division) if old is None else replace(old, division=division)
            if write_plan(folder, before.with_partitions(planned), old=old):
                if old is not None:
                    _log.info(
                        "the plan of folder %r is continued up to %s; a later end would add "
                        "what is new since then", folder, from_epoch_ms(end),
                    )  # fmt: skip
                return division, planned
