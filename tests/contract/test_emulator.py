"""The emulator's answers are as the document has them, errors included."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any, Final

import aiohttp
import pytest
from aiohttp import web
from attrs import field, frozen

from iottly_async.emulator import Emulator
from iottly_async.emulator.http.routes import ROUTES
from tests.support.canary import CANARY
from tests.support.openapi import DOCUMENT, OPERATIONS, answer_problems, problems


@frozen(kw_only=True)
class Case:
    """A request, and the status that it is answered with.

    Attributes:
        id: of the operation.
        status: of the answer.
        names: in the path, instead of those that the emulator has.
        query: of the request.
        body: JSON to send; None sends none.
        key: of the request.
    """

    id: str
    status: int = 200
    names: dict[str, str] = field(factory=dict)
    query: dict[str, str] = field(factory=dict)
    body: Any = None
    key: str = CANARY

    def __str__(self) -> str:
        return f"{self.id}-{self.status}"


BODIES: Final[dict[str, Any]] = {
    "rename": {"name": "pump"},
    "command": {"cmd_type": "echo", "values": {"echo.content": "hi"}},
    "fleet_command": {"command": "uptime", "timeout_s": 10},
}
IDS: Final = sorted(OPERATIONS)

CASES: Final = [
    *(Case(id=id_, body=BODIES.get(id_)) for id_ in IDS),
    *(Case(id=id_, status=401, key="wrong", body=BODIES.get(id_)) for id_ in IDS),
    *(
        Case(id=id_, status=status, names={name: "another"}, body=BODIES.get(id_))
        for name, status in (("project", 403), ("license", 404), ("device", 404), ("command", 404))
        for id_ in IDS
        if f"{{{name}}}" in OPERATIONS[id_].path
    ),
    Case(id="paginated", status=404, query={"from": "2099-01-01T00:00:00"}),
    Case(id="rename", status=400, body={"name": " "}),
    Case(id="command", status=400, body={"cmd_type": "unknown", "values": {}}),
    Case(id="history", status=400, query={"queryJson": "{"}),
    Case(id="paginated", status=400, query={"from": "yesterday"}),
    Case(id="fleet_devices", status=400, query={"page": "0"}),
    Case(id="fleet_command", status=400, body={"command": ""}),
    Case(id="fleet_command", status=409, body=BODIES["fleet_command"]),
]


class Service:
    """An emulator, and plain requests for the operations of the document."""

    def __init__(self, emulator: Emulator, http: aiohttp.ClientSession) -> None:
        self.emulator = emulator
        self._http = http
        self._names = {"project": emulator.project_id}

    async def check(self, case: Case) -> Any:
        """Send a request, and check its answer against the document.

        Returns:
            The answer's JSON.
        """
        operation, emulator = OPERATIONS[case.id], self.emulator
        if operation.path.startswith("/v1/"):
            device, credential = emulator.fleet_ids[0], {"Authorization": f"Bearer {case.key}"}
        else:
            device, credential = emulator.device_ids[0], {"Authentication": f"bearer {case.key}"}
        path = operation.path.format(**self._names | {"device": device} | case.names)
        async with self._http.request(
            operation.method,
            emulator.base_url + path,
            params=case.query,
            json=case.body,
            headers=credential,
        ) as answer:
            body = await answer.read()
        assert answer.status == case.status, body
        assert answer_problems(operation, answer.status, answer.headers, body) == []
        assert ("X-RateLimit-Remaining" in answer.headers) is (case.key == CANARY)
        return json.loads(body)

    async def find_names(self) -> None:
        """Ask for a licence and send a command, for the paths that need one."""
        licenses = await self.check(Case(id="licenses"))
        sent = await self.check(Case(id="fleet_command", body=BODIES["fleet_command"]))
        self._names |= {"license": next(iter(licenses)), "command": sent["command_id"]}


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    """An HTTP client session."""
    async with aiohttp.ClientSession() as session:
        yield session


@pytest.fixture
async def service(http: aiohttp.ClientSession) -> AsyncIterator[Service]:
    """A small emulator with a rate limit."""
    async with Emulator(
        devices=2, messages=40, api_keys=(CANARY,), rate_limit=600, extra_fields=True
    ) as emulator:
        service = Service(emulator, http)
        await service.find_names()
        yield service


def test_they_have_the_same_routes() -> None:
    """Each route of the emulator is an operation of the document, and each operation a route.

    Only the stream is missing, for which OpenAPI has no words, and a second way to write one path.
    """
    routes = {(route.name, route.method, route.path) for route in ROUTES}
    names = {(operation.id, operation.method, operation.path) for operation in OPERATIONS.values()}
    assert names <= routes
    assert {(name, path) for name, _, path in routes - names} == {
        ("stream", "/v1/stream"),
        ("licenses", "/v1.0/project/{project}/license/"),
    }


@pytest.mark.parametrize("case", CASES, ids=str)
async def test_an_answer_is_as_documented(service: Service, case: Case) -> None:
    """Status, headers and body of each answer are in the document."""
    if case.status == 409:
        service.emulator.set_connected(service.emulator.device_ids[0], False)
    await service.check(case)


def test_every_documented_refusal_is_tried() -> None:
    """Each error status of each operation is among the cases.

    429 and 5XX have tests of their own. The emulator has no 403 on v1, as one key has one project,
    and accepts every device id that can stand in a path.
    """
    tried = {(case.id, str(case.status)) for case in CASES}
    documented = {
        (id_, status)
        for id_, operation in OPERATIONS.items()
        for status in operation.value["responses"].keys() - {"200", "429", "5XX"}
        if not (status == "403" and operation.path.startswith("/v1/"))
    }
    assert documented - tried == set()


@pytest.mark.parametrize("id_", IDS)
async def test_a_refusal_by_the_rate_limit_is_as_documented(
    id_: str, http: aiohttp.ClientSession
) -> None:
    """A request beyond the limit is answered by 429 with ``Retry-After``, on both generations."""
    async with Emulator(
        devices=1, messages=0, api_keys=(CANARY,), rate_limit=1, retry_after=True
    ) as emulator:
        emulator.spend()
        service, names = Service(emulator, http), {"license": "none", "command": "none"}
        await service.check(Case(id=id_, status=429, names=names, body=BODIES.get(id_)))


@pytest.mark.parametrize("kind", ["html", "status"])
@pytest.mark.parametrize("id_", IDS)
async def test_a_failure_is_as_documented(id_: str, kind: str, http: aiohttp.ClientSession) -> None:
    """A server that fails answers in the form of its generation, and a proxy with a page."""
    async with Emulator(devices=1, messages=0, api_keys=(CANARY,)) as emulator:
        emulator.fault("html" if kind == "html" else "status", status=503, count=None)
        url = emulator.base_url + OPERATIONS[id_].path
        async with http.request(OPERATIONS[id_].method, url) as answer:
            body = await answer.read()
    assert answer.status == 503
    assert answer_problems(OPERATIONS[id_], 503, answer.headers, body) == []


@pytest.mark.parametrize("form", ["epoch-ms", "numberLong", "text"])
async def test_each_form_of_a_date_is_documented(form: Any, http: aiohttp.ClientSession) -> None:
    """The history is as documented whichever form its ``$date`` has (D7)."""
    async with Emulator(
        devices=1, messages=20, api_keys=(CANARY,), rate_limit=60, date_form=form
    ) as emulator:
        found = await Service(emulator, http).check(Case(id="history"))
    assert len(found["messages"]) == 10


@pytest.mark.parametrize("payload_only", [False, True])
async def test_a_webhook_is_as_documented(service: Service, payload_only: bool) -> None:
    """What the emulator posts to a webhook is in the document."""
    received: asyncio.Queue[Any] = asyncio.Queue()

    async def handle(request: web.BaseRequest) -> web.Response:
        received.put_nowait(await request.json())
        return web.Response()

    runner = web.ServerRunner(web.Server(handle), shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    emulator = service.emulator
    emulator.add_webhook(f"http://127.0.0.1:{runner.addresses[0][1]}/", payload_only=payload_only)
    emulator.append(emulator.device_ids[0], [{"payload": {"t": 1}, "channel": "c"}])
    body = await received.get()
    await runner.cleanup()
    schema = "Payload" if payload_only else "WebhookMessage"
    assert problems(f"/components/schemas/{schema}", body) == []
    place = "/webhooks/message/post/requestBody/content/application~1json/schema"
    assert problems(place, body) == []


async def test_the_emulator_serves_the_document(
    service: Service, http: aiohttp.ClientSession
) -> None:
    """``/_emulator/openapi.json`` is the document with the emulator's own address."""
    url = service.emulator.base_url
    async with http.get(f"{url}/_emulator/openapi.json") as answer:
        served = await answer.json()
    assert served.pop("servers") == [{"url": url, "description": "This emulator."}]
    assert served == {name: value for name, value in DOCUMENT.items() if name != "servers"}


async def test_other_machines_can_read_the_document(http: aiohttp.ClientSession) -> None:
    """It needs no control token, and names the host by which it was asked."""
    async with Emulator(
        devices=1, messages=0, allowed_hosts=("emulator.test",), control_token="a-secret-token"
    ) as emulator:
        url, named = f"{emulator.base_url}/_emulator/openapi.json", {"Host": "emulator.test:8123"}
        async with http.get(url, headers=named) as answer:
            served = await answer.json()
    assert served["servers"][0]["url"] == "http://emulator.test:8123"
