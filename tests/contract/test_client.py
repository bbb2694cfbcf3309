"""What the client sends is in the document, and it sends all that the document has."""

from __future__ import annotations

import pkgutil
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from importlib import import_module
from typing import Any, Final
from urllib.parse import parse_qsl, urlsplit

import pytest

import iottly_async.resources
from iottly_async import Config, IottlySession, RateLimiter
from iottly_async.emulator import Emulator
from iottly_async.transport import AiohttpTransport, Outgoing
from iottly_async.wire import Answer, Route
from tests.support.canary import CANARY
from tests.support.openapi import (
    OPERATIONS,
    Operation,
    answer_problems,
    operation_of,
    request_problems,
)

START: Final = datetime(2026, 4, 1, tzinfo=UTC)
END: Final = datetime(2026, 5, 1, 0, 0, 0, 250_000, UTC)


def routes() -> set[Route]:
    """The routes of every resource."""
    folder = iottly_async.resources
    modules = [
        import_module(f"{folder.__name__}.{m.name}") for m in pkgutil.iter_modules(folder.__path__)
    ]
    return {
        value for module in modules for value in vars(module).values() if isinstance(value, Route)
    }


def test_every_route_is_an_operation() -> None:
    """Each call of the SDK is one operation of the document, by method and path, and vice versa."""
    operations = [f"{operation.method} {operation.path}" for operation in OPERATIONS.values()]
    assert sorted(route.template for route in routes()) == sorted(operations)


class Recorder:
    """A transport that keeps what is sent and answered.

    Attributes:
        exchanges: each request with its answer.
    """

    def __init__(self, config: Config) -> None:
        self._inner = AiohttpTransport(config)
        self.exchanges: list[tuple[Outgoing, Answer]] = []

    async def send(self, outgoing: Outgoing) -> Answer:
        """Send one attempt."""
        answer = await self._inner.send(outgoing)
        self.exchanges.append((outgoing, answer))
        return answer

    async def aclose(self) -> None:
        """Close the connections."""
        await self._inner.aclose()


@pytest.fixture
async def emulator() -> AsyncIterator[Emulator]:
    """A fleet with enough messages for two pages, and with a millisecond that fills one."""
    async with Emulator(
        devices=2, messages=300, api_keys=(CANARY,), pending_for=0, running_for=0
    ) as emulator:
        tie = {"payload": {}, "timestamp": "2026-04-30T12:00:00.250"}
        emulator.append(emulator.device_ids[0], [tie] * 150)
        yield emulator


async def exchanges(emulator: Emulator, form: Any = "iso") -> list[tuple[Outgoing, Answer]]:
    """Make every call of the SDK, with every argument."""
    config = Config(base_url=emulator.base_url, timestamp_format=form)
    recorder, device = Recorder(config), emulator.device_ids[0]
    async with IottlySession(
        CANARY, config=config, http=recorder, limiter=RateLimiter()
    ) as session:
        await session.ping()
        project = session.project(emulator.project_id)
        await project.inspect()
        licenses = await project.licenses.list()
        await project.licenses.get(licenses[0].token)
        await project.devices.list()
        await project.devices.get(device)
        await project.devices.rename(device, "pump")
        await project.commands.send(device, "echo", {"content": "hi", "nested": {"a": [1, None]}})
        await project.messages.recent(device)
        await project.messages.recent(device, limit=5, query={"type": "userdefined"})
        await project.messages.page(device)
        await project.messages.page(
            device, number=2, size=10, start=START, end=END, type="userdefined", order="asc"
        )
        [_ async for _ in project.messages.walk(device, order="asc", type="userdefined")]
        [_ async for _ in project.messages.walk(device, order="desc")]
        [_ async for _ in session.devices.list()]
        await session.devices.page(2, per_page=1)
        await session.devices.get(emulator.fleet_ids[0])
        await session.commands.run(emulator.fleet_ids[0], "uptime")
    return recorder.exchanges


SECRETS: Final = {"projectKey": "Authentication", "fleetKey": "Authorization"}


def unused(operation: Operation, sent: list[Outgoing]) -> set[str]:
    """The query parameters of an operation that none of its requests has."""
    used = {name for outgoing in sent for name, _ in parse_qsl(urlsplit(outgoing.target).query)}
    return set(operation.query()) - used


@pytest.mark.parametrize("form", ["epoch-ms", "epoch-s", "iso", "iso-z"])
async def test_every_request_is_documented(emulator: Emulator, form: Any) -> None:
    """Path, query, body and credential of each request are in the document, in all forms of times.

    Each operation is called, and each parameter is used.
    """
    by_id: dict[str, list[Outgoing]] = {id_: [] for id_ in OPERATIONS}
    for outgoing, answer in await exchanges(emulator, form):
        operation = operation_of(outgoing.method, outgoing.target)
        by_id[operation.id].append(outgoing)
        assert request_problems(operation, outgoing.target, outgoing.body) == []
        (secured,) = operation.value["security"]
        assert {name for name, value in outgoing.headers.items() if CANARY in value} == {
            SECRETS[name] for name in secured
        }
        if outgoing.body is not None:
            assert outgoing.headers["Content-Type"] == "application/json"
        headers = {"Content-Type": answer.headers["content-type"]}
        assert answer_problems(operation, answer.status, headers, answer.body) == []
    assert {id_ for id_, sent in by_id.items() if not sent} == set()
    assert {
        id_: found for id_, sent in by_id.items() if (found := unused(OPERATIONS[id_], sent))
    } == {}


@pytest.mark.parametrize(
    ("target", "body", "problem"),
    [
        ("/v1/devices?page=1&per_page=200", None, "200 is greater than the maximum of 100"),
        ("/v1/devices?number=1", None, "unknown: number"),
        ("/v1/devices/dev_1/commands", b"{}", "'command' is a required property"),
        ("/v1/devices", b"{}", "no body"),
        ("/v1/devices/dev_1/commands", None, "a body is needed"),
    ],
)
def test_a_request_that_differs_is_found(target: str, body: bytes | None, problem: str) -> None:
    """The checks of these tests find a parameter or a body that the document does not have."""
    operation = operation_of("POST" if target.endswith("commands") else "GET", target)
    (found,) = request_problems(operation, target, body)
    assert problem in found
