"""The layout of a folder of Parquet files; a user's queries may rely on it.

::

    telemetry.parquet/
      project=59c1…/device=3781…/date=2026-04-05/part-00000017.parquet
      _rejected/part-00000017.jsonl         messages that are no row, with the reason
      _ingest/part.json                     the job's own: its manifest, with its cursors

``date`` is the day of `timestamp` in UTC; ids are percent-encoded as in a URL, which
readers of such folders undo. Each file has these columns:

================== ===================== ===========================================
column             type                  what
================== ===================== ===========================================
device_id          string                the device that sent it
timestamp          timestamp[ms, UTC]    the server's time of arrival
device_timestamp   timestamp[ms, UTC]    the time the device recorded; null where absent
type               string                "userdefined", "iottlyagent" or another
channel            string                the channel it was sent on; null where absent
payload            string                JSON, as it arrived, byte for byte
extra              string                JSON: fields that the API's documents do not name
key                string                the same for the same message in every run: unique
================== ===================== ===========================================

Readers take the folder as it is (names that begin with ``_`` are no data to them), and a
date or a device in a query spares them the other files::

    SELECT device, count(*) FROM read_parquet('telemetry.parquet/**/*.parquet',
        hive_partitioning = true) WHERE date >= '2026-04-01' GROUP BY device
"""

from __future__ import annotations

from bisect import bisect
from collections.abc import Iterator, Sequence
from operator import attrgetter
from typing import Final, cast
from urllib.parse import quote

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from ....models import Message
from ....models._time import iso_texts
from ....models.message import keys_of

VERSION: Final = 1

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
# Texts that repeat; the keys and most payloads do not, and a dictionary of them is waste.
_REPEATED: Final = ["device_id", "type", "channel"]
_NO_PROJECT: Final = "__HIVE_DEFAULT_PARTITION__"  # what readers take for null

Slice = tuple[str, pa.RecordBatch]


def slices_of(messages: Sequence[Message]) -> Iterator[Slice]:
    """Messages as rows, by the folder that they belong to; within each, by time."""
    devices: dict[tuple[str | None, str], list[Message]] = {}
    for message in messages:
        devices.setdefault((message.project_id, message.device_id), []).append(message)
    for (project_id, device_id), own in devices.items():
        own.sort(key=_timestamp)
        times = cast(list[str], iso_texts([message.timestamp for message in own]))
        rows = _rows_of(own, times)
        begin = 0
        while begin < len(times):
            date = times[begin][:10]
            end = bisect(times, f"{date}U", begin)  # a T is between the date and what follows
            yield _folder(project_id, device_id, date), rows.slice(begin, end - begin)
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
        # JSON was found to be UTF-8 before it came here; it is not looked through again.
        return pa.array(values, pa.binary()).view(pa.string())
    if column.type == _TIME:
        # Texts are read by Arrow itself, at a fraction of what times of Python cost it.
        return pa.array(values, pa.string()).cast(_TIME)
    return pa.array(values, column.type)


def _folder(project_id: str | None, device_id: str, date: str) -> str:
    project = quote(project_id or _NO_PROJECT, safe="")
    return f"project={project}/device={quote(device_id, safe='')}/date={date}"
