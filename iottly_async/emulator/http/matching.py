"""How the values of a document compare with those of a filter, as MongoDB compares them.

Only within their own type, a boolean not being a number; lists also by their elements; null also
where the field is missing.
"""

from collections.abc import Callable, Iterator
from typing import Any

import attrs

Predicate = Callable[[Any], bool]


@attrs.frozen(order=True)
class Instant:
    """A date, as ``{"$date": …}`` says it: epoch milliseconds. Unlike any number or text."""

    ms: int


@attrs.frozen(order=True)
class ObjectId:
    """An id, as ``{"$oid": …}`` says it: 24 hexadecimal digits, lower-case."""

    digits: str


def negated(test: Predicate) -> Predicate:
    """Tests that another test fails."""
    return lambda document: not test(document)


def _reach(value: object, path: list[str]) -> Iterator[object]:
    """Every value at a dotted path, through lists by index and by each of their elements."""
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
    for value in _reach(document, path):
        yield value
        if isinstance(value, list):
            yield from value


def _kind(value: object) -> str:
    """The type within which values compare; a boolean is not a number."""
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
    """Tests whether there is anything at a path, null included."""
    return lambda document: any(True for _ in _reach(document, path))


def equals(path: list[str], wanted: object) -> Predicate:
    """Tests whether a value at a path is this one; null is found where there is nothing."""

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
    """Whether there is more and less of such a value."""
    return _kind(value) in _ORDERED


def compares(path: list[str], name: str, wanted: Any) -> Predicate:
    """Tests whether a value at a path is ``$gt``, ``$gte``, ``$lt`` or ``$lte`` of this one."""
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
