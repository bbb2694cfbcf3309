"""The collector: how many rows it hands out together, and how long it waits for them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

import pytest

from iottly_async.arrow import collector
from iottly_async.arrow.collector import LONGEST, Collector
from iottly_async.errors import ServerError
from iottly_async.models import MessageBatch
from iottly_async.walk import WalkQuery, WalkSettings, batches
from tests.support.message_server import NOW_MS, MessageServer, Row
from tests.support.virtual_time import virtual

QUERY = WalkQuery(project_id="p1", device_id="d1")


def server_of(rows: int, latency: float) -> MessageServer:
    """A server with a number of rows, and the seconds that each answer takes."""
    stream = [Row(NOW_MS - 100_000_000 + 1000 * n, b"%d" % n) for n in range(rows)]
    return MessageServer(stream, latency=latency)


def walk(server: MessageServer) -> AsyncGenerator[MessageBatch, None]:
    """A walk over all rows."""
    return batches(server.fetch, QUERY, settings=WalkSettings(), clock=server.clock)


@virtual
async def test_rows_of_a_slow_service_wait_no_longer_than_a_second() -> None:
    """At a page in ten seconds each page is handed out at most a second after it arrived."""
    server = server_of(450, latency=10.0)
    loop = asyncio.get_running_loop()
    began = loop.time()
    found = [
        (len(rows), loop.time() - began) async for rows, _ in Collector().collect(walk(server))
    ]
    assert sum(rows for rows, _ in found) == 450
    assert len(found) >= 5
    assert all(at % 10 <= LONGEST + 0.001 for _, at in found)


@virtual
async def test_rows_of_a_fast_service_come_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many pages become one record batch; a consumer that is slow holds back the walk."""
    monkeypatch.setattr(collector, "MOST_ROWS", 1000)
    server = server_of(5000, latency=0.001)
    sizes, ahead = [], 0
    async for rows, cursors in Collector().collect(walk(server)):
        assert {*cursors} == {"d1"}
        sizes.append(len(rows))
        await server.clock.sleep(5)
        ahead = max(ahead, server.requests * 100 - sum(sizes))
    assert sum(sizes) == 5000
    assert all(1000 <= size < 1100 for size in sizes[:-1])
    assert ahead <= 1500


@virtual
async def test_an_error_follows_the_rows_before_it() -> None:
    """What arrived before an error is handed out, with its cursor, and then it is raised."""
    server = server_of(1000, latency=0.001)

    def fails(_: object, number: int) -> None:
        if number == 5:
            raise ServerError("away", status=503)

    server.before = fails
    found: list[tuple[int, int]] = []

    async def read() -> None:
        async for rows, cursors in Collector().collect(walk(server)):
            found.append((len(rows), cursors["d1"].count))

    with pytest.raises(ServerError, match="away"):
        await read()
    assert found == [(396, 396)]
    assert len(asyncio.all_tasks()) == 1
