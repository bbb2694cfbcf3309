"""Messages in the binary format of COPY, and those that PostgreSQL cannot store.

This file writes the format itself: asyncpg, which takes tuples, needs twice the time.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from struct import Struct
from typing import Any, Final

import msgspec

from ....models.row import MessageRow, keys_of, own_bytes
from ..base import Rejected

Refused = tuple[MessageRow, str]

_NUL: Final = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")
_EPOCH: Final = datetime(2000, 1, 1)  # noqa: DTZ001 - of PostgreSQL's binary times, in UTC
_MICROSECOND: Final = timedelta(microseconds=1)
_CHUNK: Final = 1_000  # rows

_HEAD: Final = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_FIELDS: Final = b"\0\x08"
_END: Final = b"\xff\xff"
_NULL: Final = b"\xff\xff\xff\xff"
_USUAL: Final = 32  # characters of a key; more if it has an ordinal
_NO_EXTRA: Final = _NULL + _USUAL.to_bytes(4)
_JSONB: Final = 1  # the version in the first byte of a binary jsonb
_time: Final = Struct(">iq4s").pack
_times: Final = Struct(">iqiq").pack
_length: Final = Struct(">i").pack
_json_head: Final = Struct(">iB").pack


def copy_rows(rows: Sequence[MessageRow]) -> Iterator[bytes]:
    """Messages as the rows of a binary COPY, in the order of `COLUMNS`, in chunks."""
    yield _HEAD
    for begin in range(0, len(rows), _CHUNK):
        yield b"".join(_parts(rows[begin : begin + _CHUNK]))
    yield _END


def _parts(rows: Sequence[MessageRow]) -> list[bytes]:
    parts: list[bytes] = []
    keys = "\n".join(keys_of(rows)).encode().split(b"\n")
    times = [(row.time - _EPOCH) // _MICROSECOND for row in rows]
    device_id = kind = channel = None
    head = label = b""
    for row, key, time in zip(rows, keys, times, strict=True):
        # Consecutive rows mostly have the same device and type, so these are encoded once.
        if row.device_id != device_id:
            device_id = row.device_id
            head = _FIELDS + _text(device_id)
        if row.type is not kind or row.channel != channel or not label:
            kind, channel = row.type, row.channel
            label = _text(kind) + _text(channel)
        at, payload, extra = row.device_time, row.payload, row.more
        parts += (
            head,
            _time(8, time, _NULL)
            if at is None
            else _times(8, time, 8, (at - _EPOCH) // _MICROSECOND),
            label,
            _json_head(len(payload) + 1, _JSONB),
            payload,
            _json(extra) + _length(len(key)) if extra or len(key) != _USUAL else _NO_EXTRA,
            key,
        )
    return parts


def _text(text: str | None) -> bytes:
    if text is None:
        return _NULL
    data = text.encode()
    return _length(len(data)) + data


def _json(value: Mapping[str, Any] | None) -> bytes:
    if not value:
        return _NULL
    data = msgspec.json.encode(value)
    return _json_head(len(data) + 1, _JSONB) + data


def rejected_row(rejected: Rejected) -> tuple[Any, ...]:
    """What was rejected as the arguments of `REJECT`.

    PostgreSQL refuses a text with a NUL. A type or channel with a NUL goes into `extra`.
    """
    end = (rejected.key, rejected.reason, rejected.path, rejected.raw)
    message = rejected.message
    if message is None:
        return (rejected.device_id, *[None] * 6, *end)
    extra = dict(message.extra)
    texts: dict[str, str | None] = {"type": message.type, "channel": message.channel}
    for name, text in texts.items():
        if text is not None and "\0" in text:
            extra[name], texts[name] = text, None
    return (
        message.device_id,
        message.timestamp,
        message.device_timestamp,
        texts["type"],
        texts["channel"],
        message.payload_json,
        msgspec.json.encode(extra).decode() if extra else None,
        *end,
    )


def without_nul(rows: Sequence[MessageRow]) -> tuple[Sequence[MessageRow], list[Refused]]:
    """Divide rows into those without a NUL, and refused ones.

    A NUL is the usual reason for a refusal, and this is faster than halving the group.
    """
    if not _may_hold_nul(rows):
        return rows, []
    reason = "a text holds a NUL (\\u0000), which jsonb and text cannot"
    good = [row for row in rows if not _holds_nul(row)]
    return good, [(row, reason) for row in rows if _holds_nul(row)]


def _may_hold_nul(rows: Sequence[MessageRow]) -> bool:
    return (
        b"\\u0000" in b"".join([row.payload for row in rows])
        or "\0" in "".join([row.channel or "" for row in rows])
        or "\0" in "".join([row.type or "" for row in rows])
        or bool([row for row in rows if row.more])
    )


def _holds_nul(row: MessageRow) -> bool:
    payload, extra = own_bytes(row.payload), row.more
    return (
        (b"\\u0000" in payload and _NUL.search(payload) is not None)
        or "\0" in (row.channel or "")
        or "\0" in (row.type or "")
        or bool(extra and _NUL.search(msgspec.json.encode(extra)))
    )
