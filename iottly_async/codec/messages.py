"""Reads messages, the fast path: for answers that have exactly the documented form.

A page is decoded into typed rows that forbid unknown fields. If anything differs, the page is
read again by the slower `messages_fallback`. That one keeps unknown fields (D8), reads every
form of a time (D7), names the JSON path of an error, and keeps an unreadable payload as bytes.

msgspec decodes the times while it reads, and no Python runs for a field of a row.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Final

import msgspec

from ..models import Message, MessageType
from ..models._time import as_naive
from ..models.message import message_of
from ..models.row import MessageRow
from .messages_fallback import ObjectId, read_row, read_rows
from .rows import DecodedRows
from .values import BOM, attempt

_Naive = Annotated[datetime, msgspec.Meta(tz=False)]
_Aware = Annotated[datetime, msgspec.Meta(tz=True)]


_ABSENT: Any = None
_Absent = Annotated[str, msgspec.Meta(min_length=1, max_length=0)]
"""No value is one. So a page with a field of that name does not have the documented form."""


# None of these can be part of a reference cycle, so the collector may skip them (gc=False).
class _PageRow(
    MessageRow,
    forbid_unknown_fields=True,
    gc=False,
    rename={
        "device_id": "from",
        "time": "timestamp",
        "device_time": "devicetimestamp",
        "project_id": "to",
    },
):
    device_id: str
    time: _Naive  # naive times are UTC (D5)
    type: MessageType
    payload: msgspec.Raw
    device_time: _Naive | None = None
    project_id: str | None = None
    channel: str | None = None
    id: _Absent = _ABSENT
    more: Annotated[dict[str, Any], msgspec.Meta(min_length=1, max_length=0)] = _ABSENT
    _form: Annotated[bytes, msgspec.Meta(min_length=1, max_length=0)] = _ABSENT
    _digest: _Absent = _ABSENT
    _ordinal: Annotated[int, msgspec.Meta(ge=1, le=0)] = 0


class _PageAnswer(msgspec.Struct, forbid_unknown_fields=True):
    messages: list[_PageRow]


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
        return read_rows(body, project_id, device_id)
    rows: list[Any] = answer.messages
    for row in rows:
        if not row.project_id:
            row.project_id = project_id
    return DecodedRows(rows, [])


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
        return read_rows(body, project_id, device_id)
    rows = []
    for message in answer.messages:
        at, object_id = message.devicetimestamp, message.id
        row = MessageRow(
            message.sender,
            as_naive(message.timestamp.at),
            message.type,
            message.payload,
            None if at is None else as_naive(at.at),
            message.to or project_id,
            message.channel,
            None if object_id is None else object_id.text,
        )
        rows.append(row)
    return DecodedRows(rows, [])


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
    return message_of(read_row(body.removeprefix(BOM), None, None))
