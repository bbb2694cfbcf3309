"""A message as it was read from an answer: typed fields, of which no `Message` was made yet.

Walks and jobs pass rows on, and a `Message` is made when a user asks for it. msgspec fills the
rows while it reads an answer, and the garbage collector does not track them. Lines and columns
are made of rows directly.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from hashlib import blake2b
from types import MappingProxyType
from typing import Any, Final

import msgspec

from ..errors import DecodeError
from ._payload import decode_payload, decode_together
from ._time import as_utc, digest_texts, naive_ms
from .message_type import MessageType

_encoder: Final = msgspec.json.Encoder(order="deterministic")
_encode: Final = _encoder.encode
_encode_lines: Final = _encoder.encode_lines
own_bytes: Final[Callable[[msgspec.Raw], bytes]] = msgspec.json.Encoder().encode
"""Copies a slice, so that it does not keep the whole body in memory; faster than `bytes()`."""

_new_hash: Final = blake2b(digest_size=16).copy  # a copy costs half of a new hash
_NO_EXTRA: Final[Mapping[str, Any]] = MappingProxyType({})


# gc=False: a row holds plain values, and cannot be part of a reference cycle.
class MessageRow(msgspec.Struct, gc=False):
    """One message of an answer.

    Attributes:
        device_id: as in `Message`.
        time: when it arrived at the server: UTC, without a zone, as the service writes it (D5).
        type: as in `Message`.
        payload: its JSON, a slice of the answer that it came with.
        device_time: the time that the device recorded: UTC, without a zone; None if it is
            missing or cannot be read.
        project_id: as in `Message`.
        channel: as in `Message`.
        id: as in `Message`.
        more: `Message.extra`; None if there are no such fields.
    """

    device_id: str
    time: datetime
    type: MessageType | None
    payload: msgspec.Raw
    device_time: datetime | None = None
    project_id: str | None = None
    channel: str | None = None
    id: str | None = None
    more: Mapping[str, Any] | None = None
    _digest: str | None = None
    _ordinal: int = 0

    @property
    def at(self) -> int:
        """`time` in whole milliseconds since the epoch, rounded down."""
        return naive_ms(self.time)

    @property
    def timestamp(self) -> datetime:
        """As in `Message`."""
        return as_utc(self.time)

    @property
    def device_timestamp(self) -> datetime | None:
        """As in `Message`."""
        return None if self.device_time is None else as_utc(self.device_time)

    @property
    def payload_json(self) -> bytes:
        """A copy of the payload, which does not keep the whole answer in memory."""
        return own_bytes(self.payload)

    @property
    def extra(self) -> Mapping[str, Any]:
        """As in `Message`."""
        return self.more or _NO_EXTRA

    @property
    def key(self) -> str:
        """As in `Message`."""
        return f"{self.digest}-{self._ordinal}" if self._ordinal else self.digest

    @property
    def digest(self) -> str:
        """As in `Message`."""
        if self._digest is None:
            times = digest_texts([self.time, self.device_time])
            head = [self.project_id, self.device_id, *times, self.type, self.channel]
            try:
                data = _encode([*head, decode_payload(self.payload)])
            except DecodeError:
                data = _encode(head) + bytes(self.payload)
            hash_ = _new_hash()
            hash_.update(data)
            self._digest = hash_.hexdigest()
        return self._digest

    def numbered(self, ordinal: int) -> MessageRow:
        """Number this row among the identical ones of its millisecond, as `Message.numbered`."""
        if ordinal == self._ordinal:
            return self
        return msgspec.structs.replace(self, _ordinal=ordinal)


def digest_all(
    rows: Sequence[MessageRow],
    payloads: Sequence[Any],
    times: Sequence[str | None] | None = None,
    device_times: Sequence[str | None] | None = None,
) -> None:
    """Compute the `digest` of many rows, at half the cost of one after the other.

    Args:
        rows: any number.
        payloads: the decoded payload of each.
        times: the `digest_texts` of their times; None, the default, computes them.
        device_times: the same of their device times.
    """
    if times is None or device_times is None:
        times = digest_texts([row.time for row in rows])
        device_times = digest_texts([row.device_time for row in rows])
    lines = _encode_lines(
        [
            (row.project_id, row.device_id, time, device_time, row.type, row.channel, payload)
            for row, time, device_time, payload in zip(
                rows, times, device_times, payloads, strict=True
            )
        ]
    )
    # A line of JSON contains no line end; there is one after the last line.
    for row, line in zip(rows, lines.split(b"\n"), strict=False):
        hash_ = _new_hash()
        hash_.update(line)
        row._digest = hash_.hexdigest()


def digest_together(rows: Sequence[MessageRow]) -> None:
    """Compute the `digest` of many rows, of those that have none yet.

    Their payloads are decoded in one call, and not kept. If one of them cannot be read,
    nothing is computed: each row then computes its own digest when it is read.
    """
    unknown = [row for row in rows if row._digest is None]
    payloads = decode_together([row.payload for row in unknown])
    if payloads is not None:
        digest_all(unknown, payloads)


def keys_of(rows: Sequence[Any]) -> list[str]:
    """The `key` of each row, or of each message."""
    return [one.key if one._ordinal or one._digest is None else one._digest for one in rows]
