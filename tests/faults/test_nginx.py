"""A real nginx between the library and the service: limits, reloads and connections that end."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from iottly_async import Config, IottlySession, RateLimiter
from iottly_async.emulator import Emulator
from tests.support.nginx_server import NginxServer, require_nginx, running_nginx

PAGE = 10
ROWS = 1000
PAGES = ROWS // PAGE


@pytest.fixture(autouse=True)
def with_nginx() -> None:
    """Skips the tests where nginx is not installed."""
    require_nginx()


@asynccontextmanager
async def behind_nginx(
    *, devices: int = 1, latency: float = 0.0, **settings: Any
) -> AsyncIterator[tuple[Emulator, NginxServer, IottlySession]]:
    """Serve 1,000 messages behind an nginx, and yield a session with small pages."""
    async with Emulator(devices=devices, messages=ROWS, latency=latency) as emulator:
        port = int(emulator.base_url.rpartition(":")[2])
        with running_nginx(port, **settings) as server:
            config = Config(base_url=server.url, page_size=PAGE)
            async with IottlySession(
                emulator.api_key, config=config, limiter=RateLimiter()
            ) as session:
                yield emulator, server, session


async def keys_of(
    session: IottlySession, emulator: Emulator, *, on_batch: Callable[[int], None] | None = None
) -> list[str]:
    """The keys of the first device's messages, in the order of a walk with eight requests."""
    found: list[str] = []
    messages = session.project(emulator.project_id).messages
    number = 0
    async for batch in messages.batches(emulator.device_ids[0], concurrency=8):
        found += [message.key for message in batch.messages]
        number += 1
        if on_batch is not None:
            on_batch(number)
    return found


def assert_whole(found: list[str]) -> None:
    """Assert that every message was found once."""
    assert len(found) == len(set(found)) == ROWS


async def test_reloads_lose_nothing() -> None:
    """nginx is reloaded again and again, and closes its connections: no call fails."""
    async with behind_nginx(latency=0.005) as (emulator, server, session):
        reloads = 0

        def reload(number: int) -> None:
            nonlocal reloads
            if number % 10 == 0:
                server.reload()
                reloads += 1

        assert_whole(await keys_of(session, emulator, on_batch=reload))
        assert reloads > 3
        assert session.stats.failures == 0
        assert session.outage is None


async def test_connections_that_end_after_five_requests() -> None:
    """With `keepalive_requests 5`, no request is lost with its connection."""
    async with behind_nginx(keepalive_requests=5) as (emulator, _, session):
        assert_whole(await keys_of(session, emulator))
        commands = session.project(emulator.project_id).commands
        for _ in range(12):
            await commands.send(emulator.device_ids[0], "echo", {"content": "hi"})
        assert session.stats.failures == 0
        assert len(emulator.commands) == 12
        assert session.stats.attempts == session.stats.calls


@pytest.mark.parametrize("status", [429, 503])
async def test_a_limit_that_says_nothing(status: int, caplog: pytest.LogCaptureFixture) -> None:
    """A walk through `limit_req` of 40 a second loses nothing, and is seldom refused.

    No refusal is logged as an outage.
    """
    caplog.set_level(logging.INFO, "iottly_async")
    async with behind_nginx(rate="40r/s", burst=5, status=status) as (emulator, _, session):
        assert_whole(await keys_of(session, emulator))
        assert session.stats.failures == 0
        refused = session.stats.attempts - session.stats.calls
        assert 0 < refused <= session.stats.attempts / 4
        quota = session.quota
        assert quota.source == "learned"
        assert quota.rate is not None
        assert 10 < quota.rate < 80
    assert [record for record in caplog.records if record.name == "iottly_async.outage"] == []
