"""Reads messages, the fast path: for answers that have exactly the documented form.

A page is decoded into typed structs that forbid unknown fields, and one loop makes messages
of them. If anything differs, the page is read again by the slower `messages_fallback`. That
one keeps unknown fields (D8), reads every form of a time (D7), names the JSON path of an
error, and keeps an unreadable payload as bytes.

Three things make the loop fast, as measured. msgspec decodes the times while it reads. A
message is filled as a `MessageDraft`, whose class is then changed, so `__init__` is not
called. The loop looks nothing up twice.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Final

import msgspec

from ..models import Message, MessageType
from ..models.message import UNREAD, MessageDraft
from .messages_fallback import ObjectId, read_message, read_messages
from .rows import DecodedRows
from .values import BOM, attempt, own_bytes

_Naive = Annotated[datetime, msgspec.Meta(tz=False)]
_Aware = Annotated[datetime, msgspec.Meta(tz=True)]


# None of these can be part of a reference cycle, so the collector may skip them (gc=False).
class _PageMessage(msgspec.Struct, forbid_unknown_fields=True, gc=False, rename={"sender": "from"}):
    sender: str
    timestamp: _Naive
    type: MessageType
    payload: msgspec.Raw
    devicetimestamp: _Naive | None = None
    to: str | None = None
    channel: str | None = None


class _PageAnswer(msgspec.Struct, forbid_unknown_fields=True):
    messages: list[_PageMessage]


class _HistoryTime(msgspec.Struct, forbid_unknown_fields=True, gc=False, rename={"at": "$date"}):
    at: _Aware


class _HistoryMessage(
    msgspec.Struct, forbid_unknown_fields=True, gc=False, rename={"sender": "from", "id": "_id"}
):
    sender: str
    timestamp: _HistoryTime
    type: MessageType
    payload: msgspec.Raw
    devicetimestamp: _HistoryTime | None = None
    to: str | None = None
    channel: str | None = None
    id: ObjectId | None = None


class _HistoryAnswer(msgspec.Struct, forbid_unknown_fields=True):
    messages: list[_HistoryMessage]
    status: int | None = None


_decode_page_answer: Final = msgspec.json.Decoder(_PageAnswer).decode
_decode_history_answer: Final = msgspec.json.Decoder(_HistoryAnswer).decode
_EPOCH: Final = datetime(1970, 1, 1)  # noqa: DTZ001 - naive times are subtracted from it
_UTC_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def decode_page(body: bytes, *, project_id: str, device_id: str) -> DecodedRows:
    """Read a paginated answer (v1.0, "Paginated Messages").

    Args:
        body: of the answer.
        project_id: the requested one; for messages that name none.
        device_id: the requested one; for messages that name none.

    Returns:
        Messages, and the rows that are none, in the answer's order.

    Raises:
        DecodeError: the answer does not have the documented form.
    """
    answer = attempt(_decode_page_answer, body)
    if answer is None:
        return read_messages(body, project_id, device_id)
    draft: Any = MessageDraft  # its slots have no declared types
    model, own, unread = Message, own_bytes, UNREAD
    naive, aware = _EPOCH, _UTC_EPOCH
    messages: list[Message] = []
    add = messages.append
    for row in answer.messages:
        message = draft()
        message.device_id = row.sender
        message.project_id = row.to or project_id
        # Naive times are UTC (D5). replace(tzinfo=UTC) would cost ten times this difference.
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
    return DecodedRows(messages, [])


def decode_history(body: bytes, *, project_id: str, device_id: str) -> DecodedRows:
    """Read a history answer (v1.0, "Message History").

    Args:
        body: of the answer.
        project_id: the requested one; for messages that name none.
        device_id: the requested one; for messages that name none.

    Returns:
        Messages, and the rows that are none, in the answer's order.

    Raises:
        DecodeError: the answer does not have the documented form.
    """
    answer = attempt(_decode_history_answer, body)
    if answer is None or not all(map(_in_utc, answer.messages)):
        return read_messages(body, project_id, device_id)
    draft: Any = MessageDraft  # its slots have no declared types
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
    return DecodedRows(messages, [])


def _in_utc(message: _HistoryMessage) -> bool:
    device_time = message.devicetimestamp
    return message.timestamp.at.tzinfo is UTC and (
        device_time is None or device_time.at.tzinfo is UTC
    )


def decode_message(body: bytes) -> Message:
    """Read a single message, in the form of a page or of the history.

    Raises:
        DecodeError: it does not have a documented form, or names no device.
    """
    return read_message(body.removeprefix(BOM), None, None)
