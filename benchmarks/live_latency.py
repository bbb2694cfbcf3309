"""The latency from a message's append to its consumer: by poll, webhook and stream."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from time import perf_counter
from typing import Any

from aiohttp import web

from iottly_async import Doorbell, FollowPace, IottlySession, Message, MessageBatch
from iottly_async.emulator import Emulator
from iottly_async.resources import Messages
from iottly_async.webhooks.parse import parse_webhook

from .live_common import percentile, session_on
from .table import Figure

_SECRET = "benchmark"
_HEADER = "X-Secret"
_RARE = FollowPace(slowest=3600)


class Delivery:
    """Messages that are sent at random times, and the latency of each."""

    def __init__(self, emulator: Emulator, count: int, gap: float) -> None:
        self._emulator = emulator
        self._count = count
        self._gap = gap
        self._sent: dict[int, float] = {}
        self.late: list[float] = []
        self.all_came = asyncio.Event()

    def came(self, message: Message) -> None:
        """Record that the consumer has a message."""
        self.late.append(perf_counter() - self._sent[message.payload["n"]])
        if len(self.late) == self._count:
            self.all_came.set()

    async def run(self, consumer: asyncio.Task[None]) -> list[float]:
        """Send all messages; return the latency of each in seconds once all have come."""
        chance = random.Random(1)
        for n in range(self._count):
            await asyncio.sleep(chance.expovariate(1 / self._gap))
            self._sent[n] = perf_counter()
            self._emulator.append(self._emulator.device_ids[0], [{"payload": {"n": n}}])
        waiting = asyncio.ensure_future(self.all_came.wait())
        await asyncio.wait((waiting, consumer), return_when=asyncio.FIRST_COMPLETED)
        consumer.cancel()
        await asyncio.gather(consumer, return_exceptions=True)
        return self.late


async def _by_follow(
    messages: Messages, delivery: Delivery, device_id: str, **options: Any
) -> None:
    follow: AsyncGenerator[MessageBatch, None] = messages.follow(device_id, settle=0, **options)
    async with aclosing(follow):
        async for batch in follow:
            for message in batch.messages:
                delivery.came(message)


async def _by_stream(session: IottlySession, delivery: Delivery) -> None:
    async with session.stream() as stream:
        async for message in stream.messages():
            delivery.came(message)


@asynccontextmanager
async def _receiver(came: Any) -> AsyncIterator[str]:
    """Serve an address that receives webhooks."""

    async def handle(request: web.BaseRequest) -> web.Response:
        message = parse_webhook(
            await request.read(), headers=request.headers, secret=_SECRET, header=_HEADER
        )
        came(message)
        return web.Response()

    runner = web.ServerRunner(web.Server(handle), shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0][:2]
    try:
        yield f"http://{host}:{port}/"
    finally:
        await runner.cleanup()


async def latency(quick: bool) -> list[Figure]:
    """Measure p50 and p99 of each way."""
    count = 40 if quick else 400
    figures: list[Figure] = []
    for name in ("poll", "webhook", "webhook, then walk", "stream", "stream, then walk"):
        slow = name == "poll"
        number, gap = (count // 2, 0.4) if slow else (count, 0.05)
        async with Emulator(devices=1, messages=0) as emulator, session_on(emulator) as session:
            delivery = Delivery(emulator, number, gap)
            late = await _way(name, emulator, session, delivery)
        for part in (0.5, 0.99):
            label = f"{name}: append to consumer, p{round(part * 100)}"
            figures.append(Figure(label, 1000 * percentile(late, part), unit="ms"))
        print(
            f"{name:<20} p50 {1000 * percentile(late, 0.5):8.2f} ms  "
            f"p99 {1000 * percentile(late, 0.99):8.2f} ms  ({len(late)} messages)",
            flush=True,
        )
    return figures


async def _way(
    name: str, emulator: Emulator, session: IottlySession, delivery: Delivery
) -> list[float]:
    messages = session.project(emulator.project_id).messages
    device_id = emulator.device_ids[0]
    headers = {_HEADER: _SECRET}
    if name == "poll":
        task = asyncio.create_task(_by_follow(messages, delivery, device_id))
        await emulator.until_requests(3, route="paginated")
        return await delivery.run(task)
    if name == "stream":
        task = asyncio.create_task(_by_stream(session, delivery))
        await emulator.until_streams(1)
        return await delivery.run(task)
    if name == "stream, then walk":
        async with session.stream() as stream:
            await stream.until_connected()
            task = asyncio.create_task(
                _by_follow(
                    messages, delivery, device_id, doorbell=stream, pace=FollowPace(slowest=3600)
                )
            )
            await emulator.until_requests(3, route="paginated")
            return await delivery.run(task)
    bell = Doorbell()
    direct = name == "webhook"
    async with _receiver(
        delivery.came if direct else lambda message: bell.ring(message.device_id)
    ) as url:
        emulator.add_webhook(url, headers=headers)
        if direct:
            return await delivery.run(asyncio.create_task(_no_consumer()))
        task = asyncio.create_task(
            _by_follow(messages, delivery, device_id, doorbell=bell, pace=_RARE)
        )
        await emulator.until_requests(3, route="paginated")
        return await delivery.run(task)


async def _no_consumer() -> None:
    """Stands for the consumer if the receiver is one itself."""
    await asyncio.get_running_loop().create_future()
