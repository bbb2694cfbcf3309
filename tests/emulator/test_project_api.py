"""Generation v1.0 except for its messages."""

from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from iottly_async.emulator import Emulator

from .conftest import Api


async def test_inspect(api: Api) -> None:
    """A project has the six documented fields."""
    answer = await api.get(f"{api.project}/inspect")
    assert set(answer.json) == {
        "id",
        "name",
        "projectgetagenturl",
        "agentfile",
        "agentapihost",
        "board",
    }
    assert answer.json["id"] == api.emulator.project_id


@pytest.mark.parametrize("slash", ["", "/"])
async def test_licenses(api: Api, slash: str) -> None:
    """Each device has a paired licence, and the available ones have an empty board."""
    licenses = (await api.get(f"{api.project}/license{slash}")).json
    boards = [entry["board"] for entry in licenses.values() if entry["status"] == "paired"]
    assert [board["id"] for board in boards] == api.emulator.device_ids
    assert all(set(board) == {"macaddress", "operatingstatus", "id", "name"} for board in boards)
    available = [entry for entry in licenses.values() if entry["status"] == "available"]
    assert available == [{"status": "available", "board": {}}] * 5


async def test_one_license(api: Api) -> None:
    """A single licence is the same object with one entry."""
    licenses = (await api.get(f"{api.project}/license")).json
    for token, entry in licenses.items():
        assert (await api.get(f"{api.project}/license/{token}")).json == {token: entry}


async def test_unknown_license(api: Api) -> None:
    """An unknown token is 404."""
    assert (await api.get(f"{api.project}/license/none")).status == 404


async def test_devices(api: Api) -> None:
    """The list has a count, and each of its devices equals the answer of the single call."""
    answer = (await api.get(f"{api.project}/devices/props")).json
    assert (answer["count"], answer["errors"]) == (5, None)
    assert [device["ID"] for device in answer["devices"]] == api.emulator.device_ids
    for device in answer["devices"]:
        assert (await api.get(f"{api.project}/device/{device['ID']}/props")).json == device
        assert set(device) == {
            "macaddress",
            "name",
            "operatingstatus",
            "token",
            "agent_version",
            "ID",
        }


async def test_extra_fields(http: aiohttp.ClientSession) -> None:
    """With `extra_fields`, devices and messages have fields that the documents do not name."""
    async with Emulator(devices=1, messages=5, extra_fields=True) as emulator:
        api = Api(emulator, http)
        assert "deploymentgroup" in (await api.get(f"{api.device}/props")).json
        assert (await api.page(l=1)).json["messages"][0]["qos"] == 1
        assert (await api.get(api.history)).json["messages"][0]["gateway"] is None
        assert "labels" in (await api.get(api.fleet_device)).json


async def test_rename(api: Api) -> None:
    """A rename answers with the renamed device, and both generations show the name."""
    answer = await api.ask("PUT", f"{api.device}/props", json={"name": "caldaia è"})
    assert answer.json["name"] == "caldaia è"
    assert (await api.get(f"{api.device}/props")).json == answer.json
    assert (await api.get(api.fleet_device)).json["name"] == "caldaia è"


@pytest.mark.parametrize(
    "body", [{}, {"name": ""}, {"name": "  "}, {"name": 7}, {"name": "a\nb"}, {"name": "x" * 129}]
)
async def test_rename_refuses(api: Api, body: dict[str, Any]) -> None:
    """A name that is not allowed is 400, and the device keeps the old one."""
    before = (await api.get(f"{api.device}/props")).json
    assert (await api.ask("PUT", f"{api.device}/props", json=body)).status == 400
    assert (await api.get(f"{api.device}/props")).json == before


async def test_command(api: Api) -> None:
    """A declared command with prefixed keys is executed once, with the body as sent."""
    body = {"cmd_type": "echo", "values": {"echo.content": "hello!"}}
    assert (await api.ask("POST", f"{api.device}/command", json=body)).status == 200
    (command,) = api.emulator.commands
    assert (command.body, command.device_id) == (body, api.emulator.device_ids[0])


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ({"cmd_type": "reboot", "values": {"reboot.now": True}}, "not declared"),
        ({"cmd_type": "echo", "values": {"content": "hi"}}, "must begin with"),
        ({"cmd_type": "echo", "values": {"echo.": "hi"}}, "must begin with"),
        ({"cmd_type": "echo", "values": {"echo.a": 1, "read.b": 2}}, "must begin with"),
        ({"cmd_type": "echo"}, "values"),
        ({"cmd_type": "echo", "values": []}, "values"),
        ({"values": {}}, "cmd_type"),
    ],
)
async def test_command_refuses(api: Api, body: dict[str, Any], text: str) -> None:
    """An undeclared type or a key without its prefix is 400, and nothing is executed."""
    answer = await api.ask("POST", f"{api.device}/command", json=body)
    assert answer.status == 400
    assert text in answer.json["error"]
    assert api.emulator.commands == []


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, {"text": "hello", "led": {"color": "red", "blinks": 3}}),
        ({"text": "hi"}, {"text": "hi", "led": {"color": "red", "blinks": 3}}),
        ({"text": ""}, {"text": "hello", "led": {"color": "red", "blinks": 3}}),
        ({"text": None}, {"text": "hello", "led": {"color": "red", "blinks": 3}}),
        ({"text": 0}, {"text": 0, "led": {"color": "red", "blinks": 3}}),
        ({"text": False}, {"text": False, "led": {"color": "red", "blinks": 3}}),
        ({"led.color": "blue"}, {"text": "hello", "led": {"color": "blue", "blinks": 3}}),
        ({"led.blinks": None}, {"text": "hello", "led": {"color": "red", "blinks": 3}}),
        ({"new": 1}, {"text": "hello", "led": {"color": "red", "blinks": 3}, "new": 1}),
        ({"a.b": 1}, {"text": "hello", "led": {"color": "red", "blinks": 3}, "a": {"b": 1}}),
        ({"text.x": 1}, {"text": {"x": 1}, "led": {"color": "red", "blinks": 3}}),
    ],
)
async def test_declared_defaults(
    http: aiohttp.ClientSession, values: dict[str, Any], message: dict[str, Any]
) -> None:
    """A key that is missing, empty or null keeps its declared default; an unknown one is added."""
    async with Emulator(
        devices=1,
        messages=0,
        command_messages=True,
        command_types=frozenset({"show"}),
        command_defaults={"show": {"text": "hello", "led": {"color": "red", "blinks": 3}}},
    ) as emulator:
        api = Api(emulator, http)
        body = {
            "cmd_type": "show",
            "values": {f"show.{name}": value for name, value in values.items()},
        }
        for _ in range(2):
            assert (await api.ask("POST", f"{api.device}/command", json=body)).status == 200
        assert [c.message for c in emulator.commands] == [{"show": message}] * 2
        assert [c.body for c in emulator.commands] == [body] * 2
        payloads = [row["payload"] for row in emulator.stored(emulator.device_ids[0])]
        assert [payload["message"] for payload in payloads] == [{"show": message}] * 2


async def test_empty_values_as_given(http: aiohttp.ClientSession) -> None:
    """By a setting, empty and null values reach the device as they are (D15)."""
    async with Emulator(devices=1, messages=0, empty_values="as-given") as emulator:
        api = Api(emulator, http)
        body = {"cmd_type": "echo", "values": {"echo.content": "", "echo.other": None}}
        await api.ask("POST", f"{api.device}/command", json=body)
        assert emulator.commands[0].message == {"echo": {"content": "", "other": None}}


async def test_an_undeclared_type_may_be_500(http: aiohttp.ClientSession) -> None:
    """By a setting, an undeclared type and an unknown device are 500, as in the ancestor (D16)."""
    async with Emulator(devices=1, messages=0, undeclared_status=500) as emulator:
        api = Api(emulator, http)
        echo = {"cmd_type": "echo", "values": {}}
        for path, body, status in (
            (f"{api.device}/command", {"cmd_type": "reboot", "values": {}}, 500),
            (f"{api.project}/device/none/command", echo, 500),
            (f"{api.device}/command", {"cmd_type": "echo", "values": {"content": 1}}, 400),
            (f"{api.device}/command", echo, 200),
        ):
            answer = await api.ask("POST", path, json=body)
            assert answer.status == status
            if status == 500:
                assert answer.json == {"error": "list index out of range"}
        assert len(emulator.commands) == 1


async def test_a_command_to_a_disconnected_device(http: aiohttp.ClientSession) -> None:
    """A command to a disconnected device is accepted; the device gets and sends nothing."""
    async with Emulator(devices=1, messages=0, command_messages=True) as emulator:
        api = Api(emulator, http)
        emulator.set_connected(emulator.device_ids[0], False)
        body = {"cmd_type": "echo", "values": {}}
        assert (await api.ask("POST", f"{api.device}/command", json=body)).status == 200
        assert [command.delivered for command in emulator.commands] == [False]
        assert emulator.stored(emulator.device_ids[0]) == []


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b'{"name": "a"}', "text/plain"),
        (b'{"name": "a"', "application/json"),
        (b'["name"]', "application/json"),
        (b"", "application/json"),
        (b'{"name": NaN}', "application/json"),
        (b'{"name": "\xff"}', "application/json"),
        (b"[" * 100_000, "application/json"),
    ],
)
async def test_a_body_that_is_no_json_object(api: Api, body: bytes, content_type: str) -> None:
    """A body of another type, or one that is not a JSON object, is 400."""
    name = {"Authentication": f"bearer {api.emulator.api_key}", "Content-Type": content_type}
    answer = await api.ask("PUT", f"{api.device}/props", data=body, headers=name)
    assert (answer.status, list(answer.json)) == (400, ["error"])


@pytest.mark.parametrize("path", ["props", "messages/paginated"])
async def test_unknown_device(api: Api, path: str) -> None:
    """A device that does not exist is 404."""
    answer = await api.get(f"{api.project}/device/no-such-device/{path}")
    assert (answer.status, answer.json) == (404, {"error": "device not found"})


async def test_a_command_may_be_answered_by_a_message(http: aiohttp.ClientSession) -> None:
    """With `command_messages`, a device sends a message for each executed command."""
    async with Emulator(devices=1, messages=0, command_messages=True) as emulator:
        api = Api(emulator, http)
        body = {"cmd_type": "echo", "values": {"echo.content": "hi"}}
        await api.ask("POST", f"{api.device}/command", json=body)
        (message,) = emulator.stored(emulator.device_ids[0])
        assert message["payload"]["command"] == body
        assert message["type"] == "userdefined"


@pytest.mark.parametrize("chunked", [False, True])
async def test_a_large_body(http: aiohttp.ClientSession, chunked: bool) -> None:
    """A body that is too large is 413, whether it declares its length or not."""

    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(40):
            yield b" " * 100

    async with Emulator(devices=1, messages=0, max_body=2000) as emulator:
        api = Api(emulator, http)
        headers = {
            "Authentication": f"bearer {emulator.api_key}",
            "Content-Type": "application/json",
        }
        body = chunks() if chunked else b" " * 4000
        answer = await api.ask("PUT", f"{api.device}/props", data=body, headers=headers)
        assert answer.status == 413
