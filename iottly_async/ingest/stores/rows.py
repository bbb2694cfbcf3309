"""Messages as rows of JSON: the columns that every text-born store shares."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgspec
from msgspec import Raw

from ...models import Message
from ...models._time import epoch_ms, iso_texts
from ...models.message import keys_of
from .base import Rejected

_encode: Final = msgspec.json.Encoder().encode
_encode_lines: Final = msgspec.json.Encoder().encode_lines


# None of these can be part of a cycle, so the collector need not look at them (gc=False).
class _Line(msgspec.Struct, gc=False):
    """A message as a line of a JSON lines file."""

    key: str
    device_id: str
    timestamp: str | None
    device_timestamp: str | None
    type: str | None
    channel: str | None
    payload: Raw
    extra: Any


class _RejectedLine(msgspec.Struct):
    """A rejected message as a line; its payload as base64, since it need not be text."""

    reason: str
    key: str
    device_id: str
    timestamp: str | None
    device_timestamp: str | None
    type: str | None
    channel: str | None
    payload_base64: str
    extra: Any


class _Row(msgspec.Struct, gc=False):
    """A message on its way into a database: times in milliseconds, the rest as texts."""

    key: str
    device_id: str
    timestamp: int
    device_timestamp: int | None
    type: str | None
    channel: str | None
    payload: str
    extra: str | None
    reason: str | None = None


def lines_of(messages: Sequence[Message]) -> bytes:
    """Messages as lines; the payloads go through unread."""
    payloads = [message.payload_json for message in messages]
    if _has_line_end(b"".join(payloads)):
        payloads = [_one_line(payload) for payload in payloads]
    columns = zip(
        messages,
        keys_of(messages),
        iso_texts([message.timestamp for message in messages]),
        iso_texts([message.device_timestamp for message in messages]),
        payloads,
        strict=True,
    )
    return _encode_lines(
        [
            _Line(
                key,
                one.device_id,
                time,
                device_time,
                one.type,
                one.channel,
                Raw(payload),
                one.extra or None,
            )
            for one, key, time, device_time, payload in columns
        ]
    )


def rejected_lines_of(rejected: Iterable[Rejected]) -> bytes:
    """Rejected messages as lines."""
    return _encode_lines([_rejected_line(one.message, one.reason) for one in rejected])


def _rejected_line(message: Message, reason: str) -> _RejectedLine:
    time, device_time = iso_texts([message.timestamp, message.device_timestamp])
    return _RejectedLine(
        reason,
        message.key,
        message.device_id,
        time,
        device_time,
        message.type,
        message.channel,
        b64encode(message.payload_json).decode(),
        message.extra or None,
    )


def rows_of(messages: Sequence[Message]) -> str:
    """Messages as rows, in one JSON array."""
    keys = keys_of(messages)
    return _encode(
        [_row(message, key) for message, key in zip(messages, keys, strict=True)]
    ).decode()


def rejected_rows_of(rejected: Iterable[Rejected]) -> str:
    """Rejected messages as rows, in one JSON array; their payloads in base64."""
    rows = []
    for one in rejected:
        row = _row(one.message, one.message.key, b64encode(one.message.payload_json))
        row.reason = one.reason
        rows.append(row)
    return _encode(rows).decode()


def _row(message: Message, key: str, payload: bytes | None = None) -> _Row:
    device_time, extra = message.device_timestamp, message.extra
    return _Row(
        key,
        message.device_id,
        epoch_ms(message.timestamp),
        None if device_time is None else epoch_ms(device_time),
        message.type,
        message.channel,
        (message.payload_json if payload is None else payload).decode(),
        _encode(extra).decode() if extra else None,
    )


def _has_line_end(data: bytes) -> bool:
    return b"\n" in data or b"\r" in data


def _one_line(payload: bytes) -> bytes:
    """`payload` without line ends, which JSON allows between its tokens."""
    return msgspec.json.format(payload, indent=-1) if _has_line_end(payload) else payload
