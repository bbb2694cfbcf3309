"""Everything that the server knows: fleet, messages, clock, quota, faults, and what happened.

One thing owns the state, and every change to it is a method here; handlers and control surface call
them. Synchronous throughout: a change is complete before anything else runs.
"""

import json
from collections.abc import Iterable, Mapping
from datetime import datetime
from os import PathLike, fspath
from typing import Any

import attrs

from .appending import Appender
from .chance import seeded
from .clock import EmulatorClock
from .commands import Execution, execute
from .faults import Faults
from .fleet import Device, Fleet, make_fleet
from .history import make_history
from .journal import CommandRecord, Journal
from .jsonl import load_jsonl
from .payloads import PROFILES
from .quota import Quotas
from .rows import Row, dump_json, make_row
from .settings import EmulatorSettings
from .stalls import Stalls
from .store import MessageStore
from .times import DAY_MS, to_datetime, to_ms

_RECIPE = ("seed", "project_id", "devices", "messages", "days", "licenses")


class World:
    """The state behind one emulator. ``route_names`` are those that a fault may name."""

    def __init__(self, settings: EmulatorSettings, route_names: frozenset[str]) -> None:
        self.settings = settings
        self.clock = EmulatorClock(settings.clock_offset)
        self.stalls = Stalls()
        self.appender = Appender(self)
        self.store = MessageStore(settings.database)
        self._route_names = route_names
        try:
            if not self._find_again():
                self._seed(settings)
        except BaseException:
            self.store.close()
            raise
        self._start_over()

    # -- beginning, and beginning again -----------------------------------------------------------

    def reset(self, settings: EmulatorSettings | None = None) -> None:
        """Back to the beginning, with these settings or the old ones.

        Messages, names, licences, faults, records, quotas, commands and the clock are as at the
        start; appending stops.
        """
        if settings is None and not self.store.kept("expired"):
            self.store.delete_after(self._seeded_id)
            self._load_fleet()
        else:
            self._seed(settings or self.settings)
        self.appender.stop()
        self.stalls.release()
        self.clock.unpin()
        self.clock.offset = self.settings.clock_offset
        self._start_over()

    def load(self, path: str | PathLike[str]) -> int:
        """Start over with the fleet of a JSONL file; how many messages it has."""
        self.reset(attrs.evolve(self.settings, jsonl=path))
        return sum(self.store.counts().values())

    def close(self) -> None:
        """Let go of the database; the records stay readable."""
        self.appender.stop()
        self.store.close()

    def _start_over(self) -> None:
        self.journal = Journal(self.settings.record_limit)
        self.quotas = Quotas(self.settings)
        self.faults = Faults(self.settings.seed, self._route_names)
        self.executions: dict[str, Execution] = {}
        self.chance = seeded(self.settings.seed, "chance")
        self._next_id = self.store.last_id() + 1

    def _recipe(self) -> dict[str, Any]:
        made = {name: getattr(self.settings, name) for name in _RECIPE}
        source = self.settings.jsonl
        return made | {
            "until": self.settings.until.isoformat(),
            "jsonl": None if source is None else fspath(source),
        }

    def _find_again(self) -> bool:
        """Take up what a file holds from an earlier start; False where it holds nothing yet."""
        kept = self.store.kept("recipe")
        if kept is None:
            return False
        if kept != self._recipe():
            raise ValueError(
                f"database={str(self.settings.database)!r} holds a fleet made with "
                f"{json.dumps(kept)}: give the same settings, or another file"
            )
        self._load_fleet()
        self._seeded_id = _whole_number(self.store.kept("seeded_id"))
        return True

    def _seed(self, settings: EmulatorSettings) -> None:
        rows: Iterable[Row]
        if settings.jsonl is not None:
            fleet, rows = load_jsonl(
                settings.jsonl,
                seed=settings.seed,
                project_id=settings.project_id,
                licenses=settings.licenses,
            )
        else:
            fleet = make_fleet(
                settings.seed,
                settings.project_id,
                count=settings.devices,
                licenses=settings.licenses,
            )
            rows = make_history(fleet, settings)
        self.store.replace(rows)
        self.fleet, self.settings = fleet, settings
        self._seeded_id = self.store.last_id()
        self.store.keep("seeded_id", self._seeded_id)
        self.store.keep("fleet", _fleet_json(self.fleet))
        self.store.keep("expired", False)
        self.store.keep("recipe", self._recipe())

    def _load_fleet(self) -> None:
        self.fleet = _read_fleet(self.store.kept("fleet"))

    # -- changes ----------------------------------------------------------------------------------

    def append(
        self,
        device_id: str,
        messages: int | Iterable[Mapping[str, Any]] = 1,
        *,
        late_by: float | None = None,
    ) -> list[int]:
        """Add messages of a device; see ``Surface.append``."""
        device = self.fleet.find(device_id)
        if isinstance(messages, int):
            given: list[Mapping[str, Any]] = [{} for _ in range(messages)]
        else:
            given = list(messages)
        late_ms = round(1000 * (self.settings.late_by if late_by is None else late_by))
        rows = [
            self._new_row(device, message, self._next_id + i, late_ms)
            for i, message in enumerate(given)
        ]
        self.store.insert(rows)
        self._next_id += len(rows)
        return [row.id for row in rows]

    def _new_row(self, device: Device, given: Mapping[str, Any], id_: int, late_ms: int) -> Row:
        unknown = set(given) - _APPENDED
        if unknown:
            raise ValueError(
                f"a message has no field {min(unknown)!r}; it has {', '.join(sorted(_APPENDED))}"
            )
        now = self.clock.now_ms()
        moment = to_ms(given["timestamp"]) if "timestamp" in given else now
        sent = to_ms(given["devicetimestamp"]) if "devicetimestamp" in given else moment
        if "payload_json" in given:
            text = str(given["payload_json"])
        elif "payload" in given:
            text = dump_json(given["payload"])
        else:
            text = PROFILES[device.profile](self.chance.random, moment % DAY_MS / DAY_MS)
        return make_row(
            device.number,
            moment,
            id_,
            given.get("type", "userdefined"),
            sent,
            text,
            visible_at=now + late_ms if late_ms else 0,
            channel=given.get("channel", device.channel),
        )

    def expire(self, before: datetime | int, device_id: str | None = None) -> int:
        """Delete messages older than ``before``, as retention does; how many went."""
        self.store.keep("expired", True)
        number = None if device_id is None else self.fleet.find(device_id).number
        return self.store.expire(to_ms(before), number)

    def rename(self, device: Device, name: str) -> None:
        """Give a device another name."""
        device.name = name

    def record_command(
        self, generation: str, device: Device, body: dict[str, Any]
    ) -> CommandRecord:
        """A device executes a command: it enters the journal, and may send a message for it."""
        record = CommandRecord(
            id=f"cmd_{len(self.journal.commands) + 1:012x}",
            generation=generation,
            device_id=device.id,
            body=body,
            timestamp=self.clock.now_ms(),
        )
        self.journal.commands.append(record)
        if self.settings.command_messages:
            self.append(device.id, [{"payload": {"command": body, "command_id": record.id}}])
        return record

    def start_command(self, device: Device, body: dict[str, Any]) -> Execution:
        """A device takes a v1 command, whose result can be asked for from then on."""
        record = self.record_command("v1", device, body)
        execution = execute(
            record.id,
            body["command"],
            timeout=body.get("timeout_s"),
            timestamp=record.timestamp,
            pending_for=self.settings.pending_for,
            running_for=self.settings.running_for,
        )
        self.executions[record.id] = execution
        return execution

    # -- questions --------------------------------------------------------------------------------

    def stored(
        self,
        device_id: str,
        start: datetime | int | None = None,
        end: datetime | int | None = None,
        type: str = "all",  # noqa: A002 - the wire's name
    ) -> list[dict[str, Any]]:
        """The truth about a device's messages; see ``Surface.stored``."""
        device = self.fleet.find(device_id)
        rows = self.store.rows(
            device.number,
            start=None if start is None else to_ms(start),
            end=None if end is None else to_ms(end),
            type=None if type == "all" else type,
        )
        return [_truth(row, device, self.fleet.project_id) for row in rows]

    def state(self) -> dict[str, Any]:
        """What the emulator is and holds, for the control address; without any key."""
        counts = self.store.counts()
        settings = {
            name: value
            for name, value in attrs.asdict(self.settings).items()
            if name not in ("api_keys", "host", "port")
        }
        return {
            "project_id": self.fleet.project_id,
            "devices": [
                {
                    "id": device.id,
                    "fleet_id": device.fleet_id,
                    "name": device.name,
                    "connected": device.connected,
                    "messages": counts.get(device.number, 0),
                }
                for device in self.fleet.devices
            ],
            "messages": sum(counts.values()),
            "requests": self.journal.total,
            "commands": len(self.journal.commands),
            "faults": [fault.as_json() for fault in self.faults.active],
            "appending": self.appender.rate,
            "clock": clock_json(self.clock),
            "settings": json.loads(json.dumps(settings, default=_plain)),
        }


_APPENDED = frozenset(
    {"payload", "payload_json", "type", "timestamp", "devicetimestamp", "channel"}
)


def clock_json(clock: EmulatorClock) -> dict[str, Any]:
    """The clock as it is given out at the control address."""
    return {"now": clock.now().isoformat(), "offset": clock.offset, "pinned": clock.pinned}


def _truth(row: Row, device: Device, project_id: str) -> dict[str, Any]:
    try:
        payload = json.loads(row.payload_json)
    except (ValueError, RecursionError):
        payload = None
    return {
        "id": row.id,
        "oid": row.object_id,
        "device_id": device.id,
        "project_id": project_id,
        "timestamp": to_datetime(row.timestamp),
        "timestamp_ms": row.timestamp,
        "devicetimestamp": to_datetime(row.device_timestamp),
        "devicetimestamp_ms": row.device_timestamp,
        "type": row.type,
        "channel": row.channel,
        "payload": payload,
        "payload_json": row.payload_json,
        "visible_at_ms": row.visible_at,
    }


def _fleet_json(fleet: Fleet) -> dict[str, Any]:
    return {
        "project_id": fleet.project_id,
        "fleet_project_id": fleet.fleet_project_id,
        "devices": [attrs.asdict(device) for device in fleet.devices],
        "available": fleet.available,
    }


def _read_fleet(kept: Any) -> Fleet:
    return Fleet(**kept | {"devices": [Device(**values) for values in kept["devices"]]})


def _whole_number(value: object) -> int:
    if not isinstance(value, int):
        raise ValueError("the database does not say which were seeded")  # noqa: TRY004 - a file's
    return value


def _plain(value: object) -> object:
    if isinstance(value, frozenset):
        return sorted(value)
    return value.isoformat() if isinstance(value, datetime) else str(value)
