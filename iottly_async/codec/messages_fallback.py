"""Reads messages, the slower path: every accepted form, and the path of what is refused.

It has two steps. A page that is JSON, but does not have exactly the documented fields and
forms, is decoded twice: into structs that accept more forms, and into slices by name, for
the fields that the documents do not name. A page that is not JSON, usually because of one
payload, is cut into slices, and its messages are read one by one.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any, Final

import msgspec

from ..errors import DecodeError
from ..models import BadRow, Message, MessageType
from ..models.message import UNREAD, MessageDraft
from ..times import read_time
from .json_slices import NotJSON, split_array, split_object
from .rows import DecodedRows
from .values import BOM, JSONSlice, attempt, decode_any, own_bytes, read_value

# The usual forms of a time. `read_time` makes them aware, and reads the rarer ones too: a
# message that has one is cut into its members.
_Time = datetime | int | dict[str, datetime | int | dict[str, Any]] | None


class ObjectId(msgspec.Struct, forbid_unknown_fields=True, gc=False, rename={"text": "$oid"}):
    """The id of a stored message, in MongoDB's form."""

    text: str


class _LooseMessage(msgspec.Struct, gc=False, rename={"sender": "from", "id": "_id"}):
    sender: str | None = None
    timestamp: _Time = None
    type: MessageType | None = None
    payload: msgspec.Raw = msgspec.Raw(b"null")
    devicetimestamp: _Time = None
    to: str | None = None
    channel: str | None = None
    id: str | ObjectId | None = None


class _LooseAnswer(msgspec.Struct):
    messages: list[_LooseMessage]


class _SlicedAnswer(msgspec.Struct):
    messages: list[dict[str, msgspec.Raw]]


_MANY_NAMES: Final = 32
"""With more unnamed fields on a page than this, each message's own names are compared."""

_decode_answer: Final = msgspec.json.Decoder(_LooseAnswer).decode
_decode_slices: Final = msgspec.json.Decoder(_SlicedAnswer).decode
_decode_message: Final = msgspec.json.Decoder(_LooseMessage).decode
_decode_members: Final = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_FIELDS: Final = {field.encode_name: field.name for field in msgspec.structs.fields(_LooseMessage)}


def read_messages(body: bytes, project_id: str, device_id: str) -> DecodedRows:
    """Read a paginated or a history answer.

    Returns:
        Messages, and the rows that are none, in the answer's order.

    Raises:
        DecodeError: the answer has no accepted form, or all of its rows are bad.
    """
    body = body.removeprefix(BOM)
    loose, sliced = attempt(_decode_answer, body), attempt(_decode_slices, body)
    if loose is None or sliced is None:
        return _read_each(body, project_id, device_id)
    # The messages of a page usually have the same names, so the names are compared once.
    on_page = set().union(*sliced.messages).difference(_FIELDS)
    few = len(on_page) <= _MANY_NAMES
    messages: list[Message] = []
    try:
        for fields, members in zip(loose.messages, sliced.messages, strict=True):
            unnamed = on_page if few else members.keys() - _FIELDS.keys()
            message = _message(fields, members, unnamed, project_id, device_id)
            messages.append(message)
    except DecodeError:
        return _read_each(body, project_id, device_id)
    return DecodedRows(messages, [])


def read_message(data: JSONSlice, project_id: str | None, device_id: str | None) -> Message:
    """Read one message; the ids are used if it names none.

    Raises:
        DecodeError: it has no accepted form, or no device is known.
    """
    fields, members = attempt(_decode_message, data), attempt(_decode_members, data)
    if fields is not None and members is not None:
        return _message(fields, members, members.keys() - _FIELDS.keys(), project_id, device_id)
    cut = _split(bytes(data), "$")
    named = {_FIELDS[name]: _read_field(name, cut[name]) for name in _FIELDS if name in cut}
    return _message(_LooseMessage(**named), cut, cut.keys() - _FIELDS.keys(), project_id, device_id)


def _read_field(name: str, data: JSONSlice) -> Any:
    """Read a field that the documents name."""
    if name == "payload":
        return msgspec.Raw(data)  # it may be invalid JSON
    value = read_value(data, f"$.{name}")
    if value is None:
        return None
    if name in ("timestamp", "devicetimestamp"):
        return read_time(value, f"$.{name}")
    if name == "_id" and type(value) is dict and type(value.get("$oid")) is str:
        return value["$oid"]
    if type(value) is not str:
        raise DecodeError("expected a text", path=f"$.{name}")
    return MessageType(value) if name == "type" else value


def _read_each(body: bytes, project_id: str, device_id: str) -> DecodedRows:
    """Read each row on its own, so that a bad one does not hide the others."""
    messages: list[Message] = []
    bad_rows: list[BadRow] = []
    for index, row in enumerate(_rows(body)):
        try:
            messages.append(read_message(row, project_id, device_id))
        except DecodeError as error:
            path, reason = f"$.messages[{index}]{error.path[1:]}", str(error)
            bad_rows.append(BadRow(index=index, path=path, raw=bytes(row), reason=reason))
    if bad_rows and not messages:
        raise bad_rows[0].error()
    return DecodedRows(messages, bad_rows)


def _rows(body: bytes) -> list[bytes]:
    members = _split(body, "$")
    if "messages" not in members:
        raise DecodeError("expected this field", path="$.messages")
    try:
        return list(split_array(members["messages"]))
    except NotJSON:
        pass
    raise DecodeError("expected an array", path="$.messages")


def _split(data: bytes, path: str) -> dict[str, bytes]:
    try:
        return split_object(data)
    except NotJSON:
        pass
    raise DecodeError("expected an object", path=path)


def _message(
    fields: _LooseMessage,
    members: Mapping[str, JSONSlice],
    unnamed: Collection[str],
    project_id: str | None,
    device_id: str | None,
) -> Message:
    """Make a message; `unnamed` are the names of fields that the documents do not name."""
    sender, object_id = fields.sender, fields.id
    if sender is None:
        sender = device_id
        if sender is None:
            raise DecodeError("expected the device's id", path="$.from")
    device_time = fields.devicetimestamp
    if device_time is not None:
        device_time = read_time(device_time, "$.devicetimestamp")
    extra = {}
    for name in unnamed:
        if name in members:
            extra[name] = _extra(members[name])
    message: Any = MessageDraft()
    message.device_id = sender
    message.project_id = fields.to or project_id
    message.timestamp = read_time(fields.timestamp, "$.timestamp")
    message.device_timestamp = device_time
    message.type = fields.type
    message.payload_json = own_bytes(fields.payload)
    message.id = object_id.text if type(object_id) is ObjectId else object_id
    message.channel = fields.channel
    message.extra = extra
    message._payload = UNREAD
    message._digest = None
    message._ordinal = 0
    message.__class__ = Message
    made: Message = message
    return made


def _extra(data: JSONSlice) -> Any:
    """Read a field that the documents do not name; as bytes if it is not JSON (D8)."""
    try:
        return decode_any(data)
    except (ValueError, RecursionError):
        return bytes(data)
