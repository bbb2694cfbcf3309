"""A message of a device, and the pages and batches that messages come in.

A message's payload is kept as the slice of JSON that arrived and is decoded when
it is first looked at: who hands it on to a file or a database never pays for it.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from hashlib import blake2b
from typing import Any, Final, cast

import attrs
import msgspec
from attrs import field, frozen

from ..errors import DecodeError
from ._time import epoch_ms
from ._values import OpenEnum
from .cursor import Cursor

UNREAD: Final = msgspec.UNSET
"""Stands in a message whose payload was not looked at."""

_set: Final = object.__setattr__  # what a frozen class keeps for itself it may still set
_decode = msgspec.json.Decoder().decode
_encode_sorted = msgspec.json.Encoder(order="deterministic").encode


class MessageType(OpenEnum):
    """Who produced a message."""

    USERDEFINED = "userdefined"
    IOTTLYAGENT = "iottlyagent"


@frozen(kw_only=True, weakref_slot=False)
class Message:
    """One message that a device sent (v1.0, "Message History" and "Paginated Messages").

    Attributes:
        device_id: the device that sent it.
        project_id: the project it belongs to.
        timestamp: the server's time of arrival; aware, UTC, in milliseconds.
        device_timestamp: the time the device recorded; aware, UTC (D5); None where absent.
        type: "userdefined" (from user scripts), "iottlyagent" (from the agent), or a
            value the documents do not name; None where absent.
        payload_json: the payload as the JSON bytes that arrived, unread.
        id: the service's id; only the history endpoint gives one, elsewhere None.
        channel: the channel it was sent on; None where absent.
        extra: fields that the documents do not name, by their names on the wire (D8);
            the value of one that is not valid JSON is its bytes.
    """

    device_id: str
    project_id: str | None = None
    timestamp: datetime
    device_timestamp: datetime | None = None
    type: MessageType | None = None
    payload_json: bytes = b"null"
    id: str | None = None
    channel: str | None = None
    extra: Mapping[str, Any] = field(factory=dict, hash=False)
    _payload: Any = field(default=UNREAD, init=False, eq=False, repr=False)
    _digest: str | None = field(default=None, init=False, eq=False, repr=False)
    _ordinal: int = field(default=0, init=False, eq=False, repr=False)

    @property
    def payload(self) -> Any:
        """The payload, decoded when first looked at and kept; usually a dict.

        Of duplicate keys in one object the last wins.

        Raises:
            DecodeError: the payload is not valid JSON (NaN, bad UTF-8, a number out of
                range, nesting too deep); `payload_json` still has its bytes.
        """
        payload = self._payload
        if payload is not UNREAD:
            return payload
        try:
            payload = _decode(self.payload_json)
        except (ValueError, RecursionError) as error:
            reason = "nested too deeply" if isinstance(error, RecursionError) else "not valid JSON"
        else:
            _set(self, "_payload", payload)
            return payload
        # Raised outside the except block: the foreign error may quote the payload.
        raise DecodeError(f"the message's payload is {reason}", path="$.payload")

    @property
    def key(self) -> str:
        """A deterministic key of the stored message, for idempotent writes.

        A hash of project, device, times, type, channel and payload (whatever the order
        of its keys), the same across runs, endpoints and directions. Identical messages
        of one millisecond get "-1", "-2", … behind it; which of them gets which is
        without meaning, as they are identical. The ordinals are counted over the whole
        millisecond by walks, and within one answer by `page` and `recent`.
        """
        return f"{self.digest}-{self._ordinal}" if self._ordinal else self.digest

    @property
    def digest(self) -> str:
        """The part of `key` that identical messages share: 32 hexadecimal digits."""
        if self._digest is None:
            _set(self, "_digest", self._hash())
        return cast(str, self._digest)

    def _hash(self) -> str:
        device_time = self.device_timestamp
        head = [
            self.project_id,
            self.device_id,
            epoch_ms(self.timestamp),
            None if device_time is None else epoch_ms(device_time),
            self.type,
            self.channel,
        ]
        try:
            body = _encode_sorted(_decode(self.payload_json))
        except (ValueError, RecursionError):
            body = self.payload_json
        return blake2b(msgspec.json.encode(head) + body, digest_size=16).hexdigest()

    def numbered(self, ordinal: int) -> Message:
        """This message as the `ordinal`-th, from 0, of identical ones in its millisecond."""
        if ordinal == self._ordinal:
            return self
        twin = attrs.evolve(self)
        _set(twin, "_digest", self._digest)
        _set(twin, "_ordinal", ordinal)
        return twin


# A mutable class of the same slots, without an __init__: one is made, filled slot by slot
# and turned into a Message by its __class__, at a sixth of what the frozen class's own
# __init__ costs; a walk makes millions. Who fills one fills every slot.
_SLOTS: Final = [attribute.name for attribute in attrs.fields(Message)]
MessageDraft: Any = type("MessageDraft", (), {"__slots__": _SLOTS})


@frozen(kw_only=True)
class MessagePage:
    """One page of messages, in the order asked for.

    Attributes:
        messages: the page's messages.
    """

    messages: tuple[Message, ...]


@frozen(kw_only=True)
class MessageBatch:
    """Messages that a walk hands out together, and the cursor that follows them.

    Attributes:
        messages: in the order asked for; whole milliseconds only.
        cursor: where to go on once these messages are stored.
    """

    messages: list[Message]
    cursor: Cursor
