"""Generation v1.0 except for its messages: ping, inspect, licences, devices, rename, command."""

import unicodedata
from typing import Any

from aiohttp import web

from ..fleet.devices import Device
from .answers import V1_0, HttpError, json_answer
from .call import Call

MAX_NAME = 128


async def ping(call: Call) -> web.Response:
    """``GET project/ping``."""
    return json_answer({"status": "pong"})


async def inspect(call: Call) -> web.Response:
    """``GET project/<P>/inspect``."""
    project_id = call.state.fleet.project_id
    return json_answer(
        {
            "id": project_id,
            "name": "emulated fleet",
            "projectgetagenturl": f"https://api.cloud.iottly.com/{project_id}/getagent",
            "agentfile": f"iottlyagent_{project_id}_linux_armv5.bin",
            "agentapihost": "api.cloud.iottly.com",
            "board": "Linux ARMv5",
        }
    )


async def licenses(call: Call) -> web.Response:
    """``GET project/<P>/license``: every licence, by its token."""
    fleet = call.state.fleet
    paired = {device.token: _paired(device) for device in fleet.devices}
    return json_answer(paired | dict.fromkeys(fleet.available, _AVAILABLE))


async def license_(call: Call) -> web.Response:
    """``GET project/<P>/license/<L>``: the same with one entry; 404 for an unknown token."""
    token, fleet = call.params["license"], call.state.fleet
    if token in fleet.by_token:
        return json_answer({token: _paired(fleet.by_token[token])})
    if token in fleet.available:
        return json_answer({token: _AVAILABLE})
    raise HttpError(404, "license not found")


async def devices(call: Call) -> web.Response:
    """``GET project/<P>/devices/props``."""
    found = [_props(call, device) for device in call.state.fleet.devices]
    return json_answer({"count": len(found), "errors": None, "devices": found})


async def device(call: Call) -> web.Response:
    """``GET project/<P>/device/<D>/props``."""
    return json_answer(_props(call, call.device()))


async def rename(call: Call) -> web.Response:
    """``PUT project/<P>/device/<D>/props``: the renamed device; 400 for a bad name."""
    found = call.device()
    name = (await call.json_object()).get("name")
    if not isinstance(name, str) or not 1 <= len(name.strip()) <= MAX_NAME:
        raise HttpError(400, f"name must be a text of 1 to {MAX_NAME} characters")
    if any(unicodedata.category(character) in ("Cc", "Cs") for character in name):
        raise HttpError(400, "name must not have control characters")
    found.name = name
    return json_answer(_props(call, found))


async def command(call: Call) -> web.Response:
    """``POST project/<P>/device/<D>/command``; the device need not be connected."""
    by_index = call.state.settings.undeclared_status == 500
    if by_index and call.params["device"] not in call.state.fleet.by_id:
        raise HttpError(500, _OUT_OF_RANGE)
    found = call.device()
    body = await call.json_object()
    kind, values = body.get("cmd_type"), body.get("values")
    if not isinstance(kind, str) or not kind:
        raise HttpError(400, "cmd_type must be a text")
    if kind not in call.state.settings.command_types:
        if by_index:
            raise HttpError(500, _OUT_OF_RANGE)
        raise HttpError(400, f"cmd_type {kind[:80]!r} is not declared in this project")
    if not isinstance(values, dict):
        raise HttpError(400, "values must be an object")
    for key in values:
        if not key.startswith(f"{kind}.") or key == f"{kind}.":
            raise HttpError(400, f"key {key[:80]!r} must begin with {kind + '.'!r} and a name")
    call.state.record_command(V1_0, found, body)
    return json_answer({"status": 200})


_OUT_OF_RANGE = "list index out of range"
_AVAILABLE: dict[str, Any] = {"status": "available", "board": {}}


def _paired(device: Device) -> dict[str, Any]:
    return {
        "status": "paired",
        "board": {
            "macaddress": device.mac,
            "operatingstatus": _status(device),
            "id": device.id,
            "name": device.name,
        },
    }


def _props(call: Call, device: Device) -> dict[str, Any]:
    props: dict[str, Any] = {
        "macaddress": device.mac,
        "name": device.name,
        "operatingstatus": _status(device),
        "token": device.token,
        "agent_version": device.agent_version,
        "ID": device.id,
    }
    if call.state.settings.extra_fields:
        props |= {
            "installing": False,
            "pair_code": None,
            "fwsyncstatus": {"synced": True},
            "deploymentgroup": "default",
        }
    return props


def _status(device: Device) -> str:
    return "connected" if device.connected else "disconnected"
