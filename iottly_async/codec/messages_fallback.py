"""Reads messages, the slower path: every accepted form, and the path of what is refused.

It has three steps. A page that is JSON, but does not have exactly the documented fields and
forms, is decoded twice: into structs that accept more forms, and into slices by name, for
the fields that the documents do not name. If a row does not fit, each row is read on its
own, and its fields are read one by one: a field that cannot be read goes into `extra`, and a
row without a readable time or device is a `BadRow` (D8). A page that is not JSON, usually
because of one payload, is cut into slices first.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import msgspec

from ..errors import DecodeError
from ..models import BadRow, MessageType
from ..models._nesting import nested_too_deeply
from ..models._time import as_naive
from ..models.row import MessageRow
from ..times import read_time
from .json_slices import NotJSON, cut_object, split_array
from .rows import DecodedRows
from .values import BOM, JSONSlice, attempt, decode_any, read_value

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


class _CutAnswer(msgspec.Struct):
    messages: list[msgspec.Raw]


_MANY_NAMES: Final = 32
"""With more unnamed fields on a page than this, each message's own names are compared."""

_CONTAINERS: Final = frozenset([dict, list])
_NEEDED: Final = ("from", "timestamp")
_DEVICE_TIME: Final = "devicetimestamp"
_MAY_BE_NUMBERS: Final = ("type", "channel")
_NUMBER: Final = re.compile(rb"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?")

_decode_answer: Final = msgspec.json.Decoder(_LooseAnswer).decode
_decode_slices: Final = msgspec.json.Decoder(_SlicedAnswer).decode
_decode_cut: Final = msgspec.json.Decoder(_CutAnswer).decode
_decode_message: Final = msgspec.json.Decoder(_LooseMessage).decode
_decode_members: Final = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_FIELDS: Final = {field.encode_name: field.name for field in msgspec.structs.fields(_LooseMessage)}


def read_rows(body: bytes, project_id: str, device_id: str) -> DecodedRows:
    """Read a paginated or a history answer.

    Returns:
        Messages as rows, and the rows that are none, in the answer's order.

    Raises:
        DecodeError: the answer has no accepted form.
    """
    body = body.removeprefix(BOM)
    loose, sliced = attempt(_decode_answer, body), attempt(_decode_slices, body)
    if loose is None or sliced is None:
        return _read_each(body, project_id, device_id)
    # The messages of a page usually have the same names, so the names are compared once.
    on_page = set().union(*sliced.messages).difference(_FIELDS)
    few = len(on_page) <= _MANY_NAMES
    rows: list[MessageRow] = []
    try:
        for fields, members in zip(loose.messages, sliced.messages, strict=True):
            unnamed = on_page if few else members.keys() - _FIELDS.keys()
            row = _row(fields, members, unnamed, project_id, device_id)
            rows.append(row)
    except DecodeError:
        return _read_each(body, project_id, device_id)
    return DecodedRows(rows, [])


def read_row(data: JSONSlice, project_id: str | None, device_id: str | None) -> MessageRow:
    """Read one message; the ids are used if it names none.

    Raises:
        DecodeError: it is no object, its time cannot be read, or no device is known.
    """
    fields, members = attempt(_decode_message, data), attempt(_decode_members, data)
    cut: Mapping[str, JSONSlice] = cut_object(bytes(data)) if members is None else members
    unnamed: Collection[str] = cut.keys() - _FIELDS.keys()
    if fields is None:
        fields, unread = _read_fields(cut)
        unnamed = [*unread, *unnamed]
    return _row(fields, cut, unnamed, project_id, device_id)


def _read_fields(members: Mapping[str, JSONSlice]) -> tuple[_LooseMessage, list[str]]:
    """Read the fields that the documents name, one by one.

    Returns:
        The fields, and the names of those that cannot be read.

    Raises:
        DecodeError: a field that a message needs cannot be read.
    """
    fields: dict[str, Any] = {}
    unread = []
    for name, attribute in _FIELDS.items():
        if name in members:
            try:
                fields[attribute] = _read_field(name, members[name])
            except DecodeError:
                if name in _NEEDED:
                    raise
                unread.append(name)
    return _LooseMessage(**fields), unread


def _read_field(name: str, data: JSONSlice) -> Any:
    if name == "payload":
        return msgspec.Raw(data)  # it may be invalid JSON
    if name in _MAY_BE_NUMBERS and _NUMBER.fullmatch(data):
        text = bytes(data).decode()
        return MessageType(text) if name == "type" else text
    value = read_value(data, f"$.{name}")
    if value is None:
        return None
    if name in ("timestamp", _DEVICE_TIME):
        return read_time(value, f"$.{name}")
    if name == "_id" and type(value) is dict and type(value.get("$oid")) is str:
        return value["$oid"]
    if type(value) is not str:
        raise DecodeError("expected a text", path=f"$.{name}")
    return MessageType(value) if name == "type" else value


def _read_each(body: bytes, project_id: str, device_id: str) -> DecodedRows:
    """Read each row on its own, so that a bad one does not hide the others."""
    rows: list[MessageRow] = []
    bad_rows: list[BadRow] = []
    for index, data in enumerate(_slices(body)):
        try:
            rows.append(read_row(data, project_id, device_id))
        except DecodeError as error:
            path, reason = f"$.messages[{index}]{error.path[1:]}", str(error)
            bad_rows.append(BadRow(index=index, path=path, raw=bytes(data), reason=reason))
    return DecodedRows(rows, bad_rows)


def _slices(body: bytes) -> Sequence[JSONSlice]:
    answer = attempt(_decode_cut, body)
    if answer is not None:
        return answer.messages
    members = cut_object(body)
    if "messages" not in members:
        raise DecodeError("expected this field", path="$.messages")
    try:
        return list(split_array(members["messages"]))
    except NotJSON:
        pass
    raise DecodeError("expected an array", path="$.messages")


def _row(
    fields: _LooseMessage,
    members: Mapping[str, JSONSlice],
    unnamed: Collection[str],
    project_id: str | None,
    device_id: str | None,
) -> MessageRow:
    """Make a row of its fields; the members that `unnamed` names go into `Message.extra`."""
    sender, object_id = fields.sender, fields.id
    if sender is None:
        sender = device_id
        if sender is None:
            raise DecodeError("expected the device's id", path="$.from")
    extra = {}
    for name in unnamed:
        if name in members:
            extra[name] = _extra(members[name])
    device_time = fields.devicetimestamp
    if device_time is not None:
        try:
            device_time = as_naive(read_time(device_time, "$.devicetimestamp"))
        except DecodeError:
            device_time, extra[_DEVICE_TIME] = None, _extra(members[_DEVICE_TIME])
    return MessageRow(
        sender,
        as_naive(read_time(fields.timestamp, "$.timestamp")),
        fields.type,
        fields.payload,
        device_time,
        fields.to or project_id,
        fields.channel,
        object_id.text if isinstance(object_id, ObjectId) else object_id,
        extra or None,
    )


def _extra(data: JSONSlice) -> Any:
    """Read a value for `extra`; it is kept as bytes if it is not JSON (D8)."""
    try:
        value = decode_any(data)
    except (ValueError, RecursionError):
        return bytes(data)
    if type(value) in _CONTAINERS and nested_too_deeply(kept := bytes(data)):
        return kept
    return value
