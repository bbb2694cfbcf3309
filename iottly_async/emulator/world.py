"""Everything that the server knows: fleet, messages, clock, quota, faults, and what happened.

One thing owns the state, and every change to it is a method here; handlers and control surface call
them. Synchronous throughout: a change is complete before anything else runs.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from os import PathLike
from typing import Any

import attrs

from .appending import Appender
from .clock import EmulatorClock
from .commands import Execution, execute
from .faults import Faults
from .fleet.devices import Device
from .fleet.origin import begin_again, expire, find_again, plant
from .fleet.payloads import PROFILES
from .fleet.rng import seeded
from .journal import CommandRecord, Journal
from .quota import Quotas
from .rows import Row, dump_json, make_row
from .settings import EmulatorSettings
from .stalls import Stalls
from .store import MessageStore
from .streams import Streams
from .times import DAY_MS, to_ms
from .truth import truth
from .visibility import Visibility
from .webhooks import Webhooks


class World:
    """The state behind one emulator. ``route_names`` are those that a fault may name."""

    def __init__(self, settings: EmulatorSettings, route_names: frozenset[str]) -> None:
        self.settings = settings
        self.clock = EmulatorClock(settings.clock_offset)
        self.stalls = Stalls()
        self.appender = Appender(self)
        self.webhooks = Webhooks()
        self.streams = Streams(self.clock)
        self.visibility = Visibility(self.clock, self._tell)
        self.store = MessageStore(settings.database)
        self._route_names = route_names
        try:
            found = find_again(self.store, settings)
            self.fleet = plant(self.store, settings) if found is None else found
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
        if settings is None:
            self.fleet = begin_again(self.store, self.settings)
        else:
            self.fleet, self.settings = plant(self.store, settings), settings
        self.appender.stop()
        self.visibility.clear()
        self.webhooks.clear()
        self.streams.drop()
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
        self.visibility.clear()
        self.store.close()

    def _start_over(self) -> None:
        self.journal = Journal(self.settings.record_limit)
        self.quotas = Quotas(self.settings)
        self.faults = Faults(self.settings.seed, self._route_names)
        self.executions: dict[str, Execution] = {}
        self.chance = seeded(self.settings.seed, "chance")
        self._next_id = self.store.last_id() + 1

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
            if not 0 <= messages <= _MOST_AT_ONCE:
                raise ValueError(f"messages={messages}: 0 to {_MOST_AT_ONCE} at once")
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
        self.visibility.appended(device, rows)
        return [row.id for row in rows]

    def _tell(self, device: Device, row: Row) -> None:
        """A message became visible: let the live channels know."""
        self.webhooks.tell(device, row, self.fleet.project_id)
        self.streams.tell(device, row, self.fleet.project_id)

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
        number = None if device_id is None else self.fleet.find(device_id).number
        return expire(self.store, to_ms(before), number)

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
        return [truth(row, device, self.fleet.project_id) for row in rows]


_MOST_AT_ONCE = 1_000_000
_APPENDED = frozenset(
    {"payload", "payload_json", "type", "timestamp", "devicetimestamp", "channel"}
)
