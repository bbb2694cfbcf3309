"""Generation v1: devices, commands and their results."""

from datetime import UTC, datetime
from typing import Any

import aiohttp
import pytest

from iottly_async.emulator import Emulator

from .conftest import Api


@pytest.fixture
async def thirty(http: aiohttp.ClientSession) -> Any:
    """Raw requests to a fleet of thirty devices."""
    async with Emulator(devices=30, messages=300) as emulator:
        yield Api(emulator, http)


async def test_pages(thirty: Api) -> None:
    """A page has twenty devices by default, and `meta` says how many there are in all."""
    first, second = [(await thirty.get(f"/v1/devices?page={n}")).json for n in (1, 2)]
    assert first["meta"] == {"total": 30, "page": 1, "per_page": 20}
    assert second["meta"] == {"total": 30, "page": 2, "per_page": 20}
    ids = [device["id"] for device in first["data"] + second["data"]]
    assert ids == thirty.emulator.fleet_ids


async def test_a_page_beyond_the_last(thirty: Api) -> None:
    """A page after the last is empty, not an error."""
    answer = await thirty.get("/v1/devices?page=3")
    assert (answer.status, answer.json["data"]) == (200, [])


@pytest.mark.parametrize(
    "query",
    ["page=0", "page=x", "page=2147483648", "per_page=0", "per_page=101", "page=-1", "per_page="],
)
async def test_a_page_that_is_refused(api: Api, query: str) -> None:
    """A page number or size that is out of bounds is 400 with its code."""
    answer = await api.get(f"/v1/devices?{query}")
    assert (answer.status, answer.json["error"]["code"]) == (400, "invalid_request")


async def test_a_device(api: Api) -> None:
    """A device has the documented fields, and was last seen when its newest message came."""
    device = (await api.get(api.fleet_device)).json
    newest = api.emulator.stored(api.emulator.device_ids[0])[-1]["timestamp"]
    assert device["id"] == api.emulator.fleet_ids[0]
    assert device["project_id"] == api.emulator.fleet_project_id
    assert device["project_id"].startswith("prj_")
    assert device["status"] == "online"
    assert datetime.fromisoformat(device["last_seen_at"]) == newest.replace(microsecond=0)


async def test_a_device_without_messages(empty: Api) -> None:
    """A device without messages has never been seen."""
    assert (await empty.get(empty.fleet_device)).json["last_seen_at"] is None


@pytest.mark.parametrize(
    ("path", "code"),
    [("/v1/devices/dev_none", "device_not_found"), ("/v1/commands/cmd_none", "command_not_found")],
)
async def test_unknown(api: Api, path: str, code: str) -> None:
    """An unknown device or command is 404 with a code of its own."""
    answer = await api.get(path)
    assert (answer.status, answer.json["error"]["code"]) == (404, code)


async def test_the_progress_of_a_command(api: Api) -> None:
    """A command is pending, then running, then completed, by the server's clock."""
    api.emulator.clock.pin(datetime(2026, 5, 6, 14, 22, 45, tzinfo=UTC))
    body = {"command": "uptime", "timeout_s": 10}
    sent = (await api.ask("POST", f"{api.fleet_device}/commands", json=body)).json
    assert sent == {"command_id": sent["command_id"], "status": "pending"}
    path = f"/v1/commands/{sent['command_id']}"
    seen = []
    for step in (0, 0.05, 0.1):
        api.emulator.clock.advance(step)
        seen.append((await api.get(path)).json)
    assert [answer["status"] for answer in seen] == ["pending", "running", "completed"]
    assert seen[0]["exit_code"] is None
    assert seen[-1] == {
        "command_id": sent["command_id"],
        "status": "completed",
        "exit_code": 0,
        "stdout": " 14:22:45 up 12 days,  3:11,  0 users,  load average: 0.02",
        "stderr": "",
        "completed_at": "2026-05-06T14:22:45Z",
    }


@pytest.mark.parametrize(
    ("command", "code", "stdout"),
    [
        ("echo hello 'big state'", 0, "hello big state\n"),
        ("false", 1, ""),
        ("exit 42", 42, ""),
        ("reboot-now", 127, ""),
        ("echo 'open", 2, ""),
        ("sleep 60", 124, ""),
    ],
)
async def test_how_a_command_ends(api: Api, command: str, code: int, stdout: str) -> None:
    """A command's text decides its exit code and output."""
    api.emulator.clock.pin()
    body = {"command": command, "timeout_s": 5}
    sent = (await api.ask("POST", f"{api.fleet_device}/commands", json=body)).json
    api.emulator.clock.advance(5.1)
    result = (await api.get(f"/v1/commands/{sent['command_id']}")).json
    assert (result["status"], result["exit_code"], result["stdout"]) == ("completed", code, stdout)


async def test_an_offline_device(api: Api) -> None:
    """A device that is not connected answers `device_offline` and executes nothing."""
    api.emulator.set_connected(api.emulator.device_ids[0], False)
    answer = await api.ask("POST", f"{api.fleet_device}/commands", json={"command": "uptime"})
    assert (answer.status, answer.json["error"]["code"]) == (409, "device_offline")
    assert api.emulator.commands == []
    assert (await api.get(api.fleet_device)).json["status"] == "offline"
    assert (await api.get(f"{api.device}/props")).json["operatingstatus"] == "disconnected"


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"command": ""},
        {"command": 5},
        {"command": "x" * 5000},
        {"command": "uptime", "timeout_s": 0},
        {"command": "uptime", "timeout_s": "10"},
        {"command": "uptime", "timeout_s": None},
        {"command": "uptime", "timeout_s": True},
        {"command": "uptime", "timeout_s": 1e9},
    ],
)
async def test_a_command_that_is_refused(api: Api, body: dict[str, Any]) -> None:
    """A body that is not a valid command is 400, and nothing is executed."""
    answer = await api.ask("POST", f"{api.fleet_device}/commands", json=body)
    assert (answer.status, answer.json["error"]["code"]) == (400, "invalid_request")
    assert api.emulator.commands == []
