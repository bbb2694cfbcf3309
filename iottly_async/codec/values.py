"""Bytes into plain JSON values, with an error of our own for what is not JSON."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeVar, cast

import msgspec

from ..errors import DecodeError

T = TypeVar("T")
Slice = bytes | msgspec.Raw
"""A piece of JSON that is still to be read."""

BOM: Final = b"\xef\xbb\xbf"

decode_any: Final = msgspec.json.Decoder().decode
own_bytes: Final[Callable[[msgspec.Raw], bytes]] = msgspec.json.Encoder().encode
"""A slice as bytes of its own, which do not hold the whole body; quicker than `bytes()`."""


def attempt(decode: Callable[[Slice], T], data: Slice) -> T | None:
    """What `decode`, a decoder of msgspec's, makes of `data`; None where it does not fit.

    What is then raised for it is raised outside of any except block: the reader's own
    error may quote the data, and must not be its context.
    """
    try:
        return decode(data)
    except (ValueError, RecursionError):
        return None


def read_value(data: Slice, path: str) -> Any:
    """The JSON value that `data` is; of duplicate keys the last wins.

    Raises:
        DecodeError: it is not valid JSON, or holds a number out of range, or is nested
            too deeply; `path` is where it lies.
    """
    try:
        return decode_any(data)
    except (ValueError, RecursionError):
        pass
    raise DecodeError("expected a value, and what arrived is not valid JSON", path=path)


def read_json(body: bytes) -> Any:
    """The JSON that a body is; a byte order mark before it is passed over.

    Raises:
        DecodeError: it is not valid JSON.
    """
    return read_value(body.removeprefix(BOM), "$")


def read_object(body: bytes) -> dict[str, Any]:
    """The JSON object that a body is.

    Raises:
        DecodeError: it is not valid JSON, or not an object.
    """
    value = read_json(body)
    if type(value) is not dict:
        raise DecodeError("expected an object", path="$")
    return cast(dict[str, Any], value)
