"""The devices of a Parquet store, as a Parquet file."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Final

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from ....arrow.schema import TIME
from ..devices import StoredDevice

_SCHEMA: Final = pa.schema(
    [
        pa.field("device_id", pa.string(), nullable=False),
        pa.field("name", pa.string()),
        pa.field("status", pa.string()),
        pa.field("agent_version", pa.string()),
        pa.field("first_seen", TIME),
        pa.field("last_seen", TIME),
    ]
)


def encode_devices(devices: Sequence[StoredDevice]) -> bytes:
    """The bytes of a Parquet file with one row a device."""
    rows = [msgspec.structs.asdict(device) for device in devices]
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows, _SCHEMA), sink, compression="zstd")
    return sink.getvalue()


def decode_devices(data: bytes) -> list[StoredDevice]:
    """The devices in such a file.

    Raises:
        ValueError: it is another file.
    """
    rows = pq.read_table(io.BytesIO(data)).to_pylist()
    return msgspec.convert(rows, list[StoredDevice])
