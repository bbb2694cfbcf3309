"""Messages as one JSON text, which DuckDB divides into rows."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

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


class _RejectedRow(msgspec.Struct, gc=False):
    """What was rejected as a row: times as above, bytes as base64."""

    key: str
    device_id: str
    reason: str
    path: str
    timestamp: int | None = None
    device_timestamp: int | None = None
    type: str | None = None
    channel: str | None = None
    payload: str | None = None
    extra: str | None = None
    raw: str | None = None


def rows_of(messages: Sequence[Message]) -> str:
    """Messages as rows, in one JSON array."""
    keys = keys_of(messages)
    return _encode(
        [_row(message, key) for message, key in zip(messages, keys, strict=True)]
    ).decode()


def rejected_rows_of(rejected: Iterable[Rejected]) -> str:
    """What was rejected as rows, in one JSON array."""
    return _encode([_rejected_row(one) for one in rejected]).decode()


def _rejected_row(one: Rejected) -> _RejectedRow:
    row = _RejectedRow(one.key, one.device_id, one.reason, one.path)
    message = one.message
    if message is not None:
        row.timestamp = epoch_ms(message.timestamp)
        row.device_timestamp = _milliseconds(message.device_timestamp)
        row.type, row.channel, row.extra = message.type, message.channel, _json(message.extra)
        row.payload = b64encode(message.payload_json).decode()
    if one.raw is not None:
        row.raw = b64encode(one.raw).decode()
    return row


def _row(message: Message, key: str) -> _DatabaseRow:
    return _DatabaseRow(
        key,
        message.device_id,
        epoch_ms(message.timestamp),
        _milliseconds(message.device_timestamp),
        message.type,
        message.channel,
        message.payload_json.decode(),
        _json(message.extra),
    )


def _milliseconds(time: datetime | None) -> int | None:
    return None if time is None else epoch_ms(time)


def _json(extra: Mapping[str, Any]) -> str | None:
    return _encode(extra).decode() if extra else None
