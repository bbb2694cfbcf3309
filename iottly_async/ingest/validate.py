"""Validation: divides messages into those that can be stored as rows, and rejected ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from ..errors import DecodeError
from ..models import Message
from ..models.message import digest_all
from .stores import Rejected

_decode_all: Final = msgspec.json.Decoder(list[Any]).decode


def validate(messages: Sequence[Message]) -> tuple[list[Message], list[Rejected]]:
    """The messages whose payload is valid JSON, and the rejected ones with their reason.

    A payload is valid if `Message.payload` can read it: strict JSON in UTF-8, with numbers
    in the range of a double, and not nested too deeply for a reader. A store that took more
    would give its users payloads that their own tools cannot read. The `digest` of a valid
    message is known afterwards.
    """
    payloads = [message.payload_json for message in messages]
    # Decoding all payloads at once takes half the time. The count must match: "1,2" is
    # invalid alone and valid among others. The decoded values serve for the digests, too.
    try:
        decoded = _decode_all(b"[%b]" % b",".join(payloads))
        if len(decoded) == len(payloads):
            digest_all(messages, decoded)
            return list(messages), []
    except (ValueError, RecursionError):
        pass
    valid: list[Message] = []
    rejected: list[Rejected] = []
    for message in messages:
        reason = _reason_against(message)
        if reason is None:
            valid.append(message)
        else:
            rejected.append(Rejected(message=message, reason=reason))
    return valid, rejected


def _reason_against(message: Message) -> str | None:
    # A copy is decoded, so that the decoded payload does not stay in memory.
    copy = Message(
        device_id=message.device_id,
        timestamp=message.timestamp,
        payload_json=message.payload_json,
    )
    try:
        _ = copy.payload
    except DecodeError as error:
        return str(error)
    return None
