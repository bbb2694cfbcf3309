"""Messages, the fast way: bytes into models in two passes.

A page is read by typed structs that forbid what they do not know, and one loop makes
messages of them. On any mismatch the page is read again the slower way (`rows`), which
keeps unknown fields (D8), reads every form of a time (D7), names the JSON path of a
real error, and passes an unreadable payload on unread.

What makes the loop fast, measured: the reader makes the times and not a parser of
texts; a message is filled as a `MessageDraft` and turned, without a call of `__init__`;
nothing in the loop is looked up twice.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Final

import msgspec

from ..models import Message, MessageType
from ..models.message import UNREAD, MessageDraft
from .rows import ObjectId, read_row, read_rows
from .values import BOM, attempt, own_bytes

_Naive = Annotated[datetime, msgspec.Meta(tz=False)]
_Aware = Annotated[datetime, msgspec.Meta(tz=True)]


# None of these can be part of a cycle, so the collector need not look at them (gc=False).
class _Paged(msgspec.Struct, forbid_unknown_fields=True, gc=False, rename={"sender": "from"}):
    sender: str
    timestamp: _Naive
    type: MessageType
    payload: msgspec.Raw
    devicetimestamp: _Naive | None = None
    to: str | None = None
    channel: str | None = None


class _PagedAnswer(msgspec.Struct, forbid_unknown_fields=True):
    messages: list[_Paged]


class _Date(msgspec.Struct, forbid_unknown_fields=True, gc=False, rename={"at": "$date"}):
    at: _Aware


class _Stored(
    msgspec.Struct, forbid_unknown_fields=True, gc=False, rename={"sender": "from", "id": "_id"}
):
    sender: str
    timestamp: _Date
    type: MessageType
    payload: msgspec.Raw
    devicetimestamp: _Date | None = None
    to: str | None = None
    channel: str | None = None
    id: ObjectId | None = None


class _HistoryAnswer(msgspec.Struct, forbid_unknown_fields=True):
    messages: list[_Stored]
    status: int | None = None


_decode_paged: Final = msgspec.json.Decoder(_PagedAnswer).decode
_decode_history: Final = msgspec.json.Decoder(_HistoryAnswer).decode
_EPOCH: Final = datetime(1970, 1, 1)  # noqa: DTZ001 - what naive times are counted from
_UTC_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def decode_page(body: bytes, *, project_id: str, device_id: str) -> list[Message]:
    """The messages of a paginated answer, in its order (v1.0, "Paginated Messages").

    `project_id` and `device_id` are those asked for; they stand where a row names none.

    Raises:
        DecodeError: the answer does not have the documented form.
    """
    answer = attempt(_decode_paged, body)
    if answer is None:
        return read_rows(body, project_id, device_id)
    draft: Any = MessageDraft  # whose slots it does not type
    model, own, unread = Message, own_bytes, UNREAD
    naive, aware = _EPOCH, _UTC_EPOCH
    messages: list[Message] = []
    add = messages.append
    for row in answer.messages:
        message = draft()
        message.device_id = row.sender
        message.project_id = row.to or project_id
        # Naive times are UTC (D5). By way of a difference: replace() costs ten times that.
        message.timestamp = aware + (row.timestamp - naive)
        at = row.devicetimestamp
        message.device_timestamp = None if at is None else aware + (at - naive)
        message.type = row.type
        message.payload_json = own(row.payload)
        message.id = None
        message.channel = row.channel
        message.extra = {}
        message._payload = unread
        message._digest = None
        message._ordinal = 0
        message.__class__ = model
        add(message)
    return messages


def decode_history(body: bytes, *, project_id: str, device_id: str) -> list[Message]:
    """The messages of a history answer, in its order (v1.0, "Message History").

    Raises:
        DecodeError: the answer does not have the documented form.
    """
    answer = attempt(_decode_history, body)
    if answer is None or not all(map(_in_utc, answer.messages)):
        return read_rows(body, project_id, device_id)
    draft: Any = MessageDraft  # whose slots it does not type
    model, own, unread = Message, own_bytes, UNREAD
    messages: list[Message] = []
    add = messages.append
    for row in answer.messages:
        message = draft()
        message.device_id = row.sender
        message.project_id = row.to or project_id
        message.timestamp = row.timestamp.at
        at = row.devicetimestamp
        message.device_timestamp = None if at is None else at.at
        message.type = row.type
        message.payload_json = own(row.payload)
        message.id = None if row.id is None else row.id.text
        message.channel = row.channel
        message.extra = {}
        message._payload = unread
        message._digest = None
        message._ordinal = 0
        message.__class__ = model
        add(message)
    return messages


def _in_utc(row: _Stored) -> bool:
    device_time = row.devicetimestamp
    return row.timestamp.at.tzinfo is UTC and (device_time is None or device_time.at.tzinfo is UTC)


def decode_message(body: bytes) -> Message:
    """One message that stands alone, in either form of the documents.

    Raises:
        DecodeError: it does not have a documented form, or names no device.
    """
    return read_row(body.removeprefix(BOM), None, None)
