"""The control address ``/_emulator/``, for tests in another process.

It needs no API key. A page in a browser cannot reach it all the same: ``Host`` is checked as
everywhere, and a body must be declared as JSON. Where other machines can reach the emulator,
``ControlGuard`` decides who may use it; ``health`` and ``openapi.json`` answer everyone. The
docstring of ``iottly_async.emulator`` lists what it offers.
"""

import asyncio
import json
import stat
from collections.abc import Callable
from copy import copy
from datetime import datetime
from importlib.resources import files
from pathlib import Path
from typing import Any

import attrs
from aiohttp import web

from ..faults import Fault
from ..outage import ServiceOutage
from ..rows import load_json
from ..settings import MAX_SECONDS, check_number
from ..state import EmulatorState
from ..streams import check_code
from ..times import to_datetime, to_ms
from ..webhooks import Webhook
from .answers import HttpError, error_answer, json_answer
from .call import read_json_object
from .hosts import ControlGuard

CONTROL = "/_emulator/"
_PUBLIC = frozenset({"health", "openapi.json"})

_SEED_FIELDS = frozenset({"seed", "devices", "messages", "days", "until", "licenses", "jsonl"})
_APPEND_FIELDS = frozenset(
    {"device_id", "messages", "late_by", "raw", "timestamp", "rate", "device_ids"}
)
_WEBHOOK_FIELDS = frozenset(field.name for field in attrs.fields(Webhook))
_OUTAGE_FIELDS = frozenset(field.name for field in attrs.fields(ServiceOutage))
_FAULT_FIELDS = frozenset(field.name for field in attrs.fields(Fault) if field.init)

_SEED_BOUNDS = {"devices": 10_000, "messages": 1_000_000, "licenses": 100_000}
"""The largest fleet that the control address makes: nothing else is answered meanwhile."""
_MAX_FILE = 268_435_456  # bytes, for the same reason
_MAX_APPENDED = 100_000

Body = dict[str, Any]
ControlHandler = Callable[[Body], object]


class Control:
    """Answers requests to the control address."""

    def __init__(self, state: EmulatorState, guard: ControlGuard) -> None:
        self._state = state
        self._guard = guard
        self._transport: asyncio.BaseTransport | None = None
        self._address = ""
        self._table: dict[tuple[str, str], ControlHandler] = {
            ("GET", "health"): lambda _: {"status": "ok"},
            ("GET", "openapi.json"): self._document,
            ("GET", "state"): lambda _: state_json(state),
            ("POST", "reset"): self._reset,
            ("POST", "seed"): self._seed,
            ("GET", "faults"): lambda _: [fault.as_json() for fault in state.faults.active],
            ("POST", "faults"): self._add_fault,
            ("DELETE", "faults"): self._clear_faults,
            ("GET", "outage"): lambda _: _outage_json(state),
            ("POST", "outage"): self._begin_outage,
            ("DELETE", "outage"): self._end_outage,
            ("GET", "clock"): lambda _: state.clock.as_json(),
            ("POST", "clock"): self._set_clock,
            ("POST", "devices"): self._set_connected,
            ("GET", "requests"): lambda _: [r.as_json() for r in state.records.requests],
            ("DELETE", "requests"): self._forget_requests,
            ("GET", "commands"): lambda _: [c.as_json() for c in state.records.commands],
            ("POST", "append"): self._append,
            ("GET", "webhooks"): lambda _: [w.as_json() for w in state.webhooks.active],
            ("POST", "webhooks"): self._add_webhook,
            ("DELETE", "webhooks"): self._clear_webhooks,
            ("GET", "deliveries"): lambda _: [d.as_json() for d in state.webhooks.deliveries],
            ("GET", "streams"): lambda _: {"streams": state.streams.count},
            ("POST", "streams"): self._disturb_streams,
        }

    async def handle(self, request: web.BaseRequest, path: str) -> web.Response:
        """Answer one request."""
        name = path.removeprefix(CONTROL)
        try:
            if name not in _PUBLIC:
                self._guard.check(request)
            handler = self._table.get((request.method, name))
            if handler is None:
                raise self._no_such_name(name)
            body = await self._body(request)
            # No other request is handled until they are used.
            self._transport, self._address = request.transport, f"{request.scheme}://{request.host}"
            return json_answer(handler(body))
        except HttpError as error:
            return error_answer(None, error, 0)
        except (ValueError, TypeError, KeyError, OverflowError, OSError) as error:
            text = str(error.args[0] if isinstance(error, KeyError) else error)
            return error_answer(None, HttpError(400, text), 0)

    def _no_such_name(self, name: str) -> HttpError:
        methods = [method for method, known in self._table if known == name]
        if methods:
            return HttpError(405, "method not allowed", headers={"Allow": ", ".join(methods)})
        names = ", ".join(sorted({known for _, known in self._table}))
        return HttpError(404, f"no such name; there are {names}")

    async def _body(self, request: web.BaseRequest) -> Body:
        if request.method != "POST":
            return {}
        return await read_json_object(request, self._state.settings.max_body)

    def _document(self, _: Body) -> object:
        """The OpenAPI document of both generations, with this emulator as its server."""
        document: Body = load_json(files(__package__).joinpath("openapi.json").read_text("utf-8"))
        server = {"url": self._address, "description": "This emulator."}
        return document | {"servers": [server]}

    def _reset(self, body: Body) -> object:
        _only(body, frozenset())
        self._state.reset()
        return state_json(self._state)

    def _seed(self, body: Body) -> object:
        _only(body, _SEED_FIELDS)
        for field, most in _SEED_BOUNDS.items():
            if field in body:
                check_number(field, body[field], 0, most)
        if body.get("jsonl") is not None:
            _check_file(body["jsonl"])
        if "until" in body:
            body["until"] = to_datetime(to_ms(body["until"]))
        self._state.reset(attrs.evolve(self._state.settings, **body))
        return state_json(self._state)

    def _add_fault(self, body: Body) -> object:
        _only(body, _FAULT_FIELDS)
        return self._state.faults.add(Fault(**body)).as_json()

    def _clear_faults(self, _: Body) -> object:
        self._state.clear_faults()
        return []

    def _begin_outage(self, body: Body) -> object:
        _only(body, _OUTAGE_FIELDS)
        outage = ServiceOutage(**body)
        if outage.kind == "refuse" and outage.seconds is None:
            raise ValueError("seconds: needed, as a closed port cannot be told to open again")
        self._state.outages.begin(outage, spare=self._transport)
        return _outage_json(self._state)

    def _end_outage(self, _: Body) -> object:
        self._state.outages.end()
        return _outage_json(self._state)

    def _set_clock(self, body: Body) -> object:
        _only(body, frozenset({"offset", "stamp_offset", "pin", "unpin", "advance"}))
        clock = self._state.clock
        for changed in (copy(clock), clock):  # what is refused changes nothing
            if body.get("unpin"):
                changed.unpin()
            if "offset" in body:
                changed.offset = _number(body, "offset")
            if "stamp_offset" in body:
                changed.stamp_offset = _number(body, "stamp_offset")
            if "pin" in body:
                changed.pin(None if body["pin"] is None else to_ms(body["pin"]))
            if "advance" in body:
                changed.advance(_number(body, "advance"))
        return clock.as_json()

    def _set_connected(self, body: Body) -> object:
        _only(body, frozenset({"device_id", "connected"}))
        connected = body.get("connected")
        if not isinstance(connected, bool):
            raise ValueError("connected: must be true or false")  # noqa: TRY004 - a 400
        self._state.fleet.find(str(body.get("device_id"))).connected = connected
        return {"connected": connected}

    def _forget_requests(self, _: Body) -> object:
        self._state.records.forget_requests()
        return []

    def _add_webhook(self, body: Body) -> object:
        _only(body, _WEBHOOK_FIELDS)
        return self._state.webhooks.add(Webhook(**body)).as_json()

    def _clear_webhooks(self, _: Body) -> object:
        self._state.webhooks.clear()
        return []

    def _disturb_streams(self, body: Body) -> object:
        _only(body, frozenset({"drop", "stall", "lose", "reverse", "heartbeat"}))
        streams = self._state.streams
        for field in ("lose", "reverse", "heartbeat"):
            if field in body:
                check_number(field, body[field], 0, above=field == "heartbeat")
        if "drop" in body:
            check_code(body["drop"])
        if "heartbeat" in body:
            streams.set_heartbeat(body["heartbeat"])
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
        _only(body, _APPEND_FIELDS)
        if "rate" in body:
            return self._append_steadily(body)
        device = body.get("device_id")
        if not isinstance(device, str):
            raise ValueError("device_id: must be the id of a device")  # noqa: TRY004 - a 400
        late_by = body.get("late_by")
        late_by = tuple(late_by) if isinstance(late_by, list) else late_by
        if "raw" not in body:
            messages = body.get("messages", 1)
            if isinstance(messages, int) and messages > _MAX_APPENDED:
                raise ValueError(f"messages={messages}: at most {_MAX_APPENDED} in one request")
            return {"ids": self._state.append(device, messages, late_by=late_by)}
        at = None if body.get("timestamp") is None else to_ms(body["timestamp"])
        rows = body["raw"]
        if not isinstance(rows, list):
            raise ValueError("raw: must be a list")  # noqa: TRY004 - a 400
        return {"ids": self._state.append_raw(device, rows, timestamp=at, late_by=late_by)}

    def _append_steadily(self, body: Body) -> object:
        rate = _number(body, "rate")
        if rate:
            self._state.start_appending(rate, body.get("device_ids"))
        else:
            self._state.appender.stop()
        return {"rate": self._state.appender.rate}


def _check_file(path: object) -> None:
    """``ValueError`` unless the path is that of an ordinary file that can be read in a while."""
    if not isinstance(path, str) or "\0" in path:
        raise ValueError("jsonl: must be the path of a file")
    found = Path(path).stat()
    if not stat.S_ISREG(found.st_mode) or found.st_size > _MAX_FILE:
        raise ValueError(f"jsonl={path!r}: must be an ordinary file of at most {_MAX_FILE} bytes")


def _number(body: Body, name: str) -> float:
    check_number(name, body[name], -MAX_SECONDS)
    return float(body[name])


def _only(body: Body, known: frozenset[str]) -> None:
    unknown = sorted(set(body) - known)
    if unknown:
        fields = ", ".join(sorted(known)) or "none"
        raise ValueError(f"unknown field {unknown[0]!r}; known fields: {fields}")


def _outage_json(state: EmulatorState) -> dict[str, Any] | None:
    present = state.outages.present
    return None if present is None else present.as_json()


def state_json(state: EmulatorState) -> dict[str, Any]:
    """What the emulator is and holds, without its API keys."""
    counts = state.store.counts()
    settings = {
        name: value
        for name, value in attrs.asdict(state.settings).items()
        if name not in ("api_keys", "control_token", "host", "port")
    }
    return {
        "project_id": state.fleet.project_id,
        "devices": [
            {
                "id": device.id,
                "fleet_id": device.fleet_id,
                "name": device.name,
                "connected": device.connected,
                "messages": counts.get(device.number, 0),
            }
            for device in state.fleet.devices
        ],
        "messages": sum(counts.values()),
        "requests": state.records.total,
        "commands": len(state.records.commands),
        "faults": [fault.as_json() for fault in state.faults.active],
        "outage": _outage_json(state),
        "appending": state.appender.rate,
        "clock": state.clock.as_json(),
        "settings": json.loads(json.dumps(settings, default=_plain)),
    }


def _plain(value: object) -> object:
    if isinstance(value, frozenset):
        return sorted(value)
    return value.isoformat() if isinstance(value, datetime) else str(value)
