"""Pages by hand: raw aiohttp, and msgspec's decoding into typed rows; the floor of a job.

A program by hand that can be run again needs a key for each row, and messages have no id. So it
computes the same keys as the library (`Message.key`), without a check of a payload.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from hashlib import blake2b
from typing import Any, Final

import aiohttp
import msgspec

from .clients import by_attribute as time_of
from .clients import held_from, url
from .pages import DEVICE, SIZE


class WireRow(msgspec.Struct, gc=False, rename={"sender": "from"}):
    """A row of a page, as a reader of typed rows declares it."""

    sender: str
    timestamp: str
    type: str
    payload: msgspec.Raw
    devicetimestamp: str | None = None
    to: str | None = None
    channel: str | None = None


class WirePage(msgspec.Struct):
    """A page of such rows."""

    messages: list[WireRow]


_decode: Final = msgspec.json.Decoder(WirePage).decode
_decode_values: Final = msgspec.json.Decoder(list[Any]).decode
_encode_lines: Final = msgspec.json.Encoder(order="deterministic").encode_lines


async def typed_pages(
    session: aiohttp.ClientSession, base: str, device_id: str
) -> AsyncIterator[list[WireRow]]:
    """Fetch and decode all pages of a device; each row comes once."""
    start = None
    while True:
        address = url(base, start).replace(DEVICE, device_id)
        async with session.get(address) as response:
            rows = _decode(await response.read()).messages
        if len(rows) < SIZE:
            yield rows
            return
        start = rows[-1].timestamp
        del rows[held_from(rows, time_of) :]
        yield rows


def keys_by_hand(rows: Sequence[WireRow]) -> list[str]:
    """The key of each row: a hash of what the message has, in one form."""
    values = _decode_values(b"[%b]" % b",".join([row.payload for row in rows]))
    lines = _encode_lines(
        [
            (
                row.to,
                row.sender,
                _in_microseconds(row.timestamp),
                row.devicetimestamp and _in_microseconds(row.devicetimestamp),
                row.type,
                row.channel,
                value,
            )
            for row, value in zip(rows, values, strict=True)
        ]
    )
    return [blake2b(line, digest_size=16).hexdigest() for line in lines.splitlines()]


def _in_microseconds(time: str) -> str:
    return f"{time[:19]}Z" if time.endswith(".000") else f"{time}000Z"
