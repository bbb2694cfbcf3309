"""Prism: a mock that others wrote answers every call of the SDK from the document alone.

It refuses a request that is not as documented with an error of the documented form.
"""

from __future__ import annotations

import asyncio
import shutil
import socket
from collections.abc import AsyncIterator
from contextlib import closing
from datetime import UTC, datetime
from typing import Final

import pytest

from iottly_async import BadRequestError, Config, Hooks, IottlySession, RateLimiter
from tests.support.canary import CANARY
from tests.support.openapi import DOCUMENT, OPERATIONS, SOURCE

PRISM: Final = shutil.which("prism")
pytestmark = pytest.mark.skipif(PRISM is None, reason="npm install @stoplight/prism-cli")

PARAMETERS: Final = DOCUMENT["components"]["parameters"]
PROJECT: Final = PARAMETERS["Project"]["example"]
DEVICE: Final = PARAMETERS["Device"]["example"]
FLEET_DEVICE: Final = PARAMETERS["FleetDevice"]["example"]
START, END = datetime(2018, 7, 1, tzinfo=UTC), datetime(2018, 8, 1, tzinfo=UTC)


@pytest.fixture
async def mock() -> AsyncIterator[str]:
    """Prism, with the document; yields its address."""
    with closing(socket.create_server(("127.0.0.1", 0))) as free:
        port = free.getsockname()[1]
    assert PRISM is not None
    command = (PRISM, "mock", "--errors", "--host", "127.0.0.1", "--port", str(port), str(SOURCE))
    prism = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    assert prism.stdout is not None
    said = b""
    while b"listening on" not in said:
        line = await prism.stdout.readline()
        assert line, said.decode()
        said += line
    rest = asyncio.create_task(prism.stdout.read())
    yield f"http://127.0.0.1:{port}"
    prism.terminate()
    await rest
    await prism.wait()


def session_on(address: str, hooks: Hooks | None = None) -> IottlySession:
    """A session with a limiter of its own."""
    config = Config(base_url=address)
    return IottlySession(CANARY, config=config, limiter=RateLimiter(), hooks=hooks)


async def test_every_call_is_answered(mock: str) -> None:
    """Each call of the SDK gets the document's example, and reads it."""
    called: set[str] = set()
    hooks = Hooks(request=lambda event: called.add(event.route))
    async with session_on(mock, hooks) as session:
        project = session.project(PROJECT)
        await session.ping()
        assert (await project.inspect()).board == "Linux ARMv5"
        first, second = await project.licenses.list()
        assert (first.board is not None, second.board) == (True, None)
        assert await project.licenses.get(first.token) == first
        (device,) = await project.devices.list()
        assert device == await project.devices.get(DEVICE)
        assert device == await project.devices.rename(DEVICE, "my-sensor-01")
        await project.commands.send(DEVICE, "echo", {"content": "hi"})
        (message,) = await project.messages.recent(DEVICE, limit=5, query={"type": "userdefined"})
        assert message.payload == {"sensor_data_reading": {"temperature": 37.4}}
        page = await project.messages.page(
            DEVICE, number=2, size=10, start=START, end=END, type="userdefined", order="asc"
        )
        walked = project.messages.walk(DEVICE, start=START, end=END, order="desc")
        assert [m.timestamp async for m in walked] == [m.timestamp for m in page.messages]
        (gateway,) = [each async for each in session.devices.list()]
        assert gateway == await session.devices.get(FLEET_DEVICE)
        result = await session.commands.run(FLEET_DEVICE, "uptime")
        assert (result.exit_code, result.status) == (0, "completed")
    assert called == {f"{each.method} {each.path}" for each in OPERATIONS.values()}


async def test_a_request_that_is_not_documented_is_refused(mock: str) -> None:
    """Prism holds requests against the document: an undocumented one is a `BadRequestError`."""
    async with session_on(mock) as session:
        with pytest.raises(BadRequestError):
            await session.project(PROJECT).devices.rename(DEVICE, "a\x07b")
