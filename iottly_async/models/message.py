"""A message of a device.

A message keeps its payload as the JSON that arrived, and decodes it when `payload` is first
read. Code that writes messages to a file or a database does not pay for decoding.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Final, cast

import attrs
import msgspec
from attrs import field, frozen
from attrs.validators import optional

from ..errors import DecodeError
from ._model import Model
from ._nesting import SHALLOW_BYTES
from ._payload import decode_payload
from ._time import EPOCH, NAIVE_EPOCH, as_naive, check_aware
from .message_type import MessageType
from .row import MessageRow, own_bytes

UNREAD: Final = msgspec.UNSET
"""The value of a payload that was not decoded yet."""

_set: Final = object.__setattr__  # a frozen class sets its private fields by it
_decode = msgspec.json.Decoder().decode


class MessageDraft(Model):
    """A message under construction: its slots are filled, then its class is changed.

    A walk makes millions of messages, and the `__init__` of a frozen class would make each
    six times as expensive. The code that fills a draft sets every slot, and then `__class__`.
    The draft is the base of `Message` and has all of its slots. With a separate class Python
    would compare the names of slots before it changes the class: 60 ns instead of 25 ns.
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
    _digest: str | None
    _ordinal: int
    _payload: Any


@frozen(kw_only=True, weakref_slot=False)
class Message(MessageDraft):
    """One message that a device sent (v1.0, "Message History" and "Paginated Messages").

    Attributes:
        device_id: of the device that sent it.
        project_id: of the project that it belongs to; None if it is unknown.
        timestamp: when it arrived at the server; aware, UTC, in milliseconds.
        device_timestamp: the time that the device recorded; aware, UTC (D5); None if it is
            missing, or cannot be read, such as "Invalid date".
        type: "userdefined" (from user scripts), "iottlyagent" (from the agent), or a value
            that the documents do not name; a number is kept as its text. None if it is
            missing.
        payload_json: the payload as the JSON bytes that arrived, usually an object. Default:
            null.
        id: of the service; None if the message does not come from the history endpoint.
        channel: on which it was sent; a number is kept as its text. None if it is missing.
        extra: fields that the documents do not name, and optional fields that cannot be
            read, by their names on the wire (D8). A value that is not valid JSON is kept as
            its bytes.

    Raises:
        ConfigurationError: a message that you create has a naive time (D5).
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

    def __attrs_post_init__(self) -> None:
        # These slots are no fields: tools that go through the fields do not see them.
        _set(self, "_payload", UNREAD)
        _set(self, "_digest", None)
        _set(self, "_ordinal", 0)

    def __reduce__(self) -> tuple[Any, ...]:
        fields = {each.name: getattr(self, each.name) for each in attrs.fields(type(self))}
        return _rebuild, (type(self), fields, self._digest, self._ordinal)

    def __getitem__(self, name: str) -> Any:
        """The value that `to_dict` has by this name."""
        if name != "payload":
            return super().__getitem__(name)
        try:
            return decode_payload(self.payload_json)  # a copy, for the caller to change
        except DecodeError:
            # One bad payload must not make its page fail.
            return self.payload_text

    def _msgspec_names(self) -> tuple[str, ...]:
        names = super()._msgspec_names()
        try:
            _ = self.payload
        except DecodeError:
            return tuple("payload_text" if name == "payload" else name for name in names)
        return names

    @classmethod
    def _written_names(cls) -> tuple[str, ...]:
        names = [field.name for field in attrs.fields(cls)]
        return (*("payload" if name == "payload_json" else name for name in names), "key")

    @property
    def payload(self) -> Any:
        """The decoded payload, usually a dict. It is decoded when it is first read, and kept.

        Of duplicate keys in one object the last wins.

        Raises:
            DecodeError: the payload is not valid JSON, such as with a NaN, bad UTF-8 or a
                number out of range, or it is nested more than 200 levels deep.
                `payload_json` has its bytes.
        """
        payload = self._payload
        if payload is not UNREAD:
            return payload
        data = self.payload_json
        if len(data) <= SHALLOW_BYTES:
            # Most payloads are short. To decode them here takes a fifth less time.
            try:
                payload = _decode(data)
            except ValueError:
                payload = UNREAD
        if payload is UNREAD:
            payload = decode_payload(data)
        _set_payload(self, payload)
        return payload

    @property
    def payload_text(self) -> str:
        """The payload's JSON as text, also if it cannot be read.

        Bytes that are not UTF-8 become replacement characters.
        """
        return self.payload_json.decode("utf-8", "replace")

    @property
    def key(self) -> str:
        """A deterministic key of the message, for idempotent writes.

        It is a hash of project, device, times, type, channel and payload, whatever the
        order of the payload's keys. It is the same in every run, from every endpoint and in
        both directions. The second and further of identical messages in one millisecond get
        the suffix "-1", "-2", and so on. Walks count them over the whole millisecond, `page`
        and `recent` within one answer.
        """
        return f"{self.digest}-{self._ordinal}" if self._ordinal else self.digest

    @property
    def digest(self) -> str:
        """The part of `key` that identical messages have in common: 32 hexadecimal digits."""
        if self._digest is None:
            _set(self, "_digest", row_of(self).digest)
        return cast(str, self._digest)

    def numbered(self, ordinal: int) -> Message:
        """Number this message among the identical ones of its millisecond.

        Args:
            ordinal: from 0, which gives the key no suffix.

        Returns:
            This message, or a copy with that number.
        """
        if ordinal == self._ordinal:
            return self
        numbered = attrs.evolve(self)
        _set(numbered, "_digest", self._digest)
        _set(numbered, "_ordinal", ordinal)
        return numbered


def _rebuild(
    kind: type[Message], fields: dict[str, Any], digest: str | None, ordinal: int
) -> Message:
    message = kind(**fields)
    _set(message, "_digest", digest)
    _set(message, "_ordinal", ordinal)
    return message


_set_payload: Final = vars(MessageDraft)["_payload"].__set__


def messages_of(rows: Iterable[MessageRow]) -> list[Message]:
    """Make the message of each row."""
    # As measured: a message is filled as a draft, whose class is then changed, so `__init__` is
    # not called. Names of the module are looked up once. replace(tzinfo=UTC) costs ten times
    # the difference.
    draft: Any = MessageDraft  # its slots have no declared types
    model, own, unread, epoch, naive = Message, own_bytes, UNREAD, EPOCH, NAIVE_EPOCH
    messages: list[Message] = []
    add = messages.append
    for row in rows:
        message = draft()
        message.device_id = row.device_id
        message.project_id = row.project_id
        message.timestamp = epoch + (row.time - naive)
        time = row.device_time
        message.device_timestamp = None if time is None else epoch + (time - naive)
        message.type = row.type
        message.payload_json = own(row.payload)
        message.id = row.id
        message.channel = row.channel
        more = row.more
        message.extra = {} if more is None else more
        message._payload = unread
        message._digest = row._digest
        message._ordinal = row._ordinal
        message.__class__ = model
        add(message)
    return messages


def message_of(row: MessageRow) -> Message:
    """Make the message of a row."""
    return messages_of((row,))[0]


def row_of(message: Message) -> MessageRow:
    """Make the row of a message."""
    device_time = message.device_timestamp
    return MessageRow(
        device_id=message.device_id,
        time=as_naive(message.timestamp),
        type=message.type,
        payload=msgspec.Raw(message.payload_json),
        device_time=None if device_time is None else as_naive(device_time),
        project_id=message.project_id,
        channel=message.channel,
        id=message.id,
        more=message.extra or None,
        _digest=message._digest,
        _ordinal=message._ordinal,
    )
