"""Messages as Arrow columns, and these as the bytes of a Parquet file."""

from __future__ import annotations

from bisect import bisect
from collections.abc import Iterator, Sequence
from operator import attrgetter
from typing import Final, cast

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from ....models import Message
from ....models._time import iso_texts
from ....models.row import keys_of
from .schema import VERSION, row_folder

_TIME: Final = pa.timestamp("ms", tz="UTC")
SCHEMA: Final = pa.schema(
    [
        pa.field("device_id", pa.string(), nullable=False),
        pa.field("timestamp", _TIME, nullable=False),
        pa.field("device_timestamp", _TIME),
        pa.field("type", pa.string()),
        pa.field("channel", pa.string()),
        pa.field("payload", pa.string(), nullable=False),
        pa.field("extra", pa.string()),
        pa.field("key", pa.string(), nullable=False),
    ],
    metadata={"iottly_async.schema": str(VERSION)},
)

_timestamp: Final = attrgetter("timestamp")
# Only texts that repeat get a dictionary. Keys and most payloads do not repeat.
_REPEATED: Final = ["device_id", "type", "channel"]

Slice = tuple[str, pa.RecordBatch]


def slices_of(messages: Sequence[Message]) -> Iterator[Slice]:
    """Messages as rows, by the folder that they belong to; in order of time in each."""
    by_device: dict[tuple[str | None, str], list[Message]] = {}
    for message in messages:
        by_device.setdefault((message.project_id, message.device_id), []).append(message)
    for (project_id, device_id), own in by_device.items():
        own.sort(key=_timestamp)
        times = cast(list[str], iso_texts([message.timestamp for message in own]))
        rows = _rows_of(own, times)
        begin = 0
        while begin < len(times):
            date = times[begin][:10]
            end = bisect(times, f"{date}U", begin)  # U: after the T that follows a date
            yield row_folder(project_id, device_id, date), rows.slice(begin, end - begin)
            begin = end


def _rows_of(messages: Sequence[Message], times: list[str]) -> pa.RecordBatch:
    extras = [message.extra for message in messages]
    columns: dict[str, Sequence[object]] = {
        "device_id": [message.device_id for message in messages],
        "timestamp": times,
        "device_timestamp": iso_texts([message.device_timestamp for message in messages]),
        "type": [message.type for message in messages],
        "channel": [message.channel for message in messages],
        "payload": [message.payload_json for message in messages],
        "extra": [msgspec.json.encode(extra) if extra else None for extra in extras],
        "key": keys_of(messages),
    }
    return pa.record_batch([_array(columns[field.name], field) for field in SCHEMA], SCHEMA)


def file_of(slices: Sequence[pa.RecordBatch]) -> memoryview:
    """The bytes of a Parquet file with these rows."""
    sink = pa.BufferOutputStream()
    pq.write_table(
        pa.Table.from_batches(slices),
        sink,
        compression="zstd",
        use_dictionary=_REPEATED,
        write_statistics=["device_id", "timestamp"],
    )
    return memoryview(sink.getvalue())


def _array(values: Sequence[object], column: pa.Field) -> pa.Array:
    if column.name in ("payload", "extra"):
        # Validation has found this JSON to be UTF-8, so that Arrow need not check it again.
        return pa.array(values, pa.binary()).view(pa.string())
    if column.type == _TIME:
        # Arrow parses texts much faster than it converts Python's datetimes.
        return pa.array(values, pa.string()).cast(_TIME)
    return pa.array(values, column.type)
