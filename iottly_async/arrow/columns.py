"""Messages as an Arrow record batch."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import msgspec
import pyarrow as pa

from ..models import Message
from ..models._time import naive_iso_texts
from ..models.message import row_of
from ..models.row import MessageRow, keys_of, own_bytes
from .schema import SCHEMA, TIME


def record_batch(messages: Sequence[MessageRow] | Sequence[Message]) -> pa.RecordBatch:
    """Make a record batch with one row a message.

    Args:
        messages: any number, of any devices; as rows, it takes half the time.

    Returns:
        A batch with the columns of `SCHEMA`, whose rows are in the order of `messages`. A
        payload that is not UTF-8 has replacement characters.
    """
    rows = [row_of(one) if isinstance(one, Message) else one for one in messages]
    text = pa.string()
    columns = [
        pa.array([row.project_id for row in rows], text),
        pa.array([row.device_id for row in rows], text),
        _times([row.time for row in rows]),
        _times([row.device_time for row in rows]),
        pa.array([row.type for row in rows], text),
        pa.array([row.channel for row in rows], text),
        _payloads([own_bytes(row.payload) for row in rows]),
        pa.array([_json(row.more) if row.more else None for row in rows], text),
        pa.array(keys_of(rows), text),
    ]
    return pa.RecordBatch.from_arrays(columns, schema=SCHEMA)


def _times(times: Sequence[datetime | None]) -> pa.Array:
    # Arrow parses texts faster than it converts Python's datetimes.
    return pa.array(naive_iso_texts(times), pa.string()).cast(TIME)


def _payloads(payloads: Sequence[bytes]) -> pa.Array:
    try:
        return pa.array(payloads, pa.binary()).cast(pa.string())
    except pa.ArrowInvalid:  # a payload is not UTF-8
        return pa.array([each.decode("utf-8", "replace") for each in payloads], pa.string())


def _json(extra: object) -> str:
    return msgspec.json.encode(extra).decode()
