"""Messages: bytes into models, the fast way and the slower way.

A page of messages is read by typed structs that forbid what they do not know and one
pass that fills messages from them. On any mismatch it is read again the slower way,
member by member, which keeps unknown fields (D8), reads every form of a time (D7),
names the JSON path of a real error, and passes an unreadable payload on unread.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, TypeVar

import msgspec

from ..errors import DecodeError
from ..models import Message, MessageType
from ..models.message import MessageDraft
from ..times import read_time
from .rawjson import NotJSON, split_array, split_object

T = TypeVar("T")

BOM: Final = b"\xef\xbb\xbf"
_decode_any: Final = msgspec.json.Decoder().decode


# --- messages, the fast way --------------------------------------------------------------


class _Paged(msgspec.Struct, forbid_unknown_fields=True, rename={"sender": "from"}):
    sender: str
    timestamp: str
    type: str
    payload: msgspec.Raw
    devicetimestamp: str | None = None
    to: str | None = None
    channel: str | None = None


class _PagedAnswer(msgspec.Struct, forbid_unknown_fields=True):
    messages: list[_Paged]


class _Date(msgspec.Struct, forbid_unknown_fields=True, rename={"text": "$date"}):
    text: str


class _ObjectId(msgspec.Struct, forbid_unknown_fields=True, rename={"text": "$oid"}):
    text: str


class _Stored(msgspec.Struct, forbid_unknown_fields=True, rename={"sender": "from", "id": "_id"}):
    sender: str
    timestamp: _Date
    type: str
    payload: msgspec.Raw
    devicetimestamp: _Date | None = None
    to: str | None = None
    channel: str | None = None
    id: _ObjectId | None = None


class _HistoryAnswer(msgspec.Struct, forbid_unknown_fields=True):
    messages: list[_Stored]
    status: int | None = None


_decode_paged: Final = msgspec.json.Decoder(_PagedAnswer).decode
_decode_history: Final = msgspec.json.Decoder(_HistoryAnswer).decode
_TYPES: Final = {member.value: member for member in MessageType}


def decode_page(body: bytes, *, project_id: str, device_id: str) -> list[Message]:
    """The messages of a paginated answer, in its order (v1.0, "Paginated Messages").

    `project_id` and `device_id` are those asked for; they stand where a row names none.

    Raises:
        DecodeError: the answer does not have the documented form.
    """
    draft, known, instant = MessageDraft, _TYPES, datetime.fromisoformat
    messages: list[Message] = []
    try:
        for row in _decode_paged(body).messages:
            device_time = row.devicetimestamp
            # Naive texts are UTC (D5). With the Z in the text, the parser makes the time
            # aware at an eighth of what replace() costs; any other form fails, and the
            # slower way reads it.
            message = draft(
                row.sender,
                row.to or project_id,
                instant(row.timestamp + "Z"),
                None if device_time is None else instant(device_time + "Z"),
                known.get(row.type) or MessageType(row.type),
                bytes(row.payload),
                None,
                row.channel,
                {},
            )
            message.__class__ = Message
            messages.append(message)
    except (ValueError, RecursionError):
        return _read_messages(body, project_id, device_id)
    return messages


def decode_history(body: bytes, *, project_id: str, device_id: str) -> list[Message]:
    """The messages of a history answer, in its order (v1.0, "Message History").

    Raises:
        DecodeError: the answer does not have the documented form.
    """
    draft, known = MessageDraft, _TYPES
    messages: list[Message] = []
    try:
        for row in _decode_history(body).messages:
            device_time = row.devicetimestamp
            message = draft(
                row.sender,
                row.to or project_id,
                _instant(row.timestamp.text),
                None if device_time is None else _instant(device_time.text),
                known.get(row.type) or MessageType(row.type),
                bytes(row.payload),
                None if row.id is None else row.id.text,
                row.channel,
                {},
            )
            message.__class__ = Message
            messages.append(message)
    except (ValueError, RecursionError):
        return _read_messages(body, project_id, device_id)
    return messages


def _instant(text: str) -> datetime:
    return datetime.fromisoformat(text if text.endswith("Z") else text + "Z")


# --- messages, the slower way ------------------------------------------------------------

_NAMED: Final = frozenset(
    ["from", "to", "timestamp", "devicetimestamp", "type", "payload", "_id", "channel"]
)


def decode_message(body: bytes) -> Message:
    """One message that stands alone, in either form of the documents.

    Raises:
        DecodeError: it does not have the documented form, or names no device.
    """
    return _read_row(body, "$", None, None)


def _read_messages(body: bytes, project_id: str, device_id: str) -> list[Message]:
    rows = _members(body.removeprefix(BOM), "$").get("messages")
    if rows is None:
        raise DecodeError("expected an object with messages", path="$.messages")
    return [
        _read_row(row, f"$.messages[{index}]", project_id, device_id)
        for index, row in enumerate(_elements(rows, "$.messages"))
    ]


def _read_row(
    row: bytes | msgspec.Raw, path: str, project_id: str | None, device_id: str | None
) -> Message:
    members = _members(row, path)

    def text(name: str) -> str | None:
        value = read_value(members.get(name), f"{path}.{name}")
        if value is None or isinstance(value, str):
            return value
        raise DecodeError("expected a text", path=f"{path}.{name}")

    def time(name: str) -> datetime | None:
        value = read_value(members.get(name), f"{path}.{name}")
        return None if value is None else read_time(value, f"{path}.{name}")

    sender = text("from") or device_id
    timestamp = time("timestamp")
    if sender is None:
        raise DecodeError("expected the device's id", path=f"{path}.from")
    if timestamp is None:
        raise DecodeError("expected a time", path=f"{path}.timestamp")
    kind = text("type")
    return Message(
        device_id=sender,
        project_id=text("to") or project_id,
        timestamp=timestamp,
        device_timestamp=time("devicetimestamp"),
        type=None if kind is None else MessageType(kind),
        payload_json=bytes(members.get("payload", b"null")),
        id=_object_id(read_value(members.get("_id"), f"{path}._id"), f"{path}._id"),
        channel=text("channel"),
        extra={
            name: read_value(value, f"{path}.{name}")
            for name, value in members.items()
            if name not in _NAMED
        },
    )


def _object_id(value: Any, path: str) -> str | None:
    if isinstance(value, dict):
        value = value.get("$oid")
    if value is None or isinstance(value, str):
        return value
    raise DecodeError("expected an object id", path=path)


def _members(data: bytes | msgspec.Raw, path: str) -> Mapping[str, bytes | msgspec.Raw]:
    try:
        return msgspec.json.decode(data, type=dict[str, msgspec.Raw])
    except msgspec.ValidationError:
        pass
    except (ValueError, RecursionError):
        # Something inside is not JSON; perhaps it is a payload, which may pass unread.
        return _cut(split_object, data, path, "an object")
    raise DecodeError("expected an object", path=path)


def _elements(data: bytes | msgspec.Raw, path: str) -> Sequence[bytes | msgspec.Raw]:
    try:
        return msgspec.json.decode(data, type=list[msgspec.Raw])
    except msgspec.ValidationError:
        pass
    except (ValueError, RecursionError):
        return _cut(split_array, data, path, "an array")
    raise DecodeError("expected an array", path=path)


def _cut(cut: Callable[[bytes], T], data: bytes | msgspec.Raw, path: str, expected: str) -> T:
    try:
        return cut(bytes(data))
    except NotJSON:
        pass
    raise DecodeError(f"expected {expected}, and what arrived is not JSON", path=path)


def read_value(data: bytes | msgspec.Raw | None, path: str) -> Any:
    if data is None:
        return None
    try:
        return _decode_any(data)
    except (ValueError, RecursionError):
        pass
    raise DecodeError("expected a value, and what arrived is not valid JSON", path=path)
