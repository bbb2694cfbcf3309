"""Messages as one JSON text, which DuckDB divides into rows."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from ....models import Message
from ....models._time import epoch_ms
from ....models.message import keys_of
from ..base import Rejected

_encode: Final = msgspec.json.Encoder().encode


# gc=False: a row cannot be part of a reference cycle, so the collector may skip it.
class _DatabaseRow(msgspec.Struct, gc=False):
    """A message as a row: times in milliseconds since the epoch, JSON and the rest as texts."""

    key: str
    device_id: str
    timestamp: int
    device_timestamp: int | None
    type: str | None
    channel: str | None
    payload: str
    extra: str | None
    reason: str | None = None


def rows_of(messages: Sequence[Message]) -> str:
    """Messages as rows, in one JSON array."""
    keys = keys_of(messages)
    return _encode(
        [_row(message, key) for message, key in zip(messages, keys, strict=True)]
    ).decode()


def rejected_rows_of(rejected: Iterable[Rejected]) -> str:
    """Rejected messages as rows, in one JSON array. Their payloads are base64."""
    rows = []
    for one in rejected:
        row = _row(one.message, one.message.key, b64encode(one.message.payload_json))
        row.reason = one.reason
        rows.append(row)
    return _encode(rows).decode()


def _row(message: Message, key: str, payload: bytes | None = None) -> _DatabaseRow:
    device_time, extra = message.device_timestamp, message.extra
    return _DatabaseRow(
        key,
        message.device_id,
        epoch_ms(message.timestamp),
        None if device_time is None else epoch_ms(device_time),
        message.type,
        message.channel,
        (message.payload_json if payload is None else payload).decode(),
        _encode(extra).decode() if extra else None,
    )
