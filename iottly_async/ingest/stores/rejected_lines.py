"""What was rejected as JSON lines, and what a reader needs of them; for all stores in files."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any, Final

import msgspec

from ...models._time import epoch_ms, iso_texts
from .base import Rejected

_encode_lines: Final = msgspec.json.Encoder().encode_lines


class _RejectedLine(msgspec.Struct):
    """What was rejected, as a line. Its bytes need not be text, so they are base64."""

    reason: str
    path: str
    key: str
    device_id: str
    timestamp: str | None = None
    device_timestamp: str | None = None
    type: str | None = None
    channel: str | None = None
    payload_base64: str | None = None
    extra: Any = None
    raw_base64: str | None = None


class RejectedMark(msgspec.Struct, gc=False):
    """What a reader needs of a rejected line.

    Attributes:
        device_id: the device that it was fetched for.
        key: as `Rejected.key`.
        timestamp: of the message; None if the row is no message.
    """

    device_id: str
    key: str
    timestamp: str | None

    @property
    def time(self) -> int | None:
        """The timestamp in milliseconds since the epoch."""
        if self.timestamp is None:
            return None
        return epoch_ms(datetime.fromisoformat(self.timestamp))


def rejected_lines_of(rejected: Iterable[Rejected]) -> bytes:
    """What was rejected, as lines."""
    return _encode_lines([_line(one) for one in rejected])


def marks_of(lines: Iterable[bytes]) -> Iterator[RejectedMark]:
    """What a reader needs of each rejected line."""
    return map(msgspec.json.Decoder(RejectedMark).decode, lines)


def dated(marks: Iterable[RejectedMark]) -> Iterator[tuple[str, int]]:
    """The device and the time, in milliseconds, of each rejected message."""
    for mark in marks:
        if (time := mark.time) is not None:
            yield mark.device_id, time


def unreadable_of(marks: Iterable[RejectedMark]) -> dict[str, set[str]]:
    """The keys of the rejected rows that are no messages, by device (`StoredState`)."""
    keys: dict[str, set[str]] = {}
    for mark in marks:
        if mark.timestamp is None:
            keys.setdefault(mark.device_id, set()).add(mark.key)
    return keys


def _line(one: Rejected) -> _RejectedLine:
    line = _RejectedLine(one.reason, one.path, one.key, one.device_id)
    message = one.message
    if message is not None:
        times = iso_texts([message.timestamp, message.device_timestamp])
        line.timestamp, line.device_timestamp = times
        line.type, line.channel, line.extra = message.type, message.channel, message.extra or None
        line.payload_base64 = b64encode(message.payload_json).decode()
    if one.raw is not None:
        line.raw_base64 = b64encode(one.raw).decode()
    return line
