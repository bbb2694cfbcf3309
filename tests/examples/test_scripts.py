"""The examples that are scripts, run as a user runs them, against an emulated cloud."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import duckdb
import pytest

from iottly_async.emulator import Emulator

EXAMPLES = Path(__file__).parents[2] / "examples"
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the examples handle signals")


@asynccontextmanager
async def running(*arguments: str, emulator: Emulator) -> AsyncIterator[Process]:
    """Python with these arguments as a process in the examples' folder, its output in one pipe."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-W", "error", *arguments),
        cwd=EXAMPLES,
        stdout=PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={
            **os.environ,
            "IOTTLY_API_KEY": emulator.api_key,
            "IOTTLY_BASE_URL": emulator.base_url,
            "IOTTLY_PROJECT": emulator.project_id,
        },
    )
    try:
        async with asyncio.timeout(30):
            yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def line(process: Process) -> str:
    """The next line that a process prints."""
    assert process.stdout is not None
    return (await process.stdout.readline()).decode().rstrip()


async def test_the_backend_starts_as_its_docstring_says(emulator: Emulator) -> None:
    """The command of the example serves the page, and ends cleanly."""
    command = ("--app-dir", str(EXAMPLES), "--factory", "fastapi_backend.main:create_app")
    async with running("-m", "uvicorn", *command, "--port", "0", emulator=emulator) as backend:
        while "Uvicorn running on " not in (said := await line(backend)):
            assert said, "it ended"
        url = said.partition("running on ")[2].split()[0]
        async with aiohttp.ClientSession(url) as http, http.get("/") as answer:
            assert answer.status == 200
        backend.send_signal(signal.SIGTERM)
        await backend.wait()


def warm(*degrees: float) -> list[dict[str, Any]]:
    """Messages with these temperatures."""
    return [{"payload": {"sensor_data_reading": {"temperature": value}}} for value in degrees]


async def test_the_service_tells_a_device_that_gets_too_warm(emulator: Emulator) -> None:
    """One command a time that the limit is passed, none for what is no reading, a clean end."""
    device, other, _ = emulator.device_ids
    async with running("service.py", "--limit", "40", emulator=emulator) as service:
        assert await line(service) == "listening, limit 40"
        emulator.append(other, [{"payload": "no reading"}, {"payload": {"t": 41}}])
        emulator.append(device, warm(39, 41, 39.5, 40.5, 36, 42))
        assert await line(service) == f"{device} is at 41, and was told"
        assert await line(service) == f"{device} is at 42, and was told"
        service.send_signal(signal.SIGTERM)
        assert await line(service) == "stopped"
        assert await service.wait() == 0
    bodies = [command.body["values"] for command in emulator.commands]
    assert bodies == [{"echo.content": "too warm: 41"}, {"echo.content": "too warm: 42"}]


async def test_the_service_misses_nothing_while_its_connection_is_away(emulator: Emulator) -> None:
    """What was sent between two connections is seen all the same."""
    device = emulator.device_ids[0]
    options = ("--limit", "40", "--settle", "0.2")
    async with running("service.py", *options, emulator=emulator) as service:
        assert await line(service) == "listening, limit 40"
        emulator.drop_streams()
        emulator.append(device, warm(41))
        while (said := await line(service)).startswith("the stream"):
            pass  # that it is down, and connects again
        assert said == f"{device} is at 41, and was told"


async def test_the_service_says_why_it_cannot_listen(emulator: Emulator) -> None:
    """A key that is not accepted ends it with an error."""
    emulator.fault("status", status=401, count=None)
    async with running("service.py", emulator=emulator) as service:
        assert service.stdout is not None
        text = (await service.stdout.read()).decode()
        assert await service.wait() == 1
    assert "UnauthorizedError" in text
    assert emulator.api_key not in text


async def test_the_job_fetches_all_and_then_what_is_new(emulator: Emulator, tmp_path: Path) -> None:
    """Run twice, the second run has nothing to add, and every message is there once."""
    file = tmp_path / "telemetry.duckdb"
    stored = sum(len(emulator.stored(device)) for device in emulator.device_ids)
    for new in (stored, 0):
        async with running("ingest_job.py", str(file), emulator=emulator) as job:
            assert (await line(job)).startswith(f"{new} new messages in ")
            assert await job.wait() == 0
    with duckdb.connect(str(file), read_only=True) as database:
        found = database.execute("SELECT count(*), count(DISTINCT key) FROM messages").fetchone()
    assert found == (stored, stored)


async def test_the_job_tells_which_device_failed(emulator: Emulator, tmp_path: Path) -> None:
    """A device that cannot be read is named, and the exit code says that the job is not done."""
    path = f"/v1.0/project/*/device/{emulator.device_ids[1]}/messages/paginated"
    emulator.fault("status", status=403, route=path, count=None)
    async with running("ingest_job.py", str(tmp_path / "t.jsonl"), emulator=emulator) as job:
        assert job.stdout is not None
        text = (await job.stdout.read()).decode()
        assert await job.wait() == 1
    assert f"{emulator.device_ids[1]} failed: " in text
