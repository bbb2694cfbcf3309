"""The FastAPI integration, in applications that are really served."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import aclosing
from datetime import UTC, datetime
from typing import Annotated, Any

import aiohttp
import pytest
from fastapi import FastAPI, Header, Request
from fastapi.sse import EventSourceResponse, ServerSentEvent
from fastapi.testclient import TestClient

from iottly_async import (
    Config,
    Cursor,
    Device,
    DeviceOfflineError,
    FleetDevicePage,
    IottlySession,
    Message,
    MessageBatch,
    MessagePage,
    Quota,
    RateLimiter,
)
from iottly_async.emulator import Emulator, EmulatorThread
from iottly_async.integrations.fastapi import (
    PROBLEM_RESPONSE,
    SessionDep,
    get_session,
    install,
    lifespan,
    message_events,
)

from ..support.serving import serving

PROBLEM = "application/problem+json"


def backend() -> FastAPI:
    """An application with a bit of everything, whose session comes from the environment."""
    app = FastAPI(lifespan=lifespan(), responses=PROBLEM_RESPONSE)
    install(app)

    @app.get("/projects/{project_id}/devices")
    async def devices(project_id: str, session: SessionDep) -> list[Device]:
        return await session.project(project_id).devices.list()

    @app.get("/projects/{project_id}/devices/{device_id}/messages")
    async def messages(project_id: str, device_id: str, session: SessionDep) -> MessagePage:
        return await session.project(project_id).messages.page(device_id, size=5)

    @app.get("/projects/{project_id}/devices/{device_id}/history")
    async def history(
        project_id: str, device_id: str, session: SessionDep, cursor: Cursor | None = None
    ) -> MessageBatch | None:
        walk = session.project(project_id).messages.batches(device_id, cursor=cursor)
        async for batch in walk:
            await walk.aclose()
            return batch
        return None

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

    @app.get("/fleet")
    async def fleet(session: SessionDep) -> FleetDevicePage:
        return await session.devices.page()

    @app.post("/fleet/{device_id}/uptime")
    async def uptime(device_id: str, session: SessionDep) -> str:
        result = await session.commands.run(device_id, "uptime")
        return str(result.status)

    @app.get("/quota")
    async def quota(session: SessionDep) -> Quota:
        return session.quota

    return app


@pytest.fixture
def client(iottly_environment: EmulatorThread) -> Any:
    """A client of the application, whose lifespan runs."""
    with TestClient(backend()) as client:
        yield client


def path(emulator: EmulatorThread, tail: str = "", device: int = 0) -> str:
    """The path of a device of the emulator, in the application."""
    return f"/projects/{emulator.project_id}/devices/{emulator.device_ids[device]}{tail}"


def test_the_models_are_responses(client: TestClient, iottly_emulator: EmulatorThread) -> None:
    """A path operation returns what the library returned, and the client gets its fields."""
    devices = client.get(f"/projects/{iottly_emulator.project_id}/devices").json()
    assert [device["id"] for device in devices] == iottly_emulator.device_ids
    page = client.get(path(iottly_emulator, "/messages")).json()
    stored = iottly_emulator.stored(iottly_emulator.device_ids[0])
    assert [message["payload"] for message in page["messages"]] == [
        message["payload"] for message in reversed(stored[-5:])
    ]
    assert client.get("/fleet").json()["total"] == 3
    assert client.get("/quota").json()["source"] == "unknown"


def test_the_models_are_in_the_openapi_document(client: TestClient) -> None:
    """Each has its schema by its own name, and a cursor is a text in the query."""
    document = client.get("/openapi.json").json()
    schemas = document["components"]["schemas"]
    models = {"Device", "FleetDevice", "FleetDevicePage", "Message", "MessageBatch", "MessagePage"}
    assert models <= set(schemas)
    operation = document["paths"]["/projects/{project_id}/devices/{device_id}/history"]["get"]
    (cursor,) = [one for one in operation["parameters"] if one["name"] == "cursor"]
    assert cursor["in"] == "query"
    assert {"type": "string"}.items() <= cursor["schema"]["anyOf"][0].items()
    assert PROBLEM in operation["responses"]["default"]["content"]


def test_a_client_pages_through_a_history_by_cursor(
    client: TestClient, iottly_emulator: EmulatorThread
) -> None:
    """Handing each batch's cursor back gives every message once, in order."""
    found: list[Any] = []
    query: dict[str, str] = {}
    while True:
        batch = client.get(path(iottly_emulator, "/history"), params=query).json()
        if batch is None or not batch["messages"]:
            break
        found += batch["messages"]
        query = {"cursor": batch["cursor"]}
    stored = iottly_emulator.stored(iottly_emulator.device_ids[0])
    times = [datetime.fromisoformat(message["timestamp"]) for message in found]
    assert times == [row["timestamp"] for row in stored]
    payloads = [json.dumps(message["payload"]) for message in found]
    assert sorted(payloads) == sorted(json.dumps(row["payload"]) for row in stored)
    assert len({message["key"] for message in found}) == len(stored)


def test_a_made_up_cursor_is_refused_as_any_argument(
    client: TestClient, iottly_emulator: EmulatorThread
) -> None:
    """A text that is no cursor is 422, one of another device a problem of 400."""
    made_up = client.get(path(iottly_emulator, "/history"), params={"cursor": "x"})
    assert made_up.status_code == 422
    batch = client.get(path(iottly_emulator, "/history")).json()
    other = client.get(
        path(iottly_emulator, "/history", device=1), params={"cursor": batch["cursor"]}
    )
    assert other.status_code == 400
    assert other.json()["type"] == "urn:iottly-async:cursor-mismatch"


def test_an_error_is_a_problem(client: TestClient, iottly_emulator: EmulatorThread) -> None:
    """An unknown device is 404 with a body of RFC 9457."""
    answer = client.get(f"/projects/{iottly_emulator.project_id}/devices/x%2Fy/messages")
    assert answer.status_code == 404  # the router's own: a slash is never an id here
    answer = client.post("/fleet/dev_unknown/uptime")
    assert answer.status_code == 404
    assert answer.headers["content-type"] == PROBLEM
    problem = answer.json()
    assert problem["type"] == "urn:iottly-async:not-found"
    assert problem["title"] == "Not found"
    assert problem["status"] == 404
    assert problem["detail"]
    assert problem["request_id"].startswith("req_")


def test_an_offline_device_is_a_conflict(
    client: TestClient, iottly_emulator: EmulatorThread
) -> None:
    """The state of the device forbids the command: 409, with the service's code."""
    device = iottly_emulator.fleet_ids[0]
    iottly_emulator.set_connected(device, False)
    answer = client.post(f"/fleet/{device}/uptime")
    assert answer.status_code == 409
    assert answer.json()["code"] == "device_offline"


def test_a_refused_key_is_not_the_clients_fault(
    client: TestClient, iottly_emulator: EmulatorThread
) -> None:
    """The service's 401 is this application's trouble, and is not passed on as one."""
    iottly_emulator.fault("status", status=401)
    answer = client.get("/fleet")
    assert answer.status_code == 502
    assert answer.json()["type"] == "urn:iottly-async:unauthorized"


def test_retry_after_is_passed_on(iottly_environment: EmulatorThread) -> None:
    """A call that has no turn within its deadline is 429, and says when there is one."""
    app = backend()
    with TestClient(app) as client:
        session = client.app_state["iottly_session"]
        app.dependency_overrides[get_session] = lambda: session.with_options(timeout=0.5)
        iottly_environment.fault("status", status=429, count=None, headers={"Retry-After": "30"})
        answer = client.get("/fleet")
    assert answer.status_code == 429
    assert 25 <= int(answer.headers["Retry-After"]) <= 30
    assert answer.json()["retry_after"] == int(answer.headers["Retry-After"])


def test_a_status_can_be_another(iottly_environment: EmulatorThread) -> None:
    """Who prefers 503 for an offline device says so."""
    app = FastAPI(lifespan=lifespan())
    install(app, statuses={DeviceOfflineError: 503})

    @app.get("/")
    async def fail() -> None:
        raise DeviceOfflineError("it sleeps", retry_after=1.2)

    with TestClient(app) as client:
        answer = client.get("/")
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "2")


def test_the_session_can_be_replaced(iottly_emulator: EmulatorThread) -> None:
    """`dependency_overrides` works without a lifespan, as for any dependency."""
    app = backend()
    config = Config(base_url=iottly_emulator.base_url)

    async def own() -> AsyncIterator[IottlySession]:
        async with IottlySession(iottly_emulator.api_key, config=config) as session:
            yield session

    app.dependency_overrides[get_session] = own
    assert TestClient(app).get("/fleet").json()["total"] == 3


def test_without_a_lifespan_it_says_what_is_missing() -> None:
    """An application that opens no session fails with a hint, not with a wrong answer."""
    with pytest.raises(RuntimeError, match="lifespan"):
        TestClient(backend()).get("/fleet")


async def test_one_session_serves_all_requests_and_is_closed(emulator: Emulator) -> None:
    """A worker opens one session, whatever it serves, and closes it when it stops."""
    opened: list[IottlySession] = []

    def open_session() -> IottlySession:
        config = Config(base_url=emulator.base_url)
        opened.append(IottlySession(emulator.api_key, config=config, limiter=RateLimiter()))
        return opened[-1]

    app = FastAPI(lifespan=lifespan(open_session))

    @app.get("/fleet")
    async def fleet(session: SessionDep) -> int:
        assert session is opened[0]
        return (await session.devices.page()).total

    async with serving(app) as url, aiohttp.ClientSession(url) as http:

        async def ask() -> int:
            async with http.get("/fleet") as answer:
                return int(await answer.text())

        assert await asyncio.gather(*(ask() for _ in range(20))) == [3] * 20
    assert len(opened) == 1
    with pytest.raises(Exception, match="closed"):
        await opened[0].ping()


def waiting(emulator: Emulator) -> FastAPI:
    """An application whose only answer waits for the service."""
    config = Config(base_url=emulator.base_url)
    app = FastAPI(
        lifespan=lifespan(
            lambda: IottlySession(emulator.api_key, config=config, limiter=RateLimiter())
        )
    )
    install(app)
    app.state.notes = []
    app.state.ended = asyncio.Event()

    async def wait(session: IottlySession) -> str:
        try:
            await session.devices.page()
        except asyncio.CancelledError:
            app.state.notes.append("cancelled")
            raise
        finally:
            app.state.ended.set()
        return "done"

    @app.get("/wait")
    async def get(session: SessionDep) -> str:
        return await wait(session)

    @app.post("/wait")
    async def post(session: SessionDep, body: dict[str, int]) -> str:
        return await wait(session)

    return app


@pytest.mark.parametrize(("method", "body"), [("GET", None), ("POST", {"n": 1})])
async def test_a_client_that_goes_away_cancels_its_calls(
    emulator: Emulator, method: str, body: Any
) -> None:
    """The call to the service ends when nobody waits for it, with or without a body."""
    app = waiting(emulator)
    emulator.fault("stall", count=None)
    async with serving(app) as url:
        async with aiohttp.ClientSession(url) as http:
            asked = asyncio.create_task(http.request(method, "/wait", json=body))
            await emulator.until_requests(1)
            asked.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asked
        await app.state.ended.wait()
        assert app.state.notes == ["cancelled"]
        emulator.clear_faults()


async def test_a_client_that_stays_gets_its_answer(emulator: Emulator) -> None:
    """Watching for the departure of clients changes nothing for one that waits."""
    app = waiting(emulator)
    async with serving(app) as url, aiohttp.ClientSession(url) as http:
        for _ in range(3):
            async with http.post("/wait", json={"n": 1}) as answer:
                assert await answer.json() == "done"
            async with http.get("/wait") as answer:
                assert await answer.json() == "done"
    assert app.state.notes == []


async def events(answer: aiohttp.ClientResponse) -> AsyncIterator[dict[str, str]]:
    """The events of an answer: the fields of each."""
    fields: dict[str, str] = {}
    async for line in answer.content:
        name, _, value = line.decode().rstrip("\n").partition(": ")
        if name:
            fields[name] = value
        elif fields:
            yield fields
            fields = {}


async def test_messages_go_out_as_events_and_a_browser_goes_on_where_it_was(
    emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cut off in the midst, the id of the last event leads to all the rest, each once."""
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


async def test_a_stream_goes_out_as_events(emulator: Emulator, session: IottlySession) -> None:
    """Its messages have their key as id, and a gap is an event of its own."""
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


async def test_an_error_amid_events_is_an_event() -> None:
    """The status has gone out by then: the problem is told, and the events end."""

    async def source() -> AsyncIterator[Message]:
        raise DeviceOfflineError("it sleeps", code="device_offline")
        yield

    found = [event async for event in message_events(source(), retry=None)]
    assert [event.event for event in found] == ["problem"]
    assert found[0].data["code"] == "device_offline"


async def test_the_source_is_closed_with_the_events(session: IottlySession) -> None:
    """A browser that goes away ends the walk or stream that fed it."""
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


class Ticking:
    """Messages without end, each made when it is asked for."""

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


async def test_nothing_is_read_ahead_of_a_slow_browser() -> None:
    """What a browser does not take waits where it comes from, and in no memory of ours."""
    source = Ticking()
    async with aclosing(message_events(source.messages(), retry=None)) as found:
        for taken in range(1, 4):
            await anext(found)
            assert source.made == taken


async def test_a_browser_that_goes_away_ends_its_source() -> None:
    """Although it was slow, and the source had more to say."""
    app, source = FastAPI(), Ticking()
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


@pytest.mark.parametrize("chunks", [1, 50])
async def test_a_body_is_handed_on_as_it_comes(chunks: int) -> None:
    """A large upload and a handler that reads it bit by bit are not disturbed."""
    app = FastAPI()
    install(app)

    @app.post("/")
    async def count(request: Request) -> int:
        size = 0
        async for chunk in request.stream():
            size += len(chunk)
            await asyncio.sleep(0)
        assert not await request.is_disconnected()
        return size

    async def body() -> AsyncIterator[bytes]:
        for _ in range(chunks):
            yield b"x" * 70_000

    async with (
        serving(app) as url,
        aiohttp.ClientSession(url) as http,
        http.post("/", data=body()) as answer,
    ):
        assert await answer.json() == chunks * 70_000
