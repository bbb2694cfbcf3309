"""Messages to JSON lines, and the device and the time of lines that are read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any, Final

import msgspec
from msgspec import Raw

from ....models import Message
from ....models._time import epoch_ms, iso_texts, naive_iso_texts
from ....models.message import row_of
from ....models.row import MessageRow, keys_of
from ..devices import StoredDevice

_encode_lines: Final = msgspec.json.Encoder().encode_lines
_decode_devices: Final = msgspec.json.Decoder(StoredDevice).decode_lines


# gc=False: a line cannot be part of a reference cycle, so the collector may skip it.
class _MessageLine(msgspec.Struct, gc=False):
    """A message as a line."""

    key: str
    device_id: str
    timestamp: str | None
    device_timestamp: str | None
    type: str | None
    channel: str | None
    payload: Raw
    extra: Any


class _LineTime(msgspec.Struct, gc=False):
    """What `times_of` reads of a line."""

    device_id: str
    timestamp: str


def lines_of(messages: Sequence[MessageRow] | Sequence[Message]) -> bytes:
    """Messages as lines. Payloads are copied as they are, without decoding.

    Args:
        messages: any number; as rows, it takes a third of the time.

    Returns:
        A line for each, in their order.
    """
    rows = [row_of(one) if isinstance(one, Message) else one for one in messages]
    payloads = [row.payload for row in rows]
    if _has_line_end(b"".join(payloads)):
        payloads = [_one_line(payload) for payload in payloads]
    columns = zip(
        rows,
        keys_of(rows),
        naive_iso_texts([row.time for row in rows]),
        naive_iso_texts([row.device_time for row in rows]),
        payloads,
        strict=True,
    )
    return _encode_lines(
        [
            _MessageLine(
                key, row.device_id, time, device_time, row.type, row.channel, payload, row.more
            )
            for row, key, time, device_time, payload in columns
        ]
    )


def times_of(lines: Iterable[bytes]) -> Iterator[tuple[str, int]]:
    """The device and the time, in milliseconds, of each line."""
    for line in map(msgspec.json.Decoder(_LineTime).decode, lines):
        yield line.device_id, epoch_ms(datetime.fromisoformat(line.timestamp))


def _has_line_end(data: bytes) -> bool:
    return b"\n" in data or b"\r" in data


def _one_line(payload: Raw) -> Raw:
    """The payload without line ends, which JSON allows between its tokens."""
    data = bytes(payload)
    return Raw(msgspec.json.format(data, indent=-1)) if _has_line_end(data) else payload


def device_lines_of(devices: Sequence[StoredDevice]) -> bytes:
    """Devices as lines, in their order."""
    first = iso_texts([device.first_seen for device in devices])
    last = iso_texts([device.last_seen for device in devices])
    return _encode_lines(
        [
            {**msgspec.structs.asdict(device), "first_seen": begin, "last_seen": end}
            for device, begin, end in zip(devices, first, last, strict=True)
        ]
    )


def devices_of(lines: bytes) -> list[StoredDevice]:
    """The devices in such lines; raises `ValueError` if they are something else."""
    return _decode_devices(lines)
