"""Messages as an Arrow record batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec
import pyarrow as pa

from ..models import Message
from ..models._time import digest_texts
from ..models.message import row_of
from ..models.row import MessageRow, digest_all, keys_of, own_bytes, payloads_of
from .schema import SCHEMA, TIME

_CHUNK: Final = 500
"""Rows that are hashed together: more leave the processor's cache, or share a bad payload."""

_FINER: Final = pa.timestamp("us", tz="UTC")


def record_batch(messages: Sequence[MessageRow] | Sequence[Message]) -> pa.RecordBatch:
    """Make a record batch with one row a message.

    Args:
        messages: any number, of any devices; as rows, it takes half the time.

    Returns:
        A batch with the columns of `SCHEMA`, whose rows are in the order of `messages`. A
        payload that is not UTF-8 has replacement characters.
    """
    rows = [row_of(one) if isinstance(one, Message) else one for one in messages]
    times: list[str | None] = []
    device_times: list[str | None] = []
    for begin in range(0, len(rows), _CHUNK):
        chunk = rows[begin : begin + _CHUNK]
        arrived = digest_texts([row.time for row in chunk])
        recorded = digest_texts([row.device_time for row in chunk])
        _digest(chunk, arrived, recorded)
        times += arrived
        device_times += recorded
    text = pa.string()
    columns = [
        pa.array([row.project_id for row in rows], text),
        pa.array([row.device_id for row in rows], text),
        _times(times),
        _times(device_times),
        pa.array([row.type for row in rows], text),
        pa.array([row.channel for row in rows], text),
        _payloads([own_bytes(row.payload) for row in rows]),
        pa.array([_json(row.more) if row.more else None for row in rows], text),
        pa.array(keys_of(rows), text),
    ]
    return pa.RecordBatch.from_arrays(columns, schema=SCHEMA)


def _digest(
    rows: Sequence[MessageRow], times: Sequence[str | None], device_times: Sequence[str | None]
) -> None:
    """Compute the digests that are not known yet; the texts serve for columns, too."""
    if any([row._digest is None for row in rows]):  # noqa: C419 - faster
        payloads = payloads_of(rows)
        if payloads is not None:
            digest_all(rows, payloads, times, device_times)


def _times(texts: Sequence[str | None]) -> pa.Array:
    # Arrow parses texts faster than it converts Python's datetimes.
    return pa.array(texts, pa.string()).cast(_FINER).cast(TIME)


def _payloads(payloads: Sequence[bytes]) -> pa.Array:
    try:
        return pa.array(payloads, pa.binary()).cast(pa.string())
    except pa.ArrowInvalid:  # a payload is not UTF-8
        return pa.array([each.decode("utf-8", "replace") for each in payloads], pa.string())


def _json(extra: object) -> str:
    return msgspec.json.encode(extra).decode()
