"""Reads bytes into plain JSON values, and raises `DecodeError` for what is not JSON."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeVar, cast

import msgspec

from ..errors import DecodeError
from ..models._nesting import DEEPEST, nested_too_deeply

T = TypeVar("T")
JSONSlice = bytes | msgspec.Raw
"""A part of a JSON text that is not decoded yet."""

BOM: Final = b"\xef\xbb\xbf"

decode_any: Final = msgspec.json.Decoder().decode


def attempt(decode: Callable[[JSONSlice], T], data: JSONSlice) -> T | None:
    """Decode `data` by a decoder of msgspec; None if it does not fit.

    The caller then raises outside of any except block: msgspec's error may quote the data,
    and must not become the context of ours.
    """
    try:
        return decode(data)
    except (ValueError, RecursionError):
        return None


def read_value(data: JSONSlice, path: str) -> Any:
    """Decode a JSON value; of duplicate keys the last wins.

    Args:
        data: its bytes.
        path: where it is in the answer, for the error.

    Raises:
        DecodeError: it is not valid JSON, has a number out of range, or is nested more than
            200 levels deep.
    """
    if nested_too_deeply(bytes(data)):
        reason = f"is nested more than {DEEPEST} levels deep"
    else:
        try:
            return decode_any(data)
        except ValueError:
            reason = "is not valid JSON"
    # Raised outside the except block: the decoder's error may quote the data.
    raise DecodeError(f"expected a value, but this {reason}", path=path)


def read_json(body: bytes) -> Any:
    """Decode a body; a byte order mark before it is ignored.

    Raises:
        DecodeError: it is not valid JSON.
    """
    return read_value(body.removeprefix(BOM), "$")


def read_object(body: bytes) -> dict[str, Any]:
    """Decode a body that is a JSON object.

    Raises:
        DecodeError: it is not valid JSON, or not an object.
    """
    value = read_json(body)
    if type(value) is not dict:
        raise DecodeError("expected an object", path="$")
    return cast(dict[str, Any], value)
