"""The rows of a store and the messages of an emulator, in one form that can be compared.

A store is named by its path, or by its URL if it is a database.
"""

from __future__ import annotations

import json
from base64 import b64decode
from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import duckdb
from pyarrow.dataset import dataset
from zstandard import ZstdDecompressor

from iottly_async.emulator import EmulatorHandle

from .postgres_server import fetch


class Row(NamedTuple):
    """A message. Times are milliseconds since the epoch; the payload is as it arrived."""

    device_id: str
    timestamp: int
    device_timestamp: int | None
    type: str | None
    channel: str | None
    payload: str


Place = Path | str


def rows_of(place: Place) -> Counter[Row]:
    """The rows of a store, each with how often it occurs.

    PostgreSQL changes the form of a payload, so its payloads are made `canonical`.
    """
    match _kind(place):
        case "postgresql":
            found = fetch(str(place), _ROWS_IN_POSTGRES)
            rows = [Row(*row) for row in found]
            return Counter(row._replace(payload=canonical(row.payload)) for row in rows)
        case "duckdb":
            return Counter(_duckdb_rows(Path(place)))
        case "parquet":
            return Counter(map(_parquet_row, _parquet(Path(place))))
    return Counter(_json_rows(Path(place)))


def keys_of(place: Place) -> list[str]:
    """The keys of a store's rows."""
    match _kind(place):
        case "postgresql":
            return [key for (key,) in fetch(str(place), "SELECT key FROM iottly.messages")]
        case "duckdb":
            with duckdb.connect(str(place), read_only=True) as db:
                return [key for (key,) in db.execute("SELECT key FROM messages").fetchall()]
        case "parquet":
            return [row["key"] for row in _parquet(Path(place))]
    return [line["key"] for line in _lines(Path(place))]


def rejected_of(place: Place) -> list[tuple[str, bytes, str]]:
    """The rejected messages of a store: device, payload as bytes, reason."""
    match _kind(place):
        case "postgresql":
            query = "SELECT device_id, payload, reason FROM iottly.rejected"
            return [(row[0], bytes(row[1]), row[2]) for row in fetch(str(place), query)]
        case "duckdb":
            with duckdb.connect(str(place), read_only=True) as db:
                return db.execute("SELECT device_id, payload, reason FROM rejected").fetchall()
        case "parquet":
            asides = sorted(Path(f"{place}.ingest").glob("rejected/*.jsonl"))
        case _:
            asides = [aside for aside in [Path(f"{place}.rejected")] if aside.exists()]
    return [
        (line["device_id"], b64decode(line["payload_base64"]), line["reason"])
        for aside in asides
        for line in _lines(aside)
    ]


def differing(place: Place, emulator: EmulatorHandle) -> tuple[int, int]:
    """The number of rows that the store misses, and of rows that it should not have."""
    truth, found = truth_of(emulator), rows_of(place)
    if _kind(place) == "postgresql":
        rows = truth.elements()
        truth = Counter(row._replace(payload=canonical(row.payload)) for row in rows)
    return (truth - found).total(), (found - truth).total()


def assert_whole(place: Place, emulator: EmulatorHandle) -> None:
    """The store holds the emulator's messages, row for row. Each row has another key."""
    assert differing(place, emulator) == (0, 0)
    keys = keys_of(place)
    assert len(set(keys)) == len(keys)


def canonical(payload: str) -> str:
    """A payload in one form: names in order, numbers by their value."""
    read = json.loads(payload, parse_float=Decimal, parse_int=Decimal)
    return json.dumps(read, sort_keys=True, default=lambda number: str(number.normalize()))


def truth_of(emulator: EmulatorHandle, devices: Iterable[str] | None = None) -> Counter[Row]:
    """The emulator's messages, of these devices or of all."""
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


def _parquet(path: Path) -> list[dict[str, Any]]:
    if not path.exists():
        return []
    rows: list[dict[str, Any]] = dataset(path).to_table().to_pylist()
    return rows


def _parquet_row(row: dict[str, Any]) -> Row:
    times = [
        None if row[name] is None else _ms(row[name].isoformat())
        for name in ("timestamp", "device_timestamp")
    ]
    assert times[0] is not None
    return Row(row["device_id"], times[0], times[1], row["type"], row["channel"], row["payload"])


def _kind(place: Place) -> str:
    if isinstance(place, str):
        return "postgresql"
    return place.suffix.removeprefix(".")


_ROWS_IN_POSTGRES = """
    SELECT device_id, (extract(epoch FROM timestamp) * 1000)::bigint,
           (extract(epoch FROM device_timestamp) * 1000)::bigint, type, channel, payload::text
    FROM iottly.messages
"""


def _json_rows(path: Path) -> Iterable[Row]:
    for line in _texts(path):
        row = json.loads(line)
        # The payload's own text in the line, for json.loads would change it.
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
    return [json.loads(line) for line in _texts(path)]


def _texts(path: Path) -> list[str]:
    data = path.read_bytes()
    if path.suffix == ".zst":
        reader = ZstdDecompressor().stream_reader(data, read_across_frames=True)
        data = reader.read()
    return data.decode().splitlines()


def _ms(text: str) -> int:
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    return round((datetime.fromisoformat(text) - epoch).total_seconds() * 1000)
