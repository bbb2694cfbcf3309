"""The fleet of `benchmarks.peers`: its history, and what each client's file has of it."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, NamedTuple
from uuid import UUID

from iottly_async.emulator import EmulatorHandle
from tests.support.stored_rows import truth_of

PROJECT: Final = "59c19cacecc01400075f3bc9"
_BEGIN: Final = datetime(2026, 1, 1, tzinfo=UTC)
_STEP: Final = timedelta(seconds=31)
_TIED: Final = 0.3  # of the messages share the millisecond of the one before

QUERIES: Final = {
    "ours": "SELECT device_id, epoch_ms(timestamp), payload::VARCHAR FROM messages",
    "script": "SELECT device_id, epoch_ms(timestamp), payload::VARCHAR FROM messages",
    "dlt": 'SELECT "from", epoch_ms(timestamp), payload::VARCHAR FROM iottly.messages',
}
"""The rows of each client's file."""


class PeerRow(NamedTuple):
    """What is compared of a message. The payload is in one form."""

    device_id: str
    timestamp: int
    payload: str


def write_history(path: Path, *, devices: int, messages: int, identical: bool) -> None:
    """Write the history as lines that an emulator loads.

    Args:
        path: Of the file.
        devices: Their number. Each has as many messages.
        messages: Their number, over all devices.
        identical: Whether a tenth of the messages come a second time, as a device sends them
            that puts a reading into a packet twice.
    """
    chance = random.Random(0)
    with path.open("w") as file:
        for line in _lines(chance, devices, messages, identical):
            file.write(json.dumps(line) + "\n")


def _lines(
    chance: random.Random, devices: int, messages: int, identical: bool
) -> Iterator[dict[str, object]]:
    each = messages // devices
    for number in range(devices):
        at = _BEGIN
        made = 0
        while made < each:
            at += timedelta(0) if chance.random() < _TIED else _STEP * chance.uniform(0.5, 1.5)
            text = at.replace(tzinfo=None).isoformat(timespec="milliseconds")
            line: dict[str, object] = {
                "from": str(UUID(int=number + 1)),
                "to": PROJECT,
                "timestamp": text,
                "devicetimestamp": text,
                "type": "userdefined",
                "payload": {
                    "sensor_data_reading": {
                        "temperature": round(chance.gauss(37, 2), 2),
                        "humidity": round(chance.uniform(20, 90), 1),
                        "ok": chance.random() < 0.9,
                    }
                },
            }
            again = 2 if identical and chance.random() < 0.1 else 1
            for _ in range(min(again, each - made)):
                yield line
                made += 1


def compare(emulator: EmulatorHandle, client: str, file: Path) -> tuple[int, int]:
    """How many rows of the service a client's file lacks, and how many it has too many."""
    import duckdb

    truth = Counter(
        PeerRow(row.device_id, row.timestamp, _one_form(row.payload))
        for row in truth_of(emulator).elements()
    )
    found: Counter[PeerRow] = Counter()
    if file.exists():
        with duckdb.connect(str(file), read_only=True) as db:
            db.execute("SET TimeZone = 'UTC'")
            try:
                rows = db.execute(QUERIES[client]).fetchall()
            except duckdb.CatalogException:  # the client has not made its table yet
                rows = []
        found = Counter(PeerRow(device, at, _one_form(payload)) for device, at, payload in rows)
    return (truth - found).total(), (found - truth).total()


def _one_form(payload: str) -> str:
    return json.dumps(json.loads(payload), sort_keys=True)
