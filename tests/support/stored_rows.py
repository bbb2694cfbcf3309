"""What a store's file holds and what the emulator has, in one form that can be compared."""

from __future__ import annotations

import json
from base64 import b64decode
from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import duckdb

from iottly_async.emulator import Surface


class Row(NamedTuple):
    """A message, times in milliseconds since the epoch, its payload as it arrived."""

    device_id: str
    timestamp: int
    device_timestamp: int | None
    type: str | None
    channel: str | None
    payload: str


def rows_of(path: Path) -> Counter[Row]:
    """The rows of a store's file, each with how often it is there."""
    return Counter(_duckdb_rows(path) if path.suffix == ".duckdb" else _json_rows(path))


def keys_of(path: Path) -> list[str]:
    """The keys of a store's rows."""
    if path.suffix == ".duckdb":
        with duckdb.connect(str(path), read_only=True) as db:
            return [key for (key,) in db.execute("SELECT key FROM messages").fetchall()]
    return [line["key"] for line in _lines(path)]


def rejected_of(path: Path) -> list[tuple[str, bytes, str]]:
    """The rejected messages of a store: device, bytes of the payload, reason."""
    if path.suffix == ".duckdb":
        with duckdb.connect(str(path), read_only=True) as db:
            return db.execute("SELECT device_id, payload, reason FROM rejected").fetchall()
    aside = Path(f"{path}.rejected")
    if not aside.exists():
        return []
    return [
        (line["device_id"], b64decode(line["payload_base64"]), line["reason"])
        for line in _lines(aside)
    ]


def truth_of(emulator: Surface, devices: Iterable[str] | None = None) -> Counter[Row]:
    """All that the emulator's store has, of these devices or all."""
    chosen = emulator.device_ids if devices is None else devices
    return Counter(
        Row(
            device_id,
            stored["timestamp_ms"],
            stored["devicetimestamp_ms"],
            stored["type"],
            stored["channel"],
            stored["payload_json"],
        )
        for device_id in chosen
        for stored in emulator.stored(device_id)
    )


def _duckdb_rows(path: Path) -> Iterable[Row]:
    with duckdb.connect(str(path), read_only=True) as db:
        found = db.execute(
            "SELECT device_id, epoch_ms(timestamp), epoch_ms(device_timestamp), type, channel, "
            "payload::VARCHAR FROM messages"
        ).fetchall()
    return [Row(*row) for row in found]


def _json_rows(path: Path) -> Iterable[Row]:
    for line in path.read_text("utf-8").splitlines():
        row = json.loads(line)
        # The payload as it stands in the line: what json.loads makes of it is another text.
        payload = line.split('"payload":', 1)[1].rsplit(',"extra":', 1)[0]
        yield Row(
            row["device_id"],
            _ms(row["timestamp"]),
            None if row["device_timestamp"] is None else _ms(row["device_timestamp"]),
            row["type"],
            row["channel"],
            payload,
        )


def _lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def _ms(text: str) -> int:
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    return round((datetime.fromisoformat(text) - epoch).total_seconds() * 1000)
