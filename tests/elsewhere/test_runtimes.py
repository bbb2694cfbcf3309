"""The library in the event loops and frameworks of others."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from iottly_async import IottlySession
from iottly_async.emulator import EmulatorThread
from tests.support.canary import CANARY


@pytest.fixture
def emulator(monkeypatch: pytest.MonkeyPatch) -> Iterator[EmulatorThread]:
    """The service, which the environment names."""
    with EmulatorThread(devices=4, messages=2000, api_keys=(CANARY,)) as emulator:
        monkeypatch.setenv("IOTTLY_API_KEY", CANARY)
        monkeypatch.setenv("IOTTLY_BASE_URL", emulator.base_url)
        yield emulator


async def count(project_id: str, device_id: str) -> int:
    """Count a device's messages by a walk, in a session of its own."""
    async with IottlySession() as session:
        messages = session.project(project_id).messages
        return len([_ async for _ in messages.walk(device_id)])


async def use(emulator: EmulatorThread) -> None:
    """A walk, a command with its result, and a message of a stream."""
    device, fleet_device = emulator.device_ids[0], emulator.fleet_ids[0]
    assert await count(emulator.project_id, device) == len(emulator.stored(device))
    async with IottlySession() as session:
        result = await session.commands.run(fleet_device, "echo hi")
        assert result.stdout == "hi\n"
        async with session.stream() as stream:
            await stream.until_connected()
            emulator.append(device)
            async for message in stream.messages():
                assert message.device_id == device
                break


def test_uvloop(emulator: EmulatorThread) -> None:
    """Walks, commands and streams work in uvloop's event loop."""
    uvloop = pytest.importorskip("uvloop", reason="pip install uvloop")
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(use(emulator))


def test_anyio_on_asyncio(emulator: EmulatorThread) -> None:
    """Calls work in AnyIO's task groups, and a cancelled scope ends a walk."""
    anyio = pytest.importorskip("anyio", reason="pip install anyio")
    found: dict[str, int] = {}

    async def walk(device_id: str) -> None:
        found[device_id] = await count(emulator.project_id, device_id)

    async def main() -> None:
        async with anyio.create_task_group() as group:
            for device_id in emulator.device_ids:
                group.start_soon(walk, device_id)
        emulator.fault("stall", route="paginated", count=None)
        seen = len(emulator.requests)
        async with anyio.create_task_group() as group:
            group.start_soon(walk, emulator.device_ids[0])
            await anyio.to_thread.run_sync(emulator.until_requests, seen + 1)
            group.cancel_scope.cancel()

    anyio.run(main)
    assert found == {device: len(emulator.stored(device)) for device in emulator.device_ids}


def test_event_loops_in_threads(emulator: EmulatorThread) -> None:
    """Several threads, each with ``asyncio.run`` and a session, share one key."""
    with ThreadPoolExecutor(4) as pool:
        walks = pool.map(
            lambda device: asyncio.run(count(emulator.project_id, device)), emulator.device_ids
        )
        assert list(walks) == [len(emulator.stored(device)) for device in emulator.device_ids]


def test_taskiq(emulator: EmulatorThread) -> None:
    """A task of taskiq makes calls, and returns what they give."""
    taskiq = pytest.importorskip("taskiq", reason="pip install taskiq")
    broker = taskiq.InMemoryBroker(await_inplace=True)
    task: Any = broker.task(count)

    async def main() -> int:
        await broker.startup()
        sent = await task.kiq(emulator.project_id, emulator.device_ids[0])
        result = await sent.wait_result()
        await broker.shutdown()
        result.raise_for_error()
        found: int = result.return_value
        return found

    assert asyncio.run(main()) == len(emulator.stored(emulator.device_ids[0]))


CELLS = (
    "from iottly_async import IottlySession",
    "session = IottlySession()",
    "messages = session.project(PROJECT).messages",
    "found = [message async for message in messages.walk(DEVICE)]",
    "found[-1]",
    "await session.aclose()\nlen(found)",
)


def test_a_notebook(emulator: EmulatorThread) -> None:
    """Jupyter's cells await, walk and show messages, with a session that lives across cells."""
    nbclient = pytest.importorskip("nbclient", reason="pip install nbclient")
    nbformat = pytest.importorskip("nbformat", reason="pip install nbformat")
    pytest.importorskip("ipykernel", reason="pip install ipykernel")
    device = emulator.device_ids[0]
    names = f"PROJECT = {emulator.project_id!r}\nDEVICE = {device!r}"
    cells = [nbformat.v4.new_code_cell(cell) for cell in (names, *CELLS)]
    notebook = nbformat.v4.new_notebook(cells=cells)
    nbclient.NotebookClient(notebook, kernel_name="python3").execute()
    outputs = [output for cell in cells for output in cell.outputs]
    shown = [output["data"]["text/plain"] for output in outputs]
    assert shown[0].startswith("Message(")
    assert shown[1:] == [str(len(emulator.stored(device)))]


def test_django_asgi(emulator: EmulatorThread, monkeypatch: pytest.MonkeyPatch) -> None:
    """An asynchronous view of Django awaits calls, called by ASGI as a server does."""
    pytest.importorskip("django", reason="pip install django")
    testing: Any = pytest.importorskip("asgiref.testing", reason="pip install django")
    monkeypatch.setenv("IOTTLY_PROJECT", emulator.project_id)
    from .django_project import app

    async def get() -> tuple[int, list[dict[str, Any]]]:
        scope = {"type": "http", "method": "GET", "path": "/devices", "headers": []}
        request = testing.ApplicationCommunicator(app, scope)
        await request.send_input({"type": "http.request"})
        head = await request.receive_output(timeout=30)
        body = await request.receive_output(timeout=30)
        await request.wait(timeout=30)
        return head["status"], json.loads(body["body"])

    status, found = asyncio.run(get())
    assert status == 200
    assert [device["id"] for device in found] == emulator.device_ids
