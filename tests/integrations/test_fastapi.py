"""The FastAPI integration: session, models, errors, and clients that disconnect."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import nullcontext
from datetime import datetime
from typing import Any
from unittest.mock import patch

import aiohttp
import pytest
from fastapi import FastAPI, Request
from fastapi.testclient import TestClient

from iottly_async import (
    Config,
    Cursor,
    Device,
    DeviceOfflineError,
    FleetDevicePage,
    IottlySession,
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
)

from ..support.serving import serving

PROBLEM = "application/problem+json"


def backend() -> FastAPI:
    """An application with one route of each kind; its session comes from the environment."""
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
    """A client of the application, with its lifespan running."""
    with TestClient(backend()) as client:
        yield client


def path(emulator: EmulatorThread, tail: str = "", device: int = 0) -> str:
    """The application's path of a device of the emulator."""
    return f"/projects/{emulator.project_id}/devices/{emulator.device_ids[device]}{tail}"


def test_models_are_responses(client: TestClient, iottly_emulator: EmulatorThread) -> None:
    """A path operation can return a model, and the client gets its fields."""
    devices = client.get(f"/projects/{iottly_emulator.project_id}/devices").json()
    assert [device["id"] for device in devices] == iottly_emulator.device_ids
    page = client.get(path(iottly_emulator, "/messages")).json()
    stored = iottly_emulator.stored(iottly_emulator.device_ids[0])
    assert [message["payload"] for message in page["messages"]] == [
        message["payload"] for message in reversed(stored[-5:])
    ]
    assert client.get("/fleet").json()["total"] == 3
    assert client.get("/quota").json()["source"] == "unknown"


def test_models_are_in_the_openapi_document(client: TestClient) -> None:
    """Each has a schema of its own name, and a cursor is a text in the query."""
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
    """With each batch's cursor in the next request, every message comes once and in order."""
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


def test_an_invalid_cursor_is_refused(client: TestClient, iottly_emulator: EmulatorThread) -> None:
    """A text that is no cursor is 422, and a cursor of another device is 400."""
    made_up = client.get(path(iottly_emulator, "/history"), params={"cursor": "x"})
    assert made_up.status_code == 422
    batch = client.get(path(iottly_emulator, "/history")).json()
    other = client.get(
        path(iottly_emulator, "/history", device=1), params={"cursor": batch["cursor"]}
    )
    assert other.status_code == 400
    assert other.json()["type"] == "urn:iottly-async:cursor-mismatch"


def test_an_error_is_a_problem(client: TestClient, iottly_emulator: EmulatorThread) -> None:
    """An unknown device is 404, with problem details of RFC 9457."""
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
    """A command to an offline device is 409, with the service's code."""
    device = iottly_emulator.fleet_ids[0]
    iottly_emulator.set_connected(device, False)
    answer = client.post(f"/fleet/{device}/uptime")
    assert answer.status_code == 409
    assert answer.json()["code"] == "device_offline"


def test_a_refused_key_is_502(client: TestClient, iottly_emulator: EmulatorThread) -> None:
    """The service's 401 concerns the application's key, so the client does not get a 401."""
    iottly_emulator.fault("status", status=401)
    answer = client.get("/fleet")
    assert answer.status_code == 502
    assert answer.json()["type"] == "urn:iottly-async:unauthorized"


@pytest.mark.parametrize("cause", ["a fork", "another event loop"])
async def test_a_session_that_cannot_be_used_here_is_500(emulator: Emulator, cause: str) -> None:
    """The client's argument is not at fault, so the response is not 400."""
    config = Config(base_url=emulator.base_url)
    session = IottlySession(emulator.api_key, config=config, limiter=RateLimiter())
    await session.ping()
    app = backend()
    app.dependency_overrides[get_session] = lambda: session
    forked = patch("os.getpid", return_value=1)
    with forked if cause == "a fork" else nullcontext():
        ask = TestClient(app).get  # each of its requests has an event loop of its own
        answer = await asyncio.to_thread(ask, "/fleet")
        assert (answer.status_code, answer.json()["type"]) == (500, "urn:iottly-async:setup")
        assert cause in answer.json()["detail"]
    await session.aclose()


def test_an_argument_that_is_refused_is_400(client: TestClient) -> None:
    """The client chose the argument, and gets the text that says what is accepted."""
    answer = client.get("/projects/p/devices/%3F/messages")
    assert (answer.status_code, answer.json()["type"]) == (400, "urn:iottly-async:configuration")


def test_retry_after_is_passed_on(iottly_environment: EmulatorThread) -> None:
    """A call that gets no quota in time is 429, and says when to try again."""
    app = backend()
    with TestClient(app) as client:
        session = client.app_state["iottly_session"]
        app.dependency_overrides[get_session] = lambda: session.with_options(timeout=0.5)
        iottly_environment.fault("status", status=429, count=None, headers={"Retry-After": "30"})
        answer = client.get("/fleet")
    assert answer.status_code == 429
    assert 25 <= int(answer.headers["Retry-After"]) <= 30
    assert answer.json()["retry_after"] == int(answer.headers["Retry-After"])


def test_a_status_can_be_changed(iottly_environment: EmulatorThread) -> None:
    """`install(statuses=...)` sets 503 for an offline device."""
    app = FastAPI(lifespan=lifespan())
    install(app, statuses={DeviceOfflineError: 503})

    @app.get("/")
    async def fail() -> None:
        raise DeviceOfflineError("it sleeps", retry_after=1.2)

    with TestClient(app) as client:
        answer = client.get("/")
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "2")


def test_the_session_can_be_replaced(iottly_emulator: EmulatorThread) -> None:
    """`dependency_overrides` works, also without a lifespan."""
    app = backend()
    config = Config(base_url=iottly_emulator.base_url)

    async def own() -> AsyncIterator[IottlySession]:
        async with IottlySession(iottly_emulator.api_key, config=config) as session:
            yield session

    app.dependency_overrides[get_session] = own
    assert TestClient(app).get("/fleet").json()["total"] == 3


def test_a_missing_lifespan_is_a_clear_error() -> None:
    """The error names `lifespan`."""
    with pytest.raises(RuntimeError, match="lifespan"):
        TestClient(backend()).get("/fleet")


async def test_one_session_serves_all_requests_and_is_closed(emulator: Emulator) -> None:
    """A worker opens one session for all requests, and closes it when it stops."""
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
    """An application whose only route calls the service and waits."""
    config = Config(base_url=emulator.base_url)
    app = FastAPI(
        lifespan=lifespan(
            lambda: IottlySession(emulator.api_key, config=config, limiter=RateLimiter())
        )
    )
    install(app)
    app.state.events = []
    app.state.ended = asyncio.Event()

    async def wait(session: IottlySession) -> str:
        try:
            await session.devices.page()
        except asyncio.CancelledError:
            app.state.events.append("cancelled")
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
async def test_a_client_that_disconnects_cancels_its_calls(
    emulator: Emulator, method: str, body: Any
) -> None:
    """The call to the service is cancelled, for requests with and without a body."""
    app = waiting(emulator)
    emulator.fault("stall", count=None)
    async with serving(app) as url:
        async with aiohttp.ClientSession(url) as http:
            request = asyncio.create_task(http.request(method, "/wait", json=body))
            await emulator.until_requests(1)
            request.cancel()
            with pytest.raises(asyncio.CancelledError):
                await request
        await app.state.ended.wait()
        assert app.state.events == ["cancelled"]
        emulator.clear_faults()


async def test_a_client_that_stays_gets_its_response(emulator: Emulator) -> None:
    """Watching for disconnects changes nothing for a client that waits."""
    app = waiting(emulator)
    async with serving(app) as url, aiohttp.ClientSession(url) as http:
        for _ in range(3):
            async with http.post("/wait", json={"n": 1}) as answer:
                assert await answer.json() == "done"
            async with http.get("/wait") as answer:
                assert await answer.json() == "done"
    assert app.state.events == []


@pytest.mark.parametrize("chunks", [1, 50])
async def test_a_large_body_is_read_in_chunks(chunks: int) -> None:
    """A handler reads a large upload in chunks, and the middleware does not disturb it."""
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
