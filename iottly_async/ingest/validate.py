"""Validation: divides messages into those that can be stored as rows, and rejected ones."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import compress

from ..errors import DecodeError
from ..models import Message
from ..models.message import decode_payload, decode_together, digest_all
from .stores import Rejected


def validate(messages: Sequence[Message]) -> tuple[list[Message], list[Rejected]]:
    """The messages whose payload is valid JSON, and the rejected ones with their reason.

    A payload is valid if `Message.payload` can read it: strict JSON in UTF-8, with numbers
    in the range of a double, and at most 200 levels. A store that took more would give its
    users payloads that their own tools cannot read. The `digest` of a valid message is known
    afterwards.
    """
    values = decode_together([message.payload_json for message in messages])
    if values is not None:
        unknown = [one._digest is None for one in messages]
        if all(unknown):
            digest_all(messages, values)
        elif any(unknown):  # those that share a millisecond have their digests already
            digest_all([*compress(messages, unknown)], [*compress(values, unknown)])
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
