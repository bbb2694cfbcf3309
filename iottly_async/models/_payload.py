"""Decodes payloads of messages, one or many."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from ..errors import DecodeError
from ._nesting import DEEPEST, SHALLOW_BYTES, nested_too_deeply

PayloadJSON = bytes | msgspec.Raw
"""The JSON of a payload: bytes, or a slice of the answer that it came with."""

_decode: Final = msgspec.json.Decoder().decode
_decode_payloads: Final = msgspec.json.Decoder(list[Any]).decode


def decode_payload(data: PayloadJSON) -> Any:
    """Decode the JSON of a payload.

    Raises:
        DecodeError: as `Message.payload`.
    """
    if len(data) > SHALLOW_BYTES and nested_too_deeply(bytes(data)):
        reason = f"nested more than {DEEPEST} levels deep"
    else:
        try:
            return _decode(data)
        except ValueError:
            reason = "not valid JSON"
    # Raised outside the except block: the decoder's error may quote the payload.
    raise DecodeError(f"the message's payload is {reason}", path="$.payload")


def as_double(number: float) -> float | None:
    """Convert a number of a payload; None if no double comes near it, as 10**400."""
    try:
        return float(number)
    except OverflowError:
        return None


def decode_together(payloads: Sequence[PayloadJSON]) -> list[Any] | None:
    """Decode many payloads in half the time of one after the other.

    Args:
        payloads: any number.

    Returns:
        A value for each; None if `decode_payload` would refuse one of them.
    """
    if any([len(data) > SHALLOW_BYTES and nested_too_deeply(bytes(data)) for data in payloads]):  # noqa: C419 - faster
        return None
    try:
        values = _decode_payloads(b"[%b]" % b",".join(payloads))
    except ValueError:
        return None
    # "1,2" is invalid alone, and valid among others.
    return values if len(values) == len(payloads) else None
