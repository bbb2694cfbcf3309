"""JSON cut into slices without being read.

One message with a payload that no JSON reader accepts (NaN, a lone surrogate, ten
thousand brackets) must not hold up the hundred on its page. Where the reader gives
up on a page, this splits objects and arrays into the slices of their members, in
constant stack, so that each can be read, or kept unread, on its own.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import suppress
from typing import Final

_SPACE: Final = re.compile(rb"[ \t\n\r]*")
_STRING: Final = re.compile(rb'"(?:[^"\\]++|\\.)*+"', re.DOTALL)
_SCALAR: Final = re.compile(rb"[^\s,\[\]{}\":]+")
# What matters for depth, and strings whole, so that a bracket in one does not count. One
# that never ends is taken to the end at once: else each quote in it would be tried.
_TOKEN: Final = re.compile(rb'"(?:[^"\\]++|\\.)*+"?|[\[\]{}]', re.DOTALL)


class NotJSON(ValueError):  # noqa: N818 - named after what the bytes are
    """The bytes do not have the structure of JSON."""


def split_object(data: bytes) -> dict[str, bytes]:
    """The members of the JSON object that `data` is, values as slices; the last of a key wins.

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


def split_array(data: bytes) -> Iterator[bytes]:
    """The elements of the JSON array that `data` is, as slices, one by one.

    Raises:
        NotJSON: while iterating, where `data` is not one array.
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
            # Half a surrogate pair is no text that could be written anywhere.
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
    """Where the next member begins, or the closing bracket stands."""
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
