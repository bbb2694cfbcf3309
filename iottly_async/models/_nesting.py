"""How deeply JSON may be nested: a limit of our own, the same on every Python.

A decoder that recurses stops at a depth that differs between versions of Python, and on some
of them depends on how deep the caller's stack is. Then the key of one message would differ
between two machines. So JSON is measured before it is decoded.
"""

from __future__ import annotations

from itertools import accumulate
from typing import Final

DEEPEST: Final = 200
"""Levels of objects and arrays that are decoded; ``[[]]`` has two."""

SHALLOW_BYTES: Final = 2 * DEEPEST
"""JSON of so many bytes is not nested too deeply: a level takes two."""

_NO_BRACKETS: Final = bytes(set(range(256)) - set(b"[]{}"))
_STEPS: Final = {ord("["): 1, ord("{"): 1, ord("]"): -1, ord("}"): -1}
_PASSES: Final = 8


def nested_too_deeply(data: bytes) -> bool:
    """Whether JSON is nested more than `DEEPEST` levels deep.

    It takes constant stack and linear time. Data that is short or has few brackets costs
    nearly nothing, and wide data half as much as decoding it. For data that is not JSON, the
    answer depends on the data alone.
    """
    if len(data) <= SHALLOW_BYTES or data.count(b"[") + data.count(b"{") <= DEEPEST:
        return False
    brackets = _without_strings(data).translate(None, _NO_BRACKETS)
    rest = brackets
    for _ in range(_PASSES):  # each removes one or two levels of brackets without content
        rest = rest.replace(b"[]", b"").replace(b"{}", b"")
    if not rest:
        return False
    return max(accumulate(map(_STEPS.__getitem__, brackets)), default=0) > DEEPEST


def _without_strings(data: bytes) -> bytes:
    """Remove strings, whose brackets do not count; splitting is faster than any pattern."""
    if b"\\" in data:
        # Pairs of backslashes go first: the rest of a run escapes what follows it.
        data = data.replace(rb"\\", b"").replace(rb"\"", b"")
    return b"".join(data.split(b'"')[::2])
