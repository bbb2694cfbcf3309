"""Refusals without limit headers: the time over the least time, and refusals a request."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from typing import Any, Final, NamedTuple

import aiohttp

from iottly_async import Config, IottlyError, IottlySession, RateLimiter
from iottly_async.emulator import Emulator
from iottly_async.transport import Outgoing
from iottly_async.wire import Answer
from tests.support.nginx_server import running_nginx
from tests.support.outage_trial import in_virtual_time

from .limiter_quota import ideal, quota
from .patience_peers import AdaptiveClient, ExpoClient, GaveUpError, Send, sender
from .table import Figure

__all__ = ["LimitResult", "bare", "bare_refusals", "nginx_refusals"]

RATE: Final = 40
WORKERS: Final = 8
SECONDS: Final = 60
NGINX_SECONDS: Final = 20
_BURST: Final = 5
_LATENCY: Final = 0.02
CLIENTS: Final = ("ours", "expo", "adaptive")
_NAMES: Final = {"ours": "", "expo": ", backoff.expo", "adaptive": ", botocore adaptive"}

_DEVICE: Final = json.dumps(
    {
        "id": "dev_1",
        "name": "pump",
        "project_id": "prj_1",
        "status": "online",
        "last_seen_at": "2026-01-01T00:00:00Z",
    }
).encode()
_PAGE: Final = b"<html><body>Too many requests</body></html>"


class LimitResult(NamedTuple):
    """What became of the requests of one client.

    Attributes:
        seconds: from the first to the last.
        sent: requests that were sent.
        refused: of them, by the limit.
        failed: calls that ended with an error; each was made again.
    """

    seconds: float
    sent: int
    refused: int
    failed: int


class LimitedService:
    """A service in memory behind a limit that sends no headers; a transport of the session.

    Args:
        algorithm: of `limiter_quota`.
        status: of a refusal.
    """

    def __init__(self, algorithm: str, status: int) -> None:
        self._quota = quota(algorithm, RATE, 1.0)
        self._status = status

    async def send(self, _: Outgoing) -> Answer:
        """Answer a request, or refuse it."""
        await asyncio.sleep(_LATENCY / 2)
        admitted = self._quota.take(time.time()).admitted
        await asyncio.sleep(_LATENCY / 2)
        return Answer(200, {}, _DEVICE) if admitted else Answer(self._status, {}, _PAGE)

    async def attempt(self, _: str) -> tuple[int | None, Any]:
        """The same for the other clients."""
        answer = await self.send(Outgoing("GET", "/", {}))
        return answer.status, answer.body

    async def aclose(self) -> None:
        """Do nothing."""


async def _use_up(get: Callable[[], Awaitable[object]], requests: int) -> tuple[float, int]:
    unsent, failed = requests, 0

    async def work() -> None:
        nonlocal unsent, failed
        while unsent > 0:
            unsent -= 1
            while True:
                try:
                    await get()
                except (IottlyError, GaveUpError):
                    failed += 1
                else:
                    break

    began = time.monotonic()
    async with asyncio.TaskGroup() as group:
        for _ in range(WORKERS):
            group.create_task(work())
    return time.monotonic() - began, failed


async def _ours(session: IottlySession, device: str, requests: int) -> LimitResult:
    seconds, failed = await _use_up(lambda: session.devices.get(device), requests)
    sent = session.stats.attempts
    return LimitResult(seconds, sent, sent - requests, failed)


async def _peer(client: str, send: Send, url: str, requests: int) -> LimitResult:
    peer = ExpoClient(send) if client == "expo" else AdaptiveClient(send, attempts=None)
    seconds, failed = await _use_up(lambda: peer.get(url), requests)
    return LimitResult(seconds, len(peer.sent), peer.refused, failed)


def bare(
    algorithm: str, client: str, *, status: int = 429, seconds: float = SECONDS
) -> tuple[LimitResult, float]:
    """Let a client use up a limit of 40 a second without headers, in virtual time.

    Args:
        algorithm: of `limiter_quota`.
        client: one of `CLIENTS`.
        status: of a refusal.
        seconds: the requests that the limit grants in this time are sent.

    Returns:
        The counts, and the least seconds that the limit asks for.
    """
    requests = round(RATE * seconds)

    async def main() -> tuple[LimitResult, float]:
        service = LimitedService(algorithm, status)
        least = ideal(algorithm, RATE, 1.0, requests, time.time())
        if client != "ours":
            return await _peer(client, service.attempt, "/", requests), least
        async with IottlySession(
            "key", config=Config(), http=service, limiter=RateLimiter()
        ) as one:
            return await _ours(one, "dev_1", requests), least

    return in_virtual_time(main, listens=False)


async def _through_nginx(client: str, status: int, requests: int) -> LimitResult:
    async with AsyncExitStack() as stack:
        emulator = await stack.enter_async_context(
            Emulator(devices=1, messages=1, latency=_LATENCY)
        )
        port = int(emulator.base_url.rpartition(":")[2])
        device = emulator.fleet_ids[0]
        url = stack.enter_context(
            running_nginx(port, rate=f"{RATE}r/s", burst=_BURST, status=status)
        ).url
        if client == "ours":
            session = IottlySession(
                emulator.api_key, config=Config(base_url=url), limiter=RateLimiter()
            )
            return await _ours(await stack.enter_async_context(session), device, requests)
        headers = {"Authorization": f"Bearer {emulator.api_key}"}
        http = await stack.enter_async_context(aiohttp.ClientSession(headers=headers))
        return await _peer(client, sender(http), f"{url}/v1/devices/{device}", requests)


def bare_refusals() -> Iterator[Figure]:
    """429 without headers, from each kind of limit, over a minute of virtual time."""
    for algorithm in ("bucket", "fixed", "sliding"):
        for client in CLIENTS:
            result, least = bare(algorithm, client)
            name = f"bare 429, {algorithm}, {RATE}/s{_NAMES[client]}"
            yield from _figures(name, client, result, least, time_bound=1.2)


def nginx_refusals() -> Iterator[Figure]:
    """nginx's `limit_req` with 429 and 503 in front of the emulator, in real time."""
    requests = RATE * NGINX_SECONDS
    least = (requests - 1 - _BURST) / RATE
    for status, bound in ((429, 1.2), (503, 1.5)):
        for client in CLIENTS:
            result = asyncio.run(_through_nginx(client, status, requests))
            name = f"nginx, {status} beyond {RATE}/s{_NAMES[client]}"
            yield from _figures(name, client, result, least, time_bound=bound)


def _figures(
    name: str, client: str, result: LimitResult, least: float, *, time_bound: float
) -> Iterator[Figure]:
    ours = client == "ours"
    yield Figure(f"{name}: time / least", result.seconds / least, time_bound if ours else None)
    refusals = result.refused / result.sent
    yield Figure(f"{name}: refusals a request", refusals, 0.1 if ours else None, unit="")
    if result.failed:
        bound = 0 if ours else None
        yield Figure(f"{name}: calls that failed", result.failed, bound, unit="", digits=0)
