"""Planning: lists the devices, pins the end, and divides the work into partitions."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from itertools import zip_longest
from math import floor

from attrs import evolve, frozen

from ...codec import MESSAGE_TYPES, choice
from ...config import Config, whole
from ...errors import ConfigurationError
from ...resources.arguments import time_range
from ...resources.messages import TypeFilter
from ...session import IottlySession
from ...wire import segment
from ..plan import Query
from ..run_plan import server_now
from .partition import Partition, PartitionInterval, PartitionSource, named


@frozen
class _ListedSource:
    """A source with its devices, and the time on its server's clock."""

    source: PartitionSource
    base_url: str
    devices: list[str]
    server_now: float


async def plan(
    sources: Sequence[PartitionSource],
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

    Args:
        sources: projects and their keys.
        start: aware, inclusive. None is the oldest message.
        end: aware, exclusive. None, or a time in the future, is the servers' present time
            less `Config.settle` (D11).
        type: "all", "userdefined" or "iottlyagent". Default "all".
        window: divides each device's range at multiples of this, counted from the epoch. It
            needs a `start`. None leaves the range whole. The time that a device takes for
            about a thousand messages is a good value: shorter windows cost requests, longer
            ones leave workers waiting for the last window.
        windows_per_partition: the number of windows in a partition, at most. Default 50.
        concurrency: requests at once in a partition, at most; 1 to 1,000. Default 8.
        redis_env: the name of the environment variable that holds the URL of the Redis
            through which the machines share each key's quota. None if they share it through
            the server's headers alone.
        config: for the planning itself. Only its `base_url` becomes part of the partitions.
            None is `Config.from_env()`.

    Returns:
        The partitions, in the order in which they are best run.

    Raises:
        ConfigurationError: an argument is not as above, or an environment variable is not
            set. Nothing was sent.
        IottlyError: the devices of a project could not be listed within `Config.patience`.
    """
    low, high = time_range(start, end)
    kind = choice(type, MESSAGE_TYPES, name="type")
    step = _milliseconds(window, low)
    whole(windows_per_partition, name="windows_per_partition", least=1)
    whole(concurrency, name="concurrency", least=1, most=1000)
    config = Config.from_env() if config is None else config
    if not sources:
        raise ConfigurationError("sources must name one project at least")
    query = Query(project_id="", type=kind, start=low, end=high)
    listed = [await _list(source, query, config) for source in sources]
    pinned = min(floor((one.server_now - config.settle) * 1000) for one in listed)
    pinned = pinned if high is None else min(pinned, high)
    if low is not None and low >= pinned:
        raise ConfigurationError("start must lie before the server's now: there is nothing yet")
    cut = [_cut(one.devices, low, pinned, step, windows_per_partition) for one in listed]
    alternating = (
        (one, windows)
        for batches in zip_longest(*cut)
        for one, windows in zip(listed, batches, strict=True)
        if windows is not None
    )
    return [
        named(
            number,
            project=one.source.project,
            key_env=one.source.key_env,
            redis_env=redis_env,
            base_url=one.base_url,
            type=kind,
            concurrency=concurrency,
            windows=windows,
        )
        for number, (one, windows) in enumerate(alternating)
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
            devices = list(source.devices)
            for device_id in devices:
                segment(device_id, name="devices")
        now = await server_now(project.messages, query, devices)
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


def _cut(
    devices: Sequence[str], start: int | None, end: int, step: int | None, size: int
) -> Iterator[tuple[PartitionInterval, ...]]:
    """Batches of at most `size` windows, in order of the devices, then of time."""
    batch: list[PartitionInterval] = []
    for device_id in devices:
        for low, high in _intervals(start, end, step):
            batch.append(PartitionInterval(device_id, low, high))
            if len(batch) == size:
                yield tuple(batch)
                batch = []
    if batch:
        yield tuple(batch)


def _intervals(start: int | None, end: int, step: int | None) -> Iterator[tuple[int | None, int]]:
    """The range, divided at multiples of `step`."""
    while step is not None and start is not None:
        edge = (start // step + 1) * step
        if edge >= end:
            break
        yield start, edge
        start = edge
    yield start, end
