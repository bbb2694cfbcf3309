"""Messages, the slower way: every form that is read, and the path of what is not.

Two steps down from the fast way. A page that is JSON, but not of exactly the documented
fields and forms, is read by a struct that takes any value, and a second time as slices
by name, for the fields that the documents do not name. A page that is not JSON, mostly
because of one payload in it, is cut into slices, and its messages are read one by one.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any, Final

import msgspec

from ..errors import DecodeError
from ..models import Message, MessageType
from ..models.message import UNREAD, MessageDraft
from ..times import read_time
from .rawjson import NotJSON, split_array, split_object
from .values import BOM, Slice, attempt, decode_any, own_bytes, read_value

# The usual forms of a time, read where the page is. `read_time` makes it aware, and knows
# the rarer ones: a row that has one is no _Row and is cut into its members.
_Time = datetime | int | dict[str, datetime | int | dict[str, Any]] | None


class ObjectId(msgspec.Struct, forbid_unknown_fields=True, gc=False, rename={"text": "$oid"}):
    """The id of a stored message, as MongoDB writes it."""

    text: str


class _Row(msgspec.Struct, gc=False, rename={"sender": "from", "id": "_id"}):
    sender: str | None = None
    timestamp: _Time = None
    type: MessageType | None = None
    payload: msgspec.Raw = msgspec.Raw(b"null")
    devicetimestamp: _Time = None
    to: str | None = None
    channel: str | None = None
    id: str | ObjectId | None = None


class _Answer(msgspec.Struct):
    messages: list[_Row]


class _Slices(msgspec.Struct):
    messages: list[dict[str, msgspec.Raw]]


_ALIKE: Final = 32
_decode_answer: Final = msgspec.json.Decoder(_Answer).decode
_decode_slices: Final = msgspec.json.Decoder(_Slices).decode
_decode_row: Final = msgspec.json.Decoder(_Row).decode
_decode_members: Final = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_FIELDS: Final = {field.encode_name: field.name for field in msgspec.structs.fields(_Row)}


def read_rows(body: bytes, project_id: str, device_id: str) -> list[Message]:
    """The messages of an answer in either form, paginated or history.

    Raises:
        DecodeError: a message, or what is around them, has none of the forms that are read.
    """
    body = body.removeprefix(BOM)
    answer, named = attempt(_decode_answer, body), attempt(_decode_slices, body)
    if answer is None or named is None:
        return _read_each(body, project_id, device_id)
    rows, slices = answer.messages, named.messages
    # The rows of a page have the same names, as a rule: they are sought once for all.
    on_page = set().union(*slices).difference(_FIELDS)
    alike = len(on_page) <= _ALIKE
    messages: list[Message] = []
    try:
        for row, members in zip(rows, slices, strict=True):
            unnamed = on_page if alike else members.keys() - _FIELDS.keys()
            message = _message(row, members, unnamed, project_id, device_id)
            messages.append(message)
    except DecodeError as error:
        fault = error
    else:
        return messages
    raise _within(len(messages), fault)


def read_row(data: Slice, project_id: str | None, device_id: str | None) -> Message:
    """One message; the ids stand where it names none.

    Raises:
        DecodeError: it has none of the forms that are read, or no device is known.
    """
    row, members = attempt(_decode_row, data), attempt(_decode_members, data)
    if row is not None and members is not None:
        return _message(row, members, members.keys() - _FIELDS.keys(), project_id, device_id)
    cut = _split(bytes(data), "$")
    named = {_FIELDS[name]: _checked(name, cut[name]) for name in _FIELDS if name in cut}
    return _message(_Row(**named), cut, cut.keys() - _FIELDS.keys(), project_id, device_id)


def _checked(name: str, data: Slice) -> Any:
    """The value of a field that the documents name, if it is one that they allow."""
    if name == "payload":
        return msgspec.Raw(data)  # which may pass unread
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


def _read_each(body: bytes, project_id: str, device_id: str) -> list[Message]:
    members = _split(body, "$")
    if "messages" not in members:
        raise DecodeError("expected this field", path="$.messages")
    messages: list[Message] = []
    try:
        for row in split_array(members["messages"]):
            messages.append(read_row(row, project_id, device_id))  # noqa: PERF401
    except DecodeError as error:
        fault = _within(len(messages), error)
    except NotJSON:
        fault = DecodeError("expected an array", path="$.messages")
    else:
        return messages
    raise fault


def _within(index: int, fault: DecodeError) -> DecodeError:
    """The fault of one message, with its path within the answer."""
    return DecodeError(str(fault), path=f"$.messages[{index}]{fault.path[1:]}")


def _split(data: bytes, path: str) -> dict[str, bytes]:
    try:
        return split_object(data)
    except NotJSON:
        pass
    raise DecodeError("expected an object", path=path)


def _message(
    row: _Row,
    members: Mapping[str, Slice],
    unnamed: Collection[str],
    project_id: str | None,
    device_id: str | None,
) -> Message:
    """A message of a row; `unnamed` are the names that its members may have beside the fields."""
    sender, object_id = row.sender, row.id
    if sender is None:
        sender = device_id
        if sender is None:
            raise DecodeError("expected the device's id", path="$.from")
    device_time = row.devicetimestamp
    if device_time is not None:
        device_time = read_time(device_time, "$.devicetimestamp")
    extra = {}
    for name in unnamed:
        if name in members:
            extra[name] = _extra(members[name])
    message: Any = MessageDraft()
    message.device_id = sender
    message.project_id = row.to or project_id
    message.timestamp = read_time(row.timestamp, "$.timestamp")
    message.device_timestamp = device_time
    message.type = row.type
    message.payload_json = own_bytes(row.payload)
    message.id = object_id.text if type(object_id) is ObjectId else object_id
    message.channel = row.channel
    message.extra = extra
    message._payload = UNREAD
    message._digest = None
    message._ordinal = 0
    message.__class__ = Message
    made: Message = message
    return made


def _extra(data: Slice) -> Any:
    """A field that the documents do not name: never an error (D8), so unread if need be."""
    try:
        return decode_any(data)
    except (ValueError, RecursionError):
        return bytes(data)
