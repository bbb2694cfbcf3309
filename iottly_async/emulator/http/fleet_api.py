"""Generation v1: devices, commands and their results."""

from typing import Any

from aiohttp import web

from ..commands import Execution
from ..fleet.devices import Device
from ..state import EmulatorState
from ..times import second_text
from .answers import HttpError, json_answer
from .call import MAX_PAGE, Call

PER_PAGE = 20
MAX_PER_PAGE = 100
MAX_COMMAND = 4096
MAX_TIMEOUT = 3600


async def devices(call: Call) -> web.Response:
    """``GET devices?page=&per_page=``; a page after the last is empty."""
    page = call.whole_number("page", 1, 1, MAX_PAGE)
    size = call.whole_number("per_page", PER_PAGE, 1, MAX_PER_PAGE)
    every = call.state.fleet.devices
    found = every[(page - 1) * size : page * size]
    return json_answer(
        {
            "data": [_described(call, device) for device in found],
            "meta": {"total": len(every), "page": page, "per_page": size},
        }
    )


async def device(call: Call) -> web.Response:
    """``GET devices/<id>``."""
    return json_answer(_described(call, call.fleet_device()))


async def command(call: Call) -> web.Response:
    """``POST devices/<id>/commands``; 409 with code ``device_offline`` if it is not connected."""
    found = call.fleet_device()
    execution = accept_command(call.state, found, await call.json_object())
    return json_answer({"command_id": execution.id, "status": "pending"})


def accept_command(state: EmulatorState, device: Device, body: dict[str, Any]) -> Execution:
    """Let a device execute a v1 command; ``HttpError`` if the body is wrong or it is offline."""
    text = body.get("command")
    if not isinstance(text, str) or not 1 <= len(text) <= MAX_COMMAND:
        raise HttpError(400, f"command must be a text of 1 to {MAX_COMMAND} characters.")
    if "timeout_s" in body and not _is_timeout(body["timeout_s"]):
        raise HttpError(400, f"timeout_s must be a number above 0, up to {MAX_TIMEOUT}.")
    if not device.connected:
        raise HttpError(409, "The device is not currently connected.", code="device_offline")
    return state.start_command(device, body)


async def result(call: Call) -> web.Response:
    """``GET commands/<id>``: how far the command has come by the server's clock."""
    execution = call.state.executions.get(call.params["command"])
    if execution is None:
        raise HttpError(404, "There is no such command.", code="command_not_found")
    return json_answer(execution.as_json(call.state.clock.now_ms()))


def _is_timeout(value: object) -> bool:
    return (
        isinstance(value, int | float) and not isinstance(value, bool) and 0 < value <= MAX_TIMEOUT
    )


def _described(call: Call, device: Device) -> dict[str, Any]:
    seen = call.state.store.last_seen(device.number)
    described: dict[str, Any] = {
        "id": device.fleet_id,
        "name": device.name,
        "project_id": call.state.fleet.fleet_project_id,
        "status": "online" if device.connected else "offline",
        "last_seen_at": None if seen is None else second_text(seen),
    }
    if call.state.settings.extra_fields:
        described |= {"firmware": device.agent_version, "labels": ["emulated"]}
    return described
