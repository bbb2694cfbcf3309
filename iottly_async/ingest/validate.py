"""Which messages can be stored as rows, and which are set apart with a reason."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from ..errors import DecodeError
from ..models import Message
from ..models.message import digest_all
from .stores import Rejected

_decode_all: Final = msgspec.json.Decoder(list[Any]).decode


def sift(messages: Sequence[Message]) -> tuple[list[Message], list[Rejected]]:
    """The messages whose payload is valid JSON, and the others with a reason.

    Valid is what `Message.payload` can read: strict JSON in UTF-8, numbers in the range of
    a double, nesting that a reader bears. A store that took more would hand its users
    payloads that their own readers stumble over. Those that are valid know their `digest`.
    """
    payloads = [message.payload_json for message in messages]
    # One reading for all costs half of one for each; the count shows that none of them
    # was valid only together with its neighbours. What was read makes the keys, too.
    try:
        read = _decode_all(b"[%b]" % b",".join(payloads))
        if len(read) == len(payloads):
            digest_all(messages, read)
            return list(messages), []
    except (ValueError, RecursionError):
        pass
    good: list[Message] = []
    bad: list[Rejected] = []
    for message in messages:
        reason = _fault(message)
        if reason is None:
            good.append(message)
        else:
            bad.append(Rejected(message=message, reason=reason))
    return good, bad


def _fault(message: Message) -> str | None:
    # A copy is looked at, so that no decoded payload is kept in memory.
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
