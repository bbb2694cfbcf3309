"""Mocks of aiohttp that others wrote: they see every call, and nothing reaches the service."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final
from unittest.mock import Mock

import pytest
from aiohttp import ClientResponse

from iottly_async import (
    CommandOutcomeUnknownError,
    Config,
    ConnectionLostError,
    IottlySession,
    Message,
    NotFoundError,
    RateLimiter,
    RetryPolicy,
)
from iottly_async.emulator import Emulator
from tests.support.canary import CANARY
from tests.support.openapi import OPERATIONS

PAGE: Final = OPERATIONS["paginated"].value["responses"]["200"]["content"]["application/json"]
MESSAGES: Final = json.dumps(PAGE["example"])
DEVICE: Final = PAGE["example"]["messages"][0]["from"]
PROJECT: Final = PAGE["example"]["messages"][0]["to"]
PONG: Final = {"status": "pong"}
SENT: Final = {"command_id": "cmd_1", "status": "pending"}
UNAVAILABLE: Final = {"error": "try again"}


@pytest.fixture
async def emulator() -> AsyncIterator[Emulator]:
    """The service, with one device."""
    async with Emulator(devices=1, messages=250, api_keys=(CANARY,)) as emulator:
        yield emulator


def session_on(address: str) -> IottlySession:
    """A session that tries twice, at once."""
    retry = RetryPolicy(max_attempts=2, initial_delay=0.001, max_delay=0.001)
    config = Config(base_url=address, retry=retry, patience=0)
    return IottlySession(CANARY, config=config, limiter=RateLimiter())


async def walk(session: IottlySession, project_id: str, device_id: str) -> list[Message]:
    """All messages of a device."""
    messages = session.project(project_id).messages
    return [message async for message in messages.walk(device_id, order="desc")]


def with_query(url: str) -> re.Pattern[str]:
    """A pattern that matches an address with any query."""
    return re.compile(re.escape(url) + r"\?.*")


# -- aiointercept ----------------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_aiointercept_sees_every_call(emulator: Emulator, scheme: str) -> None:
    """Reads, commands, retries and walks are answered by aiointercept, by http and by https.

    A connection to the service that is open already is not used meanwhile. A request that
    aiointercept does not know fails as a lost connection.
    """
    tool = pytest.importorskip("aiointercept", reason="pip install aiointercept")
    address = emulator.base_url.replace("http://127.0.0.1", f"{scheme}://localhost")
    async with session_on(address) as session:
        if scheme == "http":
            await session.ping()
        seen = len(emulator.requests)
        async with tool.aiointercept(mock_external_urls=True) as mock:
            mock.get(f"{address}/v1.0/project/ping", status=503, payload=UNAVAILABLE)
            mock.get(f"{address}/v1.0/project/ping", payload=PONG)
            mock.post(f"{address}/v1/devices/dev_1/commands", payload=SENT)
            page = f"{address}/v1.0/project/{PROJECT}/device/{DEVICE}/messages/paginated"
            mock.get(with_query(page), body=MESSAGES, content_type="application/json")
            await session.ping()
            assert (await session.commands.send("dev_1", "uptime")).id == "cmd_1"
            assert len(await walk(session, PROJECT, DEVICE)) == 2
            with pytest.raises(ConnectionLostError):
                await session.devices.get("dev_2")
        assert len(emulator.requests) == seen
        if scheme == "http":
            await session.ping()
            assert len(emulator.requests) == seen + 1


# -- aioresponses ----------------------------------------------------------------------------------


class WrittenResponse(ClientResponse):
    """A response that needs no writer.

    aioresponses 0.7.9 gives none, and aiohttp 3.14 needs one (its issue 289).
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        options.setdefault("stream_writer", Mock(output_size=0))
        super().__init__(*arguments, **options)


async def test_aioresponses_sees_every_call(emulator: Emulator) -> None:
    """Reads, commands, retries and walks are answered by aioresponses.

    A request that it does not know fails as a lost connection, a command with an unknown outcome.
    """
    tool = pytest.importorskip("aioresponses", reason="pip install aioresponses")
    kind: Any = {"response_class": WrittenResponse}
    address = emulator.base_url
    async with session_on(address) as session:
        await session.ping()
        with tool.aioresponses() as mock:
            mock.get(f"{address}/v1.0/project/ping", status=503, payload=UNAVAILABLE, **kind)
            mock.get(f"{address}/v1.0/project/ping", payload=PONG, **kind)
            mock.post(f"{address}/v1/devices/dev_1/commands", payload=SENT, **kind)
            page = f"{address}/v1.0/project/{PROJECT}/device/{DEVICE}/messages/paginated"
            mock.get(with_query(page), body=MESSAGES, **kind)
            await session.ping()
            assert (await session.commands.send("dev_1", "uptime")).id == "cmd_1"
            assert len(await walk(session, PROJECT, DEVICE)) == 2
            with pytest.raises(ConnectionLostError):
                await session.devices.get("dev_2")
            with pytest.raises(CommandOutcomeUnknownError):
                await session.commands.send("dev_2", "uptime")
        assert len(emulator.requests) == 1
        await session.ping()
        assert len(emulator.requests) == 2


# -- vcrpy -----------------------------------------------------------------------------------------


async def calls(session: IottlySession, emulator: Emulator) -> tuple[Any, ...]:
    """Calls of every kind, with what they return."""
    project = session.project(emulator.project_id)
    await session.ping()
    with pytest.raises(NotFoundError):
        await session.devices.get("none")
    command = await session.commands.send(emulator.fleet_ids[0], "uptime")
    renamed = await project.devices.rename(emulator.device_ids[0], "pump")
    return command, renamed, await walk(session, emulator.project_id, emulator.device_ids[0])


async def test_vcrpy_plays_back_what_it_recorded(emulator: Emulator, tmp_path: Path) -> None:
    """A cassette has every request of reads, commands and walks, and answers them all again.

    With ``filter_headers``, it does not have the key. A request that it does not have is not sent.
    """
    vcr = pytest.importorskip("vcr", reason="pip install vcrpy")
    tape = vcr.VCR(filter_headers=["Authentication", "Authorization"])
    path = tmp_path / "cassette.yaml"
    async with session_on(emulator.base_url) as session:
        with tape.use_cassette(path):
            recorded = await calls(session, emulator)
        seen = len(emulator.requests)
        assert CANARY not in path.read_text("utf-8")
        with tape.use_cassette(path, record_mode="none") as cassette:
            assert await calls(session, emulator) == recorded
            assert cassette.all_played
            with pytest.raises(vcr.errors.CannotOverwriteExistingCassetteException):
                await session.devices.get("unknown")
        assert len(emulator.requests) == seen
    assert len(recorded[2]) == 250
