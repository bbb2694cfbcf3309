"""Messages as server-sent events, from the library to a browser."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import aclosing
from datetime import UTC, datetime
from typing import Annotated, Any

import aiohttp
import pytest
from fastapi import FastAPI, Header
from fastapi.sse import EventSourceResponse, ServerSentEvent

from iottly_async import Cursor, DeviceOfflineError, IottlySession, Message
from iottly_async.emulator import Emulator
from iottly_async.integrations.fastapi import SessionDep, install, lifespan, message_events

from ..support.serving import serving


def backend() -> FastAPI:
    """An application that sends the history of a device as events."""
    app = FastAPI(lifespan=lifespan())
    install(app)

    @app.get("/projects/{project_id}/devices/{device_id}/live", response_class=EventSourceResponse)
    async def live(
        project_id: str,
        device_id: str,
        session: SessionDep,
        last: Annotated[Cursor | None, Header(alias="Last-Event-ID")] = None,
    ) -> AsyncIterator[ServerSentEvent]:
        walk = session.project(project_id).messages.batches(device_id, cursor=last)
        async for event in message_events(walk):
            yield event

    return app


async def events(answer: aiohttp.ClientResponse) -> AsyncIterator[dict[str, str]]:
    """The events of a response, each as a dict of its fields."""
    fields: dict[str, str] = {}
    async for line in answer.content:
        name, _, value = line.decode().rstrip("\n").partition(": ")
        if name:
            fields[name] = value
        elif fields:
            yield fields
            fields = {}


async def test_a_browser_that_reconnects_continues_where_it_was(
    emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the id of the last event a second request gets all other messages, each once."""
    monkeypatch.setenv("IOTTLY_API_KEY", emulator.api_key)
    monkeypatch.setenv("IOTTLY_BASE_URL", emulator.base_url)
    live = f"/projects/{emulator.project_id}/devices/{emulator.device_ids[0]}/live"
    keys: list[str] = []
    headers: dict[str, str] = {}
    async with serving(backend()) as url, aiohttp.ClientSession(url) as http:
        for stop_at_the_first_cursor in (True, False):
            async with http.get(live, headers=headers) as answer:
                assert answer.content_type == "text/event-stream"
                async for event in events(answer):
                    if "data" not in event:
                        assert event == {"retry": "1000"}
                        continue
                    assert event["event"] == "message"
                    keys.append(json.loads(event["data"])["key"])
                    if "id" in event:
                        headers["Last-Event-ID"] = event["id"]
                        if stop_at_the_first_cursor:
                            break
    assert len(keys) == len(set(keys)) == len(emulator.stored(emulator.device_ids[0]))


async def test_a_stream_becomes_events(emulator: Emulator, session: IottlySession) -> None:
    """A message has its key as id, and a gap is an event, too."""
    device = emulator.device_ids[0]
    stream = session.stream()
    async with aclosing(message_events(stream, retry=None)) as found, asyncio.timeout(10):
        first = asyncio.ensure_future(anext(found))
        await stream.until_connected()
        emulator.append(device, [{"payload": {"n": 1}}])
        event = await first
        assert event.raw_data is not None
        message = json.loads(event.raw_data)
        assert (event.event, event.id, message["payload"]) == ("message", message["key"], {"n": 1})
        emulator.drop_streams()
        gap = await anext(found)
        assert (gap.event, gap.data["reason"]) == ("gap", "reconnect")
    assert not stream.connected


async def test_an_error_becomes_the_last_event() -> None:
    """The status was sent before, so the problem is sent as an event."""

    async def source() -> AsyncIterator[Message]:
        raise DeviceOfflineError("it sleeps", code="device_offline")
        yield

    found = [event async for event in message_events(source(), retry=None)]
    assert [event.event for event in found] == ["problem"]
    assert found[0].data["code"] == "device_offline"


async def test_closing_the_events_closes_the_source(session: IottlySession) -> None:
    """The walk or stream behind the events is closed."""
    closed: list[bool] = []

    async def source() -> AsyncIterator[Message]:
        try:
            while True:
                yield Message(device_id="d", timestamp=(await now()))
        finally:
            closed.append(True)

    async def now() -> Any:
        return (await session.devices.page()).devices[0].last_seen_at

    async with aclosing(message_events(source(), retry=None)) as found:
        assert (await anext(found)).event == "message"
    assert closed == [True]


class EndlessSource:
    """Makes messages without end, each when it is requested."""

    def __init__(self) -> None:
        self.made = 0
        self.closed = asyncio.Event()

    async def messages(self) -> AsyncIterator[Message]:
        try:
            while True:
                self.made += 1
                time = datetime(2026, 4, 30, tzinfo=UTC)
                yield Message(device_id="d", timestamp=time, payload_json=b"%d" % self.made)
        finally:
            self.closed.set()


async def test_no_message_is_requested_ahead_of_a_slow_browser() -> None:
    """The next message is requested when the last event was taken."""
    source = EndlessSource()
    async with aclosing(message_events(source.messages(), retry=None)) as found:
        for taken in range(1, 4):
            await anext(found)
            assert source.made == taken


async def test_a_browser_that_disconnects_closes_the_source() -> None:
    """The source is closed although it has more messages."""
    app, source = FastAPI(), EndlessSource()
    install(app)

    @app.get("/", response_class=EventSourceResponse)
    async def live() -> AsyncIterator[ServerSentEvent]:
        async for event in message_events(source.messages()):
            yield event

    async with serving(app) as url, aiohttp.ClientSession(url) as http:
        async with http.get("/") as answer:
            assert await answer.content.readline() == b"retry: 1000\n"
        async with asyncio.timeout(10):
            await source.closed.wait()
