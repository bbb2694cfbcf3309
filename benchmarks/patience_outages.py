"""Outages: devices that failed, rows lost or repeated, requests meanwhile, and when rows flow.

The service is the emulator, over real sockets. It goes away in virtual time, and as a process
that is killed and started again in real time.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from statistics import fmean
from typing import Final

import aiohttp

from iottly_async import Config, IottlyError, IottlySession, RateLimiter
from iottly_async.emulator.outage import OutageKind
from tests.support.outage_trial import (
    PAGE,
    WORK,
    InProcess,
    OutageResult,
    fleet_of,
    in_process,
    in_virtual_time,
    other_process,
    outage_trial,
)

from .patience_peers import AdaptiveClient, ExpoClient, GaveUpError, Peer, sender
from .table import Figure

CONCURRENCIES: Final = (8, 32, 100)
LENGTHS: Final = (1.0, 10.0, 60.0)
KINDS: Final[Sequence[OutageKind]] = ("refuse", "reset", "html", "hang")
_LATENCY: Final = 0.05
_LIMIT: Final = 3600.0
_CALLS: Final = 30


def outages() -> Iterator[Figure]:
    """Each kind of work through outages of each length, in virtual time."""
    found: dict[float, list[OutageResult]] = {seconds: [] for seconds in LENGTHS}
    for work in WORK:
        results = []
        for concurrency in CONCURRENCIES:
            for seconds in LENGTHS:
                result = _trial(work, "refuse", concurrency, seconds)
                found[seconds].append(result)
                results.append(result)
        name = f"{work}, outages of 1 to 60 s, 8 to 100"
        yield from _nothing_lost(name, results)
    for kind in KINDS[1:]:
        results = [_trial("many", kind, concurrency, 60.0) for concurrency in CONCURRENCIES]
        found[60.0] += results
        yield from _nothing_lost(f"many, outage of 60 s ({kind}), 8 to 100", results)
    flowing = {seconds: _flowing(results) for seconds, results in found.items()}
    most = max(max(seconds) for seconds in flowing.values())
    yield Figure("an outage ended: most seconds until rows flow", most, 16, unit="s")
    mean = fmean(flowing[10.0])
    yield Figure("an outage of 10 s ended: mean seconds until rows flow", mean, 4, unit="s")
    requests = max(result.requests for result in found[60.0])
    yield Figure("requests in an outage of 60 s, at most", requests, 20, unit="", digits=0)


def _trial(work: str, kind: OutageKind, concurrency: int, seconds: float) -> OutageResult:
    async def main() -> OutageResult:
        async with in_process(kind, latency=_LATENCY, **fleet_of(work, concurrency)) as service:
            return await outage_trial(
                work, service, concurrency=concurrency, seconds=seconds, limit=_LIMIT
            )

    with _quiet():
        result = in_virtual_time(main)
    _print(f"{work}, {kind}, {concurrency} at once, {seconds:g} s", result)
    return result


def restarts() -> Iterator[Figure]:
    """Each kind of work while the emulator's process is killed and started again, in real time."""
    for work in WORK:
        results = [_restart(work, concurrency) for concurrency in CONCURRENCIES]
        name = f"{work}, killed for 1 s, 8 to 100"
        yield from _nothing_lost(name, results)
        requests = max(result.later_requests for result in results)
        yield Figure(f"{name}: requests after 0.2 s", requests, 20, unit="", digits=0)


def _restart(work: str, concurrency: int) -> OutageResult:
    fleet = fleet_of(work, concurrency)
    with _quiet(), other_process(latency=_LATENCY, **fleet) as service:
        result = asyncio.run(
            outage_trial(work, service, concurrency=concurrency, seconds=1.0, limit=120.0)
        )
    _print(f"{work}, killed, {concurrency} at once", result)
    return result


def peers() -> Iterator[Figure]:
    """Walks of 32 devices at once through the same outages, by two other clients."""
    for name in ("backoff.expo", "botocore adaptive"):
        for seconds in LENGTHS[1:]:
            result = _peer_trial(name, seconds)
            text = f"outage of {seconds:g} s, {name}, 32 devices"
            yield Figure(f"{text}: devices failed", result.failed, unit="", digits=0)
            yield Figure(f"{text}: requests meanwhile", result.requests, unit="", digits=0)
            if result.flowing_after is not None:
                flowing = result.flowing_after
                yield Figure(f"{text}: seconds until rows flow", flowing, unit="s")


def _peer_trial(name: str, seconds: float) -> OutageResult:
    async def main() -> OutageResult:
        async with (
            in_process("refuse", latency=_LATENCY, **fleet_of("many", 32)) as service,
            aiohttp.ClientSession(
                headers={"Authentication": f"bearer {service.api_key}"}
            ) as session,
        ):
            send = sender(session)
            peer = ExpoClient(send) if name == "backoff.expo" else AdaptiveClient(send)
            return await _walk_all(peer, service, seconds)

    result = in_virtual_time(main)
    _print(f"{name}, 32 at once, {seconds:g} s", result)
    return result


async def _walk_all(peer: Peer, service: InProcess, seconds: float) -> OutageResult:
    loop = asyncio.get_running_loop()
    times: list[float] = []
    rows = failed = 0
    some = asyncio.Event()

    async def walk(device_id: str) -> None:
        nonlocal rows, failed
        number, full = 1, True
        path = f"{service.base_url}/v1.0/project/{service.project_id}/device/{device_id}"
        while full:
            url = f"{path}/messages/paginated?l={PAGE}&sort=asc&p={number}"
            try:
                found = len((await peer.get(url))["messages"])
            except GaveUpError as error:
                failed += error.args != (404,)  # which is the page after the last one
                return
            rows, number, full = rows + found, number + 1, found == PAGE
            times.append(loop.time())
            if rows >= service.rows // 3:
                some.set()

    async def take_away() -> tuple[float, float]:
        await some.wait()
        began = loop.time()
        await service.away(seconds)
        return began, loop.time()

    away = asyncio.create_task(take_away())
    await asyncio.gather(*(walk(device_id) for device_id in service.device_ids))
    began, ended = await away
    return OutageResult(
        failed=failed,
        lost=service.rows - rows,
        repeated=0,
        requests=sum(began < at < ended for at in peer.sent),
        later_requests=sum(began + 0.2 < at < ended for at in peer.sent),
        flowing_after=next((at - ended for at in times if at > ended), None),
    )


def interactive() -> Iterator[Figure]:
    """A call that somebody waits for, in an outage, beside patient work and without it."""
    for kind in KINDS:
        beside, alone = _time_to_error(kind, patient=True), _time_to_error(kind, patient=False)
        name = f"interactive call in an outage ({kind})"
        yield Figure(f"{name}: seconds to its error", beside, unit="s")
        yield Figure(f"{name}: beside patient work / alone", beside / alone, 1.25)


def _time_to_error(kind: OutageKind, *, patient: bool) -> float:
    async def main() -> float:
        loop = asyncio.get_running_loop()
        async with (
            in_process(kind, latency=_LATENCY, **fleet_of("many", 32)) as service,
            IottlySession(
                service.api_key,
                config=Config(base_url=service.base_url, page_size=PAGE),
                limiter=RateLimiter(),
            ) as session,
        ):
            project = session.project(service.project_id)
            received = asyncio.Event()

            async def walk() -> None:
                async for _ in project.messages.batches_many(concurrency=32):
                    received.set()

            background = [asyncio.ensure_future(walk())] if patient else []
            if patient:
                await received.wait()
            background.append(asyncio.ensure_future(service.away(_LIMIT)))
            await asyncio.sleep(1.0)
            seconds = []
            for _ in range(_CALLS):
                began = loop.time()
                try:
                    await project.inspect()
                except IottlyError:
                    seconds.append(loop.time() - began)
            for task in background:
                task.cancel()
            await asyncio.gather(*background, return_exceptions=True)
            return fmean(seconds)

    with _quiet():
        return in_virtual_time(main)


def _nothing_lost(name: str, results: Sequence[OutageResult]) -> Iterator[Figure]:
    failed = sum(result.failed for result in results)
    yield Figure(f"{name}: failed", failed, 0, unit="", digits=0)
    wrong = sum(abs(result.lost) + result.repeated for result in results)
    yield Figure(f"{name}: lost, repeated", wrong, 0, unit="", digits=0)


def _flowing(results: Sequence[OutageResult]) -> list[float]:
    return [_LIMIT if one.flowing_after is None else one.flowing_after for one in results]


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the warnings of outages out of the output."""
    logger = logging.getLogger("iottly_async")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(level)


def _print(name: str, one: OutageResult) -> None:
    flowing = "never" if one.flowing_after is None else f"{one.flowing_after:5.1f} s"
    print(
        f"{name:<44} failed {one.failed:3}  lost {one.lost:5}  repeated {one.repeated:3}"
        f"  requests {one.requests:4}  rows flow after {flowing}",
        flush=True,
    )
