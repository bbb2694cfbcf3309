"""Validation: divides messages into those that can be stored as rows, and rejected ones."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Final

import msgspec

from ..errors import DecodeError
from ..models import Message
from ..models._nesting import nested_too_deeply
from ..models.message import decode_payload, digest_all
from .stores import Rejected

_decode_all: Final = msgspec.json.Decoder(list[Any]).decode


def validate(messages: Sequence[Message]) -> tuple[list[Message], list[Rejected]]:
    """The messages whose payload is valid JSON, and the rejected ones with their reason.

    A payload is valid if `Message.payload` can read it: strict JSON in UTF-8, with numbers
    in the range of a double, and at most 200 levels. A store that took more would give its
    users payloads that their own tools cannot read. The `digest` of a valid message is known
    afterwards.
    """
    payloads = [message.payload_json for message in messages]
    # Decoding all payloads at once takes half the time. The count must match: "1,2" is
    # invalid alone and valid among others. The decoded values serve for the digests, too.
    if not any(map(nested_too_deeply, payloads)):
        with suppress(ValueError):
            decoded = _decode_all(b"[%b]" % b",".join(payloads))
            if len(decoded) == len(payloads):
                digest_all(messages, decoded)
                return list(messages), []
    valid: list[Message] = []
    rejected: list[Rejected] = []
    for message in messages:
        error = _error_of(message)
        if error is None:
            valid.append(message)
        else:
            rejected.append(Rejected(message=message, reason=str(error), path=error.path))
    return valid, rejected


def _error_of(message: Message) -> DecodeError | None:
    try:
        decode_payload(message.payload_json)  # not kept in memory, as `payload` would be
    except DecodeError as error:
        return error
    return None
