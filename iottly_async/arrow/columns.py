"""Messages as an Arrow record batch."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import msgspec
import pyarrow as pa

from ..models import Message
from ..models._time import iso_texts
from ..models.message import keys_of
from .schema import SCHEMA, TIME


def record_batch(messages: Sequence[Message]) -> pa.RecordBatch:
    """Make a record batch with one row a message.

    Args:
        messages: any number, of any devices.

    Returns:
        A batch with the columns of `SCHEMA`, whose rows are in the order of `messages`. A
        payload or a field of `extra` that is not UTF-8 has replacement characters.
    """
    text = pa.string()
    extras = [one.extra for one in messages]
    columns = [
        pa.array([one.project_id for one in messages], text),
        pa.array([one.device_id for one in messages], text),
        _times([one.timestamp for one in messages]),
        _times([one.device_timestamp for one in messages]),
        pa.array([one.type for one in messages], text),
        pa.array([one.channel for one in messages], text),
        _payloads([one.payload_json for one in messages]),
        pa.array([_json(extra) if extra else None for extra in extras], text),
        pa.array(keys_of(messages), text),
    ]
    return pa.RecordBatch.from_arrays(columns, schema=SCHEMA)


def _times(times: Sequence[datetime | None]) -> pa.Array:
    # Arrow parses texts faster than it converts Python's datetimes.
    return pa.array(iso_texts(times), pa.string()).cast(TIME)


def _payloads(payloads: Sequence[bytes]) -> pa.Array:
    try:
        return pa.array(payloads, pa.binary()).cast(pa.string())
    except pa.ArrowInvalid:  # a payload is not UTF-8
        return pa.array([each.decode("utf-8", "replace") for each in payloads], pa.string())


def _json(extra: object) -> str:
    return msgspec.json.encode(extra).decode()
