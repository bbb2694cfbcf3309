"""A message of a device, and the pages and batches that messages come in.

A message's payload is kept as the slice of JSON that arrived and is decoded when
it is first looked at: who hands it on to a file or a database never pays for it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from hashlib import blake2b
from typing import Any, Final, cast

import attrs
import msgspec
from attrs import field, frozen
from attrs.validators import optional

from ..errors import DecodeError
from ._time import check_aware, whole_ms
from ._values import OpenEnum
from .cursor import Cursor

UNREAD: Final = msgspec.UNSET
"""Stands in a message whose payload was not looked at."""

_set: Final = object.__setattr__  # what a frozen class keeps for itself it may still set
_decode = msgspec.json.Decoder().decode
_encoder: Final = msgspec.json.Encoder(order="deterministic")
_encode_sorted: Final = _encoder.encode
_encode_lines: Final = _encoder.encode_lines
_new_hash: Final = blake2b(digest_size=16).copy  # a copy costs half of what a new one does


class MessageType(OpenEnum):
    """Who produced a message."""

    USERDEFINED = "userdefined"
    IOTTLYAGENT = "iottlyagent"


class MessageDraft:
    """A message that is being made: filled slot by slot, and turned into one by its class.

    A walk makes millions of messages, and by the `__init__` of a frozen class each would
    cost six times as much. Who fills one fills every slot, and sets `__class__`. It is the
    base of `Message`, with all of its slots, and not a twin beside it, as Python then has
    no names of slots to compare before it changes the class: 25 ns against 60.
    """

    __slots__ = (
        "_digest",
        "_ordinal",
        "_payload",
        "channel",
        "device_id",
        "device_timestamp",
        "extra",
        "id",
        "payload_json",
        "project_id",
        "timestamp",
        "type",
    )


@frozen(kw_only=True, weakref_slot=False)
class Message(MessageDraft):
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

    Raises:
        ConfigurationError: one that you make yourself is given a naive time (D5).
    """

    device_id: str
    project_id: str | None = None
    timestamp: datetime = field(validator=check_aware)
    device_timestamp: datetime | None = field(default=None, validator=optional(check_aware))
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
            _set_payload(self, payload)
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
        times = whole_ms((self.timestamp, self.device_timestamp))
        head = [self.project_id, self.device_id, *times, self.type, self.channel]
        try:
            data = _encode_sorted([*head, _decode(self.payload_json)])
        except (ValueError, RecursionError):
            data = _encode_sorted(head) + self.payload_json
        hash_ = _new_hash()
        hash_.update(data)
        return hash_.hexdigest()

    def numbered(self, ordinal: int) -> Message:
        """This message as the `ordinal`-th, from 0, of identical ones in its millisecond."""
        if ordinal == self._ordinal:
            return self
        twin = attrs.evolve(self)
        _set(twin, "_digest", self._digest)
        _set(twin, "_ordinal", ordinal)
        return twin


_set_payload: Final = vars(MessageDraft)["_payload"].__set__
_set_digest: Final = vars(MessageDraft)["_digest"].__set__


def digest_all(messages: Sequence[Message], payloads: Sequence[Any]) -> None:
    """Let messages know their `digest`, at half of what each costs that is asked for its own.

    Args:
        messages: any number.
        payloads: what their payloads decode to, one for each.
    """
    times = whole_ms([message.timestamp for message in messages])
    device_times = whole_ms([message.device_timestamp for message in messages])
    lines = _encode_lines(
        [
            (one.project_id, one.device_id, time, device_time, one.type, one.channel, payload)
            for one, time, device_time, payload in zip(
                messages, times, device_times, payloads, strict=True
            )
        ]
    )
    # JSON has no line end within a line, and one stands behind the last.
    for message, line in zip(messages, lines.split(b"\n"), strict=False):
        hash_ = _new_hash()
        hash_.update(line)
        _set_digest(message, hash_.hexdigest())


def keys_of(messages: Sequence[Message]) -> list[str]:
    """The `key` of each of the messages."""
    return [one.key if one._ordinal or one._digest is None else one._digest for one in messages]


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
