"""The control address, ``/_emulator/``: what a test in another process turns and reads.

It needs no key, but ``Host`` is checked like everywhere and a body must be declared as JSON, so
that no page in a browser can reach it. The package's docstring lists what it takes.
"""

import json
from collections.abc import Callable
from datetime import datetime
from typing import Any

import attrs
from aiohttp import web

from ..faults import Fault
from ..times import to_datetime, to_ms
from ..webhooks import Webhook
from ..world import World
from .answers import Refusal, json_answer, refuse
from .call import read_json_object

CONTROL = "/_emulator/"

_SEEDED = frozenset({"seed", "devices", "messages", "days", "until", "licenses", "jsonl"})
_SHORTEST_HEARTBEAT = 0.01
_WEBHOOK = frozenset(field.name for field in attrs.fields(Webhook))
_FAULT = frozenset(field.name for field in attrs.fields(Fault) if field.init)

Body = dict[str, Any]
Answerer = Callable[[Body], object]


class Control:
    """Answers the control address of one world."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._table: dict[tuple[str, str], Answerer] = {
            ("GET", "state"): lambda _: state_json(world),
            ("POST", "reset"): self._reset,
            ("POST", "seed"): self._seed,
            ("GET", "faults"): lambda _: [fault.as_json() for fault in world.faults.active],
            ("POST", "faults"): self._add_fault,
            ("DELETE", "faults"): self._clear_faults,
            ("GET", "clock"): lambda _: world.clock.as_json(),
            ("POST", "clock"): self._set_clock,
            ("GET", "requests"): lambda _: [r.as_json() for r in world.journal.requests],
            ("DELETE", "requests"): self._forget_requests,
            ("GET", "commands"): lambda _: [c.as_json() for c in world.journal.commands],
            ("POST", "append"): self._append,
            ("GET", "webhooks"): lambda _: [w.as_json() for w in world.webhooks.active],
            ("POST", "webhooks"): self._add_webhook,
            ("DELETE", "webhooks"): self._clear_webhooks,
            ("GET", "deliveries"): lambda _: [d.as_json() for d in world.webhooks.deliveries],
            ("GET", "streams"): lambda _: {"streams": world.streams.count},
            ("POST", "streams"): self._disturb,
        }

    async def handle(self, request: web.BaseRequest, path: str) -> web.Response:
        """Answer one request to the control address."""
        name = path.removeprefix(CONTROL)
        try:
            answerer = self._table.get((request.method, name))
            if answerer is None:
                raise self._nothing(name)
            body = await self._body(request)
            return json_answer(answerer(body))
        except Refusal as refusal:
            return refuse(None, refusal, 0)
        except (ValueError, TypeError, KeyError, OSError) as error:
            return refuse(None, Refusal(400, str(error.args[0]) if error.args else "wrong"), 0)

    def _nothing(self, name: str) -> Refusal:
        verbs = [verb for verb, known in self._table if known == name]
        if verbs:
            return Refusal(405, "method not allowed", headers={"Allow": ", ".join(verbs)})
        return Refusal(404, f"known are {', '.join(sorted({known for _, known in self._table}))}")

    async def _body(self, request: web.BaseRequest) -> Body:
        if request.method != "POST":
            return {}
        return await read_json_object(request, self._world.settings.max_body)

    def _reset(self, body: Body) -> object:
        _only(body, frozenset())
        self._world.reset()
        return state_json(self._world)

    def _seed(self, body: Body) -> object:
        _only(body, _SEEDED)
        if "until" in body:
            body["until"] = to_datetime(to_ms(body["until"]))
        self._world.reset(attrs.evolve(self._world.settings, **body))
        return state_json(self._world)

    def _add_fault(self, body: Body) -> object:
        _only(body, _FAULT)
        return self._world.faults.add(Fault(**body)).as_json()

    def _clear_faults(self, _: Body) -> object:
        self._world.faults.clear()
        self._world.stalls.release()
        self._world.streams.release()
        return []

    def _set_clock(self, body: Body) -> object:
        _only(body, frozenset({"offset", "pin", "unpin", "advance"}))
        clock = self._world.clock
        if body.get("unpin"):
            clock.unpin()
        if "offset" in body:
            clock.offset = float(body["offset"])
        if "pin" in body:
            clock.pin(None if body["pin"] is None else to_ms(body["pin"]))
        if "advance" in body:
            clock.advance(float(body["advance"]))
        return clock.as_json()

    def _forget_requests(self, _: Body) -> object:
        self._world.journal.forget_requests()
        return []

    def _add_webhook(self, body: Body) -> object:
        _only(body, _WEBHOOK)
        return self._world.webhooks.add(Webhook(**body)).as_json()

    def _clear_webhooks(self, _: Body) -> object:
        self._world.webhooks.clear()
        return []

    def _disturb(self, body: Body) -> object:
        _only(body, frozenset({"drop", "stall", "lose", "reverse", "heartbeat"}))
        streams = self._world.streams
        if "heartbeat" in body:
            streams.heartbeat = max(float(body["heartbeat"]), _SHORTEST_HEARTBEAT)
        if "lose" in body:
            streams.lose(int(body["lose"]))
        if "reverse" in body:
            streams.reverse(int(body["reverse"]))
        if "stall" in body:
            if body["stall"]:
                streams.stall()
            else:
                streams.release()
        if "drop" in body:
            streams.drop(body["drop"])
        return {"streams": streams.count}

    def _append(self, body: Body) -> object:
        _only(body, frozenset({"device_id", "messages", "late_by", "rate", "device_ids"}))
        if "rate" not in body:
            device = body.get("device_id")
            if not isinstance(device, str):
                raise ValueError("device_id: which device the messages come from")
            messages, late_by = body.get("messages", 1), body.get("late_by")
            return {"ids": self._world.append(device, messages, late_by=late_by)}
        if body["rate"]:
            self._world.appender.start(float(body["rate"]), body.get("device_ids"))
        else:
            self._world.appender.stop()
        return {"rate": self._world.appender.rate}


def _only(body: Body, known: frozenset[str]) -> None:
    unknown = sorted(set(body) - known)
    if unknown:
        taken = ", ".join(sorted(known)) or "none"
        raise ValueError(f"unknown field {unknown[0]!r}; known are: {taken}")


def state_json(world: World) -> dict[str, Any]:
    """What the emulator is and holds; without any key."""
    counts = world.store.counts()
    settings = {
        name: value
        for name, value in attrs.asdict(world.settings).items()
        if name not in ("api_keys", "host", "port")
    }
    return {
        "project_id": world.fleet.project_id,
        "devices": [
            {
                "id": device.id,
                "fleet_id": device.fleet_id,
                "name": device.name,
                "connected": device.connected,
                "messages": counts.get(device.number, 0),
            }
            for device in world.fleet.devices
        ],
        "messages": sum(counts.values()),
        "requests": world.journal.total,
        "commands": len(world.journal.commands),
        "faults": [fault.as_json() for fault in world.faults.active],
        "appending": world.appender.rate,
        "clock": world.clock.as_json(),
        "settings": json.loads(json.dumps(settings, default=_plain)),
    }


def _plain(value: object) -> object:
    if isinstance(value, frozenset):
        return sorted(value)
    return value.isoformat() if isinstance(value, datetime) else str(value)
