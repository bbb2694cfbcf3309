"""Everything that the server knows: fleet, messages, clock, quotas, faults and records.

One object owns the state. The HTTP handlers, the control address and ``EmulatorHandle`` read and
change it here. All methods are synchronous: a change is complete before anything else runs.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from os import PathLike
from typing import Any

import attrs

from .aio import Signal
from .appender import Appender
from .clock import EmulatorClock
from .commands import Execution, command_message, execute
from .faults import Faults
from .fleet.devices import Device
from .fleet.payloads import PROFILES
from .fleet.provision import create_fleet, expire_messages, reset_fleet, restore_fleet
from .outage import Outages, ServiceOutage
from .publisher import Publisher
from .quota import Quotas
from .records import CommandRecord, Records
from .rows import Row, dump_json, make_raw_row, make_row, raw_text, stored_message
from .settings import EmulatorSettings, Latency, as_range, check_range, seeded_random
from .store import MessageStore
from .streams import Streams
from .times import DAY_MS, to_ms
from .webhooks import Webhooks

_MAX_APPENDED = 1_000_000
_FIELDS = frozenset({"payload", "payload_json", "type", "timestamp", "devicetimestamp", "channel"})


class EmulatorState:
    """The state of one emulator; ``route_names`` are the routes that a fault may name."""

    def __init__(self, settings: EmulatorSettings, route_names: frozenset[str]) -> None:
        self.settings = settings
        self.clock = EmulatorClock(settings.clock_offset, stamp_offset=settings.stamp_offset)
        self.stalled = Signal()
        self.appender = Appender(self._append_one)
        self.webhooks = Webhooks()
        self.streams = Streams(self.clock)
        self.publisher = Publisher(self.clock, self._publish)
        self.outages = Outages(on_begin=self._begin_outage, on_end=self._end_outage)
        self.store = MessageStore(settings.database)
        self._route_names = route_names
        try:
            restored = restore_fleet(self.store, settings)
            self.fleet = create_fleet(self.store, settings) if restored is None else restored
        except BaseException:
            self.store.close()
            raise
        self._start_over()

    # -- start, reset and close -------------------------------------------------------------------

    def reset(self, settings: EmulatorSettings | None = None) -> None:
        """Go back to the start, with new ``settings`` (None: the same).

        Messages, names, licences, faults, records, quotas, commands and the clock become what they
        were at the start. Appending stops, webhooks are removed and streams are closed.
        """
        if settings is None:
            self.fleet = reset_fleet(self.store, self.settings)
        else:
            self.fleet, self.settings = create_fleet(self.store, settings), settings
        self.appender.stop()
        self.publisher.clear()
        self.webhooks.clear()
        self.streams.drop()
        self.stalled.send()
        self.outages.end()
        self.clock.unpin()
        self.clock.offset = self.settings.clock_offset
        self.clock.stamp_offset = self.settings.stamp_offset
        self._start_over()

    def load_jsonl(self, path: str | PathLike[str]) -> int:
        """Reset to the fleet of a JSON-lines file; returns how many messages it has."""
        self.reset(attrs.evolve(self.settings, jsonl=path))
        return sum(self.store.counts().values())

    def close(self) -> None:
        """Close the database; the records stay readable."""
        self.appender.stop()
        self.publisher.clear()
        self.store.close()

    def _start_over(self) -> None:
        self.records = Records(self.settings.record_limit)
        self.quotas = Quotas(self.settings)
        self.faults = Faults(self.settings.seed, self._route_names)
        self.executions: dict[str, Execution] = {}
        self.rng = seeded_random(self.settings.seed, "chance")
        self._next_id = self.store.last_id() + 1

    # -- messages ---------------------------------------------------------------------------------

    def append(
        self,
        device_id: str,
        messages: int | Iterable[Mapping[str, Any]] = 1,
        *,
        late_by: Latency | None = None,
    ) -> list[int]:
        """Add messages of a device; see ``EmulatorHandle.append``."""
        device = self.fleet.find(device_id)
        if isinstance(messages, int):
            if isinstance(messages, bool) or not 0 <= messages <= _MAX_APPENDED:
                raise ValueError(f"messages={messages}: 0 to {_MAX_APPENDED} in one call")
            given: list[Mapping[str, Any]] = [{} for _ in range(messages)]
        else:
            given = list(messages)
        if not device.connected and not all("timestamp" in dict(message) for message in given):
            raise ValueError(
                f"device {device.id} is disconnected and sends nothing now: connect it with "
                "set_connected, or give each message the timestamp at which it was sent"
            )
        late = self._lateness(late_by)
        rows = [
            self._new_row(device, message, self._next_id + i, late)
            for i, message in enumerate(given)
        ]
        return self._add(device, rows)

    def append_raw(
        self,
        device_id: str,
        rows: Iterable[object],
        *,
        timestamp: datetime | int | None = None,
        late_by: Latency | None = None,
    ) -> list[int]:
        """Add rows that are sent as they are; see ``EmulatorHandle.append_raw``."""
        device = self.fleet.find(device_id)
        at = self.clock.stamp_ms() if timestamp is None else to_ms(timestamp)
        late = self._lateness(late_by)
        made = []
        for id_, given in enumerate(rows, start=self._next_id):
            own = _own_timestamp(given) if timestamp is None else None
            text = raw_text(given)
            own_or_given = at if own is None else own
            visible_at = self._visible_at(late)
            made.append(make_raw_row(device.number, own_or_given, id_, text, visible_at=visible_at))
        return self._add(device, made)

    def _append_one(self, device: Device) -> None:
        """Add one message of a device."""
        self.append(device.id)

    def _lateness(self, late_by: Latency | None) -> tuple[float, float]:
        """The range that ``late_by`` or the setting stands for; ``ValueError`` if it is none."""
        if late_by is None:
            return as_range(self.settings.late_by)
        check_range("late_by", late_by)
        return as_range(late_by)

    def _visible_at(self, late: tuple[float, float]) -> int:
        """When a message that is appended now becomes visible (epoch ms); 0 if at once."""
        low, high = late
        seconds = low if low == high else self.rng.uniform(low, high)
        return self.clock.now_ms() + round(1000 * seconds) if seconds else 0

    def _add(self, device: Device, rows: list[Row]) -> list[int]:
        """Store and publish new rows; returns their numbers."""
        self.store.insert(rows)
        self._next_id += len(rows)
        self.publisher.add(device, rows)
        return [row.id for row in rows]

    def start_appending(self, rate: float, device_ids: list[str] | None = None) -> None:
        """Append ``rate`` messages a second, from each device in turn (None: all devices)."""
        found = [self.fleet.find(id_) for id_ in device_ids] if device_ids else self.fleet.devices
        self.appender.start(rate, found)

    def stored(
        self,
        device_id: str,
        start: datetime | int | None = None,
        end: datetime | int | None = None,
        type: str = "all",  # noqa: A002 - the wire's name
    ) -> list[dict[str, Any]]:
        """All stored messages of a device; see ``EmulatorHandle.stored``."""
        device = self.fleet.find(device_id)
        rows = self.store.rows(
            device.number,
            start=None if start is None else to_ms(start),
            end=None if end is None else to_ms(end),
            type=type,
        )
        return [stored_message(device.id, self.fleet.project_id, row) for row in rows]

    def expire(self, before: datetime | int, device_id: str | None = None) -> int:
        """Delete messages older than ``before``, as retention does; returns how many."""
        number = None if device_id is None else self.fleet.find(device_id).number
        return expire_messages(self.store, to_ms(before), number)

    def _publish(self, device: Device, row: Row) -> None:
        """Send a message that has become visible to webhooks and streams."""
        self.webhooks.publish(device, row, self.fleet.project_id)
        self.streams.publish(device, row, self.fleet.project_id)

    def _new_row(
        self, device: Device, given: Mapping[str, Any], id_: int, late: tuple[float, float]
    ) -> Row:
        if not isinstance(given, Mapping):
            raise TypeError(f"a message must be an object, not {given!r:.80}")
        unknown = set(given) - _FIELDS
        if unknown:
            raise ValueError(
                f"a message has no field {min(unknown)!r}; it has {', '.join(sorted(_FIELDS))}"
            )
        timestamp = to_ms(given["timestamp"]) if "timestamp" in given else self.clock.stamp_ms()
        sent = to_ms(given["devicetimestamp"]) if "devicetimestamp" in given else timestamp
        kind, channel = given.get("type", "userdefined"), given.get("channel", device.channel)
        if not isinstance(kind, str) or not isinstance(channel, str | None):
            raise ValueError(  # noqa: TRY004 - a value is wrong, as below
                "type and channel must be texts: append_raw adds rows of any form"
            )
        if "payload_json" in given:
            text = str(given["payload_json"])
            text.encode()  # what cannot be sent is refused now
        elif "payload" in given:
            text = dump_json(given["payload"])
        else:
            text = PROFILES[device.profile](self.rng.random, timestamp % DAY_MS / DAY_MS)
        return make_row(
            device.number,
            timestamp,
            id_,
            kind,
            sent,
            text,
            visible_at=self._visible_at(late),
            channel=channel,
        )

    # -- commands ---------------------------------------------------------------------------------

    def record_command(
        self, generation: str, device: Device, body: dict[str, Any]
    ) -> CommandRecord:
        """Record a command; a device that gets it sends a message if the settings say so."""
        message = None
        if generation == "v1.0":
            kind = body["cmd_type"]
            message = command_message(
                kind,
                self.settings.command_defaults.get(kind, {}),
                body["values"],
                skip_empty=self.settings.empty_values == "default",
            )
        record = CommandRecord(
            id=f"cmd_{len(self.records.commands) + 1:012x}",
            generation=generation,
            device_id=device.id,
            body=body,
            timestamp=self.clock.now_ms(),
            message=message,
            delivered=device.connected,
        )
        self.records.commands.append(record)
        if self.settings.command_messages and record.delivered:
            payload = {"command": body, "command_id": record.id, "message": message}
            self.append(device.id, [{"payload": payload}])
        return record

    def start_command(self, device: Device, body: dict[str, Any]) -> Execution:
        """Let a device execute a v1 command and keep its result for ``GET commands/<id>``."""
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

    # -- faults -----------------------------------------------------------------------------------

    def clear_faults(self) -> None:
        """Remove every fault and release what stalls."""
        self.faults.clear()
        self.release()

    def release(self) -> None:
        """Release the requests and streams that stall at present."""
        self.stalled.send()
        self.streams.release()

    # -- outages ----------------------------------------------------------------------------------

    def _begin_outage(self, outage: ServiceOutage) -> None:
        """Disturb the streams as the outage disturbs everything else."""
        if outage.kind == "hang":
            self.streams.stall()
        else:
            self.streams.drop()

    def _end_outage(self, outage: ServiceOutage) -> None:
        """Reset the streams that fell silent."""
        if outage.kind == "hang":
            self.streams.drop()


def _own_timestamp(given: object) -> int | None:
    """The time (ms) that a raw row states itself; None if it states none that can be read."""
    if not isinstance(given, Mapping):
        return None
    try:
        return to_ms(given.get("timestamp"))
    except (ValueError, OverflowError):
        return None
