"""Compares values of a document with those of a filter, as MongoDB does.

Values compare only within their own type; a boolean is not a number. A list also compares by its
elements. Null also matches a missing field.
"""

from collections.abc import Callable, Iterator
from typing import Any

import attrs

Predicate = Callable[[Any], bool]


@attrs.frozen(order=True)
class Instant:
    """A date, written ``{"$date": …}``: epoch milliseconds. It equals no number and no text."""

    ms: int


@attrs.frozen(order=True)
class ObjectId:
    """An id, written ``{"$oid": …}``: 24 hexadecimal digits in lower case."""

    digits: str


def negated(test: Predicate) -> Predicate:
    """A predicate that is true where another is false."""
    return lambda document: not test(document)


def _reach(value: object, path: list[str]) -> Iterator[object]:
    """Every value at a dotted path; lists are entered by index and by each of their elements."""
    if not path:
        yield value
        return
    head = path[0]
    if isinstance(value, dict):
        if head in value:
            yield from _reach(value[head], path[1:])
    elif isinstance(value, list):
        if head.isascii() and head.isdigit() and int(head[:9]) < len(value):
            yield from _reach(value[int(head[:9])], path[1:])
        for each in value:
            if isinstance(each, dict):
                yield from _reach(each, path)


def _candidates(document: object, path: list[str]) -> Iterator[object]:
    """Every value at a path, and the elements of those that are lists."""
    for value in _reach(document, path):
        yield value
        if isinstance(value, list):
            yield from value


def _kind(value: object) -> str:
    """The type within which a value compares; a boolean is not a number."""
    if isinstance(value, bool):
        return "bool"
    return "number" if isinstance(value, int | float) else type(value).__name__


def _same(left: object, right: object) -> bool:
    if _kind(left) != _kind(right):
        return False
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(_same, left, right))
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(_same(left[k], right[k]) for k in left)
    return left == right


def exists(path: list[str]) -> Predicate:
    """A predicate: is there a value at the path, null included?"""
    return lambda document: any(True for _ in _reach(document, path))


def equals(path: list[str], wanted: object) -> Predicate:
    """A predicate: does a value at the path equal ``wanted``? Null also matches a missing field."""

    def test(document: object) -> bool:
        found = False
        for value in _candidates(document, path):
            found = True
            if _same(value, wanted):
                return True
        return wanted is None and not found

    return test


_ORDERED = frozenset({"number", "str", "bool", "Instant", "ObjectId"})


def orders(value: object) -> bool:
    """Whether values of this type can be greater or less."""
    return _kind(value) in _ORDERED


def compares(path: list[str], name: str, wanted: Any) -> Predicate:
    """A predicate: is a value at the path ``$gt``, ``$gte``, ``$lt`` or ``$lte`` of ``wanted``?"""
    kind = _kind(wanted)
    compare: Callable[[Any], bool] = {
        "$gt": lambda value: value > wanted,
        "$gte": lambda value: value >= wanted,
        "$lt": lambda value: value < wanted,
        "$lte": lambda value: value <= wanted,
    }[name]
    return lambda document: any(
        _kind(value) == kind and compare(value) for value in _candidates(document, path)
    )
