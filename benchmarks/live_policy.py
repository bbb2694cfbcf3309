"""Which device to poll next, in virtual time: many devices under a quota, without sockets.

Every run has the same result. It uses the fleet of `live_laws`, the real follower, and a
service that is a list of rows with a round trip and a quota a minute. The follower is compared
with a round robin at an even pace, with itself and a doorbell, and with two computed figures.
One poll of every device takes devices / limit, 200 s: without knowledge of the devices the
oldest unseen message cannot be younger. With knowledge of each device's law it can, except for
devices that send at random, which set the lower bound.
"""

from __future__ import annotations

import asyncio
import random
from bisect import bisect_left
from collections.abc import Awaitable, Callable, Sequence
from contextlib import aclosing
from datetime import UTC, datetime
from functools import partial
from itertools import cycle
from math import floor, inf

from attrs import evolve
from msgspec import Raw

from iottly_async import Doorbell, FollowPace, Quota
from iottly_async.follow import Follower
from iottly_async.models._time import naive_from_ms
from iottly_async.models.row import MessageRow
from iottly_async.walk import Fetched, PageRequest, WalkQuery, WalkSettings, batches
from tests.support.virtual_time import VirtualClock, run_virtual

from .live_common import percentile
from .live_laws import Periodic, Random, laws
from .live_observed import Observed
from .table import Figure

_LIMIT = 600
_WINDOW = 60.0
_TRIP = 0.05
_SETTINGS = WalkSettings(page_size=100, settle=0.0)


class Service:
    """A service: rows, a round trip, and a quota a minute."""

    def __init__(self, clock: VirtualClock, devices: int, limit: int) -> None:
        self._clock = clock
        self.limit = limit
        self._left = limit
        self._resets_at = clock.time() + _WINDOW
        self._rows: dict[str, tuple[list[int], list[MessageRow]]] = {
            f"device-{n}": ([], []) for n in range(devices)
        }
        self.requests = 0

    @property
    def device_ids(self) -> list[str]:
        """The ids of all devices."""
        return list(self._rows)

    def append(self, device_id: str, at: float) -> None:
        """Append a message with this time of the wall clock."""
        time = floor(at * 1000)
        times, messages = self._rows[device_id]
        times.append(time)
        messages.append(MessageRow(device_id, naive_from_ms(time), None, Raw(b"null")))

    def _renew(self) -> None:
        now = self._clock.time()
        if now >= self._resets_at:
            self._left = self.limit
            self._resets_at += _WINDOW * (1 + (now - self._resets_at) // _WINDOW)

    def quota(self) -> Quota:
        """The quota as the headers would give it."""
        self._renew()
        return Quota(
            limit=self.limit,
            remaining=self._left,
            resets_at=datetime.fromtimestamp(self._resets_at, UTC),
            waiting=0,
            in_flight=0,
            refusals=0,
            source="server",
        )

    async def fetch(self, request: PageRequest) -> Fetched:
        """Fetch a page once there is quota for it."""
        self._renew()
        while self._left == 0:
            await self._clock.sleep(self._resets_at - self._clock.time())
            self._renew()
        self._left -= 1
        self.requests += 1
        await self._clock.sleep(_TRIP / 2)
        times, messages = self._rows[request.device_id]
        low = 0 if request.start is None else bisect_left(times, request.start)
        high = len(times) if request.end is None else bisect_left(times, request.end)
        page = messages[low:high]
        page = page[-request.size :][::-1] if request.order == "desc" else page[: request.size]
        now = floor(self._clock.time())
        await self._clock.sleep(_TRIP / 2)
        return Fetched(messages=page, server_time=now)


class Fleet(Observed):
    """The fleet in virtual time."""

    def __init__(self, service: Service, clock: VirtualClock, bell: Doorbell) -> None:
        super().__init__(service.device_ids)
        self._service = service
        self._clock = clock
        self._bell = bell

    def now(self) -> float:
        return self._clock.time()

    async def pause(self, seconds: float) -> None:
        await self._clock.sleep(seconds)

    def sent_before(self, device_id: str, ago: Sequence[float]) -> None:
        now = self._clock.time()
        for seconds in ago:
            self._service.append(device_id, now - seconds)

    def send(self, device_id: str) -> None:
        self._service.append(device_id, self._clock.time())
        self._bell.ring(device_id)


Contender = Callable[[Service, Fleet, VirtualClock, Doorbell], Awaitable[None]]


def _query(device_id: str, start: int | None = None) -> WalkQuery:
    return WalkQuery(project_id="p", device_id=device_id, type="all", start=start, end=None)


async def _round_robin(
    service: Service, observed: Fleet, clock: VirtualClock, _bell: Doorbell
) -> None:
    """Poll every device in turn, evenly."""
    start = floor(clock.time() * 1000)
    queries = {each: _query(each, start) for each in service.device_ids}

    async def poll(device_id: str) -> None:
        walk = batches(service.fetch, queries[device_id], settings=_SETTINGS, clock=clock)
        async with aclosing(walk):
            async for batch in walk:
                observed.saw(batch)
                queries[device_id] = evolve(queries[device_id], start=batch.cursor.pinned_end)

    async with asyncio.TaskGroup() as polls:
        for device_id in cycle(service.device_ids):
            polls.create_task(poll(device_id))
            await clock.sleep(_WINDOW / service.limit)


async def _follow(
    service: Service, observed: Fleet, clock: VirtualClock, bell: Doorbell, *, doorbell: bool
) -> None:
    async def devices() -> list[str]:
        return service.device_ids

    async def history(_request: object) -> list[MessageRow]:
        raise AssertionError("no millisecond here holds a hundred")

    follower = Follower(
        list_devices=devices,
        refresh=False,
        query=_query,
        fetch=service.fetch,
        history=history,
        settings=_SETTINGS,
        start=floor(clock.time() * 1000),
        cursors={},
        doorbell=bell if doorbell else None,
        pace=FollowPace(share=1.0),
        concurrency=8,
        empty=False,
        clock=clock,
        quota=service.quota,
        alone=False,
        again_after=inf,
        on_failure=lambda _, failure: print(failure.error),
        hold=lambda work: work(),
    )
    async with aclosing(follower.batches()) as batches_found:
        async for batch in batches_found:
            observed.saw(batch)


async def _measured(
    contender: Contender, devices: int, limit: int, warm: float, seconds: float
) -> tuple[Fleet, Service]:
    clock, bell = VirtualClock(), Doorbell()
    service = Service(clock, devices, limit)
    observed = Fleet(service, clock, bell)
    observed.fill()
    await observed.watch(contender(service, observed, clock, bell), warm, seconds)
    return observed, service


def chance_alone(devices: int, limit: int) -> float:
    """The lower bound: the mean age of the oldest unseen message if all laws were known.

    A periodic device costs one request a message, and its messages are seen at once. All
    other requests are spread evenly over the devices that send at random.
    """
    chance, all_laws = random.Random(12), laws(devices)
    means = [each.mean for each in all_laws if isinstance(each, Random)]
    by_the_clock = sum(1.0 / each.period for each in all_laws if isinstance(each, Periodic))
    every = len(means) / (limit / _WINDOW - by_the_clock)
    rounds = 400
    total = 0.0
    for _ in range(rounds):
        ages = (chance.random() * every - chance.expovariate(1 / mean) for mean in means)
        total += max(0.0, *ages)
    print(
        f"by arithmetic: {len(means)} devices at random, one poll in {every:.0f} s each", flush=True
    )
    return total / rounds


async def policy(quick: bool) -> list[Figure]:
    """The figures. They are computed in a thread: virtual time needs an event loop of its own."""
    return await asyncio.to_thread(_figures, quick)


def _figures(quick: bool) -> list[Figure]:
    devices, warm, seconds = (400, 600.0, 600.0) if quick else (2000, 900.0, 3600.0)
    limit = _LIMIT * devices // 2000
    print(f"{devices} devices, {limit} requests a minute, {seconds:g} s after {warm:g} s")
    whole = devices / limit * _WINDOW
    left = chance_alone(devices, limit)
    contenders: dict[str, Contender] = {
        "round robin": _round_robin,
        "follow": partial(_follow, doorbell=False),
        "follow, with a doorbell": partial(_follow, doorbell=True),
    }
    figures = [
        Figure("one poll of every device takes", whole, unit="s"),
        Figure("oldest unseen message, lower bound by chance", left, unit="s"),
    ]
    means: dict[str, float] = {}
    for name, contender in contenders.items():
        observed, service = run_virtual(
            partial(_measured, contender, devices, limit, warm, seconds)
        )
        means[name] = sum(observed.oldest) / len(observed.oldest)
        print(
            f"{name:<28} oldest unseen: mean {means[name]:6.1f} s, p99 "
            f"{percentile(observed.oldest, 0.99):6.1f} s; a message: p50 "
            f"{percentile(observed.ages, 0.5):6.1f} s, mean "
            f"{sum(observed.ages) / len(observed.ages):6.1f} s, p99 "
            f"{percentile(observed.ages, 0.99):6.1f} s; {len(observed.ages)} messages, "
            f"{service.requests / (warm + seconds) * 60:.0f} requests a minute",
            flush=True,
        )
        figures.append(Figure(f"{name}: oldest unseen message, mean", means[name], unit="s"))
    figures.append(
        Figure("oldest unseen: follow / round robin", means["follow"] / means["round robin"], 0.5)
    )
    figures.append(Figure("oldest unseen: follow / lower bound by chance", means["follow"] / left))
    return figures
