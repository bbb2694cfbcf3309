"""Validation: divides messages into those that can be stored as rows, and rejected ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ..errors import DecodeError
from ..models._payload import decode_payload, decode_together
from ..models.message import message_of
from ..models.row import MessageRow, digest_all, payloads_of
from .stores import Rejected


def validate(
    rows: Sequence[MessageRow],
    *,
    hashed: bool = True,
    note: Callable[[Sequence[Any]], None] | None = None,
) -> tuple[list[MessageRow], list[Rejected]]:
    """The rows whose payload is valid JSON, and the rejected ones with their reason.

    A payload is valid if `Message.payload` can read it: strict JSON in UTF-8, with numbers
    in the range of a double, and at most 200 levels. A store that took more would give its
    users payloads that their own tools cannot read.

    Args:
        rows: as they arrived.
        hashed: whether to compute the `digest` of the valid rows, too. To do it here saves
            decoding the payloads again. Default True.
        note: called with the decoded payloads of the valid rows. None, the default, calls nothing.

    Returns:
        The valid rows, and the rejected ones.
    """
    values = payloads_of(rows) if note is None else decode_together([row.payload for row in rows])
    if values is not None:
        if note is not None:
            note(values)
        if hashed:
            digest_all(rows, values)
        return list(rows), []
    valid: list[MessageRow] = []
    rejected: list[Rejected] = []
    for row in rows:
        error = _error_of(row)
        if error is None:
            valid.append(row)
        else:
            message = message_of(row)
            rejected.append(Rejected(message=message, reason=str(error), path=error.path))
    if note is not None:
        note([decode_payload(row.payload) for row in valid])
    return valid, rejected


def _error_of(row: MessageRow) -> DecodeError | None:
    try:
        decode_payload(row.payload)
    except DecodeError as error:
        return error
    return None
