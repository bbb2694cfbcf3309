"""The hub of the example backend: one stream, many browsers."""

from __future__ import annotations

import asyncio
import json
from contextlib import aclosing
from datetime import UTC, datetime

import aiohttp

from examples.fastapi_backend.hub import Hub
from examples.fastapi_backend.main import create_app
from examples.fastapi_backend.settings import Settings
from iottly_async import Config, IottlySession, Message, RateLimiter
from iottly_async.emulator import Emulator

from ..support.serving import serving


def message(number: int) -> Message:
    """A message with this number as its payload."""
    time = datetime(2026, 4, 30, tzinfo=UTC)
    return Message(device_id="d", timestamp=time, payload_json=b'{"n":%d}' % number)


async def test_a_message_of_stream_and_webhook_is_published_once(session: IottlySession) -> None:
    """A message has the same key from both, and the second one is dropped."""
    hub = Hub(session, "p")
    async with aclosing(hub.events()) as events:
        assert (await anext(events))[0] == "status"
        for number in (1, 1, 2):
            await hub.publish_once(message(number))
        published = [json.loads((await anext(events))[1])["payload"]["n"] for _ in range(2)]
    assert published == [1, 2]


async def test_a_slow_browser_loses_its_oldest_events(session: IottlySession) -> None:
    """It does not delay others, and gets the newest events."""
    hub = Hub(session, "p", backlog=2)
    async with aclosing(hub.events()) as events:
        assert (await anext(events))[0] == "status"
        for number in range(5):
            await hub.publish_once(message(number))
        published = [json.loads((await anext(events))[1])["payload"]["n"] for _ in range(2)]
    assert published == [3, 4]


async def test_browsers_share_one_stream(emulator: Emulator) -> None:
    """Three browsers need one subscription, and are removed when they disconnect."""
    config = Config(base_url=emulator.base_url)
    app = create_app(
        Settings(emulator.project_id),
        lambda: IottlySession(emulator.api_key, config=config, limiter=RateLimiter()),
    )
    async with serving(app) as url, aiohttp.ClientSession(url) as http:
        answers = [await http.get("/api/live") for _ in range(3)]
        for answer in answers:
            while b'"live":true' not in await answer.content.readline():
                pass
        assert app.state.hub.listeners == 3
        assert emulator.streams == 1
        for answer in answers:
            answer.close()
        async with asyncio.timeout(10):
            while app.state.hub.listeners:  # noqa: ASYNC110 - no event says when they are gone
                await asyncio.sleep(0)
