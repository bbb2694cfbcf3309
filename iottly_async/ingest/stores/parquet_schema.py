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

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Final
from urllib.parse import quote

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from ...models import Message
from ...models._time import epoch_ms, from_epoch_ms

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

_DAY_MS: Final = 86_400_000
# Texts that repeat; the keys and most payloads do not, and a dictionary of them is waste.
_REPEATED: Final = ["device_id", "type", "channel"]
_NO_PROJECT: Final = "__HIVE_DEFAULT_PARTITION__"  # what readers take for null

Slice = tuple[str, pa.RecordBatch]


def slices_of(messages: Sequence[Message]) -> Iterator[Slice]:
    """Messages as rows, by the folder that they belong to; within each, by time."""
    days: list[tuple[str, str, int]] = []
    columns: list[list[object]] = [[] for _ in SCHEMA]
    device_ids, times, device_times, types, channels, payloads, extras, keys = columns
    for message in sorted(messages, key=_place):
        ms, at, extra = epoch_ms(message.timestamp), message.device_timestamp, message.extra
        days.append((message.project_id or _NO_PROJECT, message.device_id, ms // _DAY_MS))
        device_ids.append(message.device_id)
        times.append(ms)
        device_times.append(None if at is None else epoch_ms(at))
        types.append(message.type)
        channels.append(message.channel)
        payloads.append(message.payload_json)
        extras.append(msgspec.json.encode(extra) if extra else None)
        keys.append(message.key)
    rows = pa.record_batch([_array(*one) for one in zip(columns, SCHEMA, strict=True)], SCHEMA)
    begin = 0
    for day, members in groupby(days):
        length = sum(1 for _ in members)
        yield _folder(*day), rows.slice(begin, length)
        begin += length


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


def _place(message: Message) -> tuple[object, ...]:
    return message.device_id, message.timestamp


def _array(values: list[object], column: pa.Field) -> pa.Array:
    if column.name in ("payload", "extra"):
        # JSON was found to be UTF-8 before it came here; it is not looked through again.
        return pa.array(values, pa.binary()).view(pa.string())
    return pa.array(values, column.type)


def _folder(project_id: str, device_id: str, day: int) -> str:
    date = from_epoch_ms(day * _DAY_MS).date().isoformat()
    return f"project={quote(project_id, safe='')}/device={quote(device_id, safe='')}/date={date}"
