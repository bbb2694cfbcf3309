"""Rejected rows as one JSON text, which DuckDB divides into rows."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Final

import msgspec

from ....models._time import epoch_ms
from ..base import Rejected

_encode: Final = msgspec.json.Encoder().encode


class _RejectedRow(msgspec.Struct):
    """What was rejected as a row: times in milliseconds since the epoch, bytes as base64."""

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


def _milliseconds(time: datetime | None) -> int | None:
    return None if time is None else epoch_ms(time)


def _json(extra: Mapping[str, Any]) -> str | None:
    return _encode(extra).decode() if extra else None
