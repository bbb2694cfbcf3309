"""Cuts JSON into slices without decoding it.

A payload that no JSON decoder accepts (NaN, a lone surrogate, ten thousand brackets) must
not prevent the other messages of its page from being read. If a page cannot be decoded, its
objects and arrays are split into the slices of their members, in constant stack, so that
each member can be decoded, or kept as bytes, on its own.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import suppress
from typing import Final

from ..errors import DecodeError
from .values import BOM

_SPACE: Final = re.compile(rb"[ \t\n\r]*")
_STRING: Final = re.compile(rb'"(?:[^"\\]++|\\.)*+"', re.DOTALL)
_SCALAR: Final = re.compile(rb"[^\s,\[\]{}\":]+")
# Brackets, and whole strings, so that a bracket in a string does not count. A string without
# an end matches to the end of the data: otherwise each quote in it would be tried.
_TOKEN: Final = re.compile(rb'"(?:[^"\\]++|\\.)*+"?|[\[\]{}]', re.DOTALL)


class NotJSON(ValueError):  # noqa: N818 - it is named after the bytes
    """The bytes do not have the structure of JSON."""


def split_object(data: bytes) -> dict[str, bytes]:
    """Split a JSON object into its members; of duplicate keys the last wins.

    Returns:
        The values as slices, by key.

    Raises:
        NotJSON: `data` is not one object.
    """
    members: dict[str, bytes] = {}
    at = _opening(data, b"{")
    while data[at : at + 1] != b"}":
        name = _STRING.match(data, at)
        if name is None:
            raise NotJSON
        colon = _skip_space(data, name.end())
        if data[colon : colon + 1] != b":":
            raise NotJSON
        start = _skip_space(data, colon + 1)
        end = _skip_value(data, start)
        members[_key(name.group())] = data[start:end]
        at = _next(data, end, b"}")
    _closing(data, at)
    return members


def cut_object(data: bytes) -> dict[str, bytes]:
    """Split a JSON object, as `split_object`.

    Raises:
        DecodeError: `data` is not one object.
    """
    try:
        return split_object(data)
    except NotJSON:
        pass
    raise DecodeError("expected an object", path="$")


def is_object(data: bytes) -> bool:
    """Whether a body has the structure of a JSON object; a byte order mark is ignored."""
    try:
        split_object(data.removeprefix(BOM))
    except NotJSON:
        return False
    return True


def split_array(data: bytes) -> Iterator[bytes]:
    """Split a JSON array; yield its elements as slices.

    Raises:
        NotJSON: while iterating, if `data` is not one array.
    """
    at = _opening(data, b"[")
    while data[at : at + 1] != b"]":
        end = _skip_value(data, at)
        yield data[at:end]
        at = _next(data, end, b"]")
    _closing(data, at)


def _key(data: bytes) -> str:
    text = data.decode("utf-8", "replace")
    if "\\" in text:
        with suppress(ValueError):
            # A lone surrogate cannot be encoded, so it is replaced.
            return str(json.loads(text)).encode("utf-8", "replace").decode()
    return text[1:-1]


def _skip_space(data: bytes, at: int) -> int:
    match = _SPACE.match(data, at)
    return match.end() if match else at


def _opening(data: bytes, bracket: bytes) -> int:
    at = _skip_space(data, 0)
    if data[at : at + 1] != bracket:
        raise NotJSON
    return _skip_space(data, at + 1)


def _closing(data: bytes, at: int) -> None:
    if _skip_space(data, at + 1) != len(data):
        raise NotJSON


def _next(data: bytes, end: int, closing: bytes) -> int:
    """Where the next member or the closing bracket begins."""
    at = _skip_space(data, end)
    if data[at : at + 1] == closing:
        return at
    if data[at : at + 1] != b",":
        raise NotJSON
    at = _skip_space(data, at + 1)
    if data[at : at + 1] == closing:
        raise NotJSON
    return at


def _skip_value(data: bytes, at: int) -> int:
    """Where the value that begins at `at` ends."""
    first = data[at : at + 1]
    if first not in (b"{", b"["):
        match = (_STRING if first == b'"' else _SCALAR).match(data, at)
        if match is None:
            raise NotJSON
        return match.end()
    depth = 0
    for token in _TOKEN.finditer(data, at):
        kind = token.group()
        if kind in (b"{", b"["):
            depth += 1
        elif kind in (b"}", b"]"):
            depth -= 1
            if depth == 0:
                return token.end()
    raise NotJSON
