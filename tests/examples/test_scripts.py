"""The example scripts, run as a user runs them, against the emulator."""

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
    """Run Python with these arguments in the examples' folder; stdout has stderr, too."""
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
    """The next line of a process's output."""
    assert process.stdout is not None
    return (await process.stdout.readline()).decode().rstrip()


async def test_the_command_of_the_backends_docstring_works(emulator: Emulator) -> None:
    """It serves the page, and ends on SIGTERM."""
    command = ("--app-dir", str(EXAMPLES), "--factory", "fastapi_backend.main:create_app")
    async with running("-m", "uvicorn", *command, "--port", "0", emulator=emulator) as backend:
        while "Uvicorn running on " not in (text := await line(backend)):
            assert text, "the process ended"
        url = text.partition("running on ")[2].split()[0]
        async with aiohttp.ClientSession(url) as http, http.get("/") as answer:
            assert answer.status == 200
        backend.send_signal(signal.SIGTERM)
        await backend.wait()


def readings(*degrees: float) -> list[dict[str, Any]]:
    """Rows with these temperatures."""
    return [{"payload": {"sensor_data_reading": {"temperature": value}}} for value in degrees]


async def test_the_service_sends_a_command_to_a_device_that_is_too_warm(emulator: Emulator) -> None:
    """It sends one command each time the limit is passed, and ends cleanly on SIGTERM."""
    device, other, _ = emulator.device_ids
    async with running("service.py", "--limit", "40", emulator=emulator) as service:
        assert await line(service) == "listening, limit 40"
        emulator.append(other, [{"payload": "no reading"}, {"payload": {"t": 41}}])
        emulator.append(device, readings(39, 41, 39.5, 40.5, 36, 42))
        assert await line(service) == f"{device} is at 41, and got the command"
        assert await line(service) == f"{device} is at 42, and got the command"
        service.send_signal(signal.SIGTERM)
        assert await line(service) == "stopped"
        assert await service.wait() == 0
    bodies = [command.body["values"] for command in emulator.commands]
    assert bodies == [{"echo.content": "too warm: 41"}, {"echo.content": "too warm: 42"}]


async def test_the_service_misses_no_reading_during_a_reconnect(emulator: Emulator) -> None:
    """A reading that was sent between two connections is handled."""
    device = emulator.device_ids[0]
    options = ("--limit", "40", "--settle", "0.2")
    async with running("service.py", *options, emulator=emulator) as service:
        assert await line(service) == "listening, limit 40"
        emulator.drop_streams()
        emulator.append(device, readings(41))
        while (text := await line(service)).startswith("the stream"):
            pass  # the library logs the reconnect
        assert text == f"{device} is at 41, and got the command"


async def test_the_service_ends_with_an_error_if_it_is_refused(emulator: Emulator) -> None:
    """If the key is not accepted, the exit code is 1 and the error is printed."""
    emulator.fault("status", status=401, count=None)
    async with running("service.py", emulator=emulator) as service:
        assert service.stdout is not None
        text = (await service.stdout.read()).decode()
        assert await service.wait() == 1
    assert "UnauthorizedError" in text
    assert emulator.api_key not in text


async def test_a_second_run_of_the_job_fetches_only_new_messages(
    emulator: Emulator, tmp_path: Path
) -> None:
    """The second run has nothing to add, and every message is stored once."""
    file = tmp_path / "telemetry.duckdb"
    stored = sum(len(emulator.stored(device)) for device in emulator.device_ids)
    for new in (stored, 0):
        async with running("ingest_job.py", str(file), emulator=emulator) as job:
            assert (await line(job)).startswith(f"{new} new messages in ")
            assert await job.wait() == 0
    with duckdb.connect(str(file), read_only=True) as database:
        found = database.execute("SELECT count(*), count(DISTINCT key) FROM messages").fetchone()
    assert found == (stored, stored)


async def test_the_job_names_a_device_that_failed(emulator: Emulator, tmp_path: Path) -> None:
    """A device that cannot be read is printed, and the exit code is 1."""
    path = f"/v1.0/project/*/device/{emulator.device_ids[1]}/messages/paginated"
    emulator.fault("status", status=403, route=path, count=None)
    async with running("ingest_job.py", str(tmp_path / "t.jsonl"), emulator=emulator) as job:
        assert job.stdout is not None
        text = (await job.stdout.read()).decode()
        assert await job.wait() == 1
    assert f"{emulator.device_ids[1]} failed: " in text
