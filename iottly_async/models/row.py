"""A message as it was read from an answer: typed fields, of which no `Message` was made yet.

Walks and jobs pass rows on, and a `Message` is made when a user asks for it. msgspec fills the
rows while it reads an answer, and the garbage collector does not track them. Lines and columns
are made of rows directly.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from hashlib import blake2b
from itertools import compress
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
    _form: bytes | None = None  # of `forms_of`, if the payload can be read
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
                form = self._form
                payload = decode_payload(self.payload) if form is None else msgspec.Raw(form)
                data = _encode([*head, payload])
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


def digest_all(rows: Sequence[MessageRow], payloads: Sequence[Any]) -> None:
    """Compute the `digest` of rows that have none yet, at half the cost of one after the other.

    Args:
        rows: any number.
        payloads: of each, as `payloads_of` returns them.
    """
    unknown = [row._digest is None for row in rows]
    if not all(unknown):
        rows, payloads = [*compress(rows, unknown)], [*compress(payloads, unknown)]
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


def payloads_of(rows: Sequence[MessageRow]) -> list[Any] | None:
    """Decode the payloads of many rows, in one call.

    Returns:
        For each row a value for `digest_all`: the decoded payload, or the JSON that `forms_of` has
        made of it before. None if one of the payloads cannot be read.
    """
    unread = [row.payload for row in rows if row._form is None]
    values = decode_together(unread)
    if values is None or len(unread) == len(rows):
        return values
    decoded = iter(values)
    return [next(decoded) if row._form is None else msgspec.Raw(row._form) for row in rows]


def forms_of(rows: Sequence[MessageRow]) -> list[bytes]:
    """Write the payloads of many rows in one form, whatever the form in which they arrived.

    A row keeps it, so that its payload is not decoded again for its digest.

    Returns:
        The JSON of each payload, without spaces, and with the keys of objects in order. A payload
        that cannot be read stays as it is.
    """
    values = decode_together([row.payload for row in rows])
    if values is None:
        return [*map(_form_of, rows)]
    *forms, _ = _encode_lines(values).split(b"\n")
    for row, form in zip(rows, forms, strict=True):
        row._form = form
    return forms


def _form_of(row: MessageRow) -> bytes:
    try:
        form = _encode(decode_payload(row.payload))
    except DecodeError:
        return bytes(row.payload)
    row._form = form
    return form


def keys_of(rows: Sequence[Any]) -> list[str]:
    """The `key` of each row, or of each message."""
    return [one.key if one._ordinal or one._digest is None else one._digest for one in rows]
