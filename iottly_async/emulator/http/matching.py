"""Compares values of a document with those of a filter, as MongoDB does.

A condition looks at every value that a dotted path reaches, and holds if it holds for one of them:

- A name of the path looks into an object. Where the object has no such field, or the value is no
  object at all, the condition sees a missing field.
- An array in the middle of a path is entered: the rest of the path looks into each element that is
  an object, and a name that is the number of an element also looks into that element. An array of
  which no element can be looked into shows nothing, not even a missing field.
- An array at the end of a path shows each of its elements and then itself; an element that the
  path names by its number shows only itself.

Values compare only within their own type; a boolean is not a number. Null equals null and a missing
field. Objects are equal if they have the same fields in the same order.
"""

from collections.abc import Callable, Iterator, Sequence
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


class Missing:
    """The value of a field that is not there."""


_MISSING = Missing()
_RANKS: dict[type, int] = {
    Missing: 0,
    type(None): 5,
    int: 10,
    float: 10,
    str: 15,
    dict: 20,
    list: 25,
    ObjectId: 35,
    bool: 40,
    Instant: 45,
}
"""The order of the types; values of one rank can be greater or less than each other."""


def negated(test: Predicate) -> Predicate:
    """A predicate that is true where another is false."""
    return lambda document: not test(document)


def exists(path: Sequence[str]) -> Predicate:
    """A predicate: is there a value at the path, null included?"""
    return lambda document: any(value is not _MISSING for value in _reach(document, path))


def equals(path: Sequence[str], wanted: object) -> Predicate:
    """A predicate: does a value at the path equal ``wanted``?"""
    return lambda document: any(_equal(value, wanted) for value in _reach(document, path))


def compares(path: Sequence[str], name: str, wanted: object) -> Predicate:
    """A predicate: is a value at the path ``$gt``, ``$gte``, ``$lt`` or ``$lte`` of ``wanted``?"""
    rank, or_equal = _rank(wanted), name.endswith("e")
    sign = 1 if name.startswith("$gt") else -1

    def test(value: object) -> bool:
        if _rank(value) != rank:
            return or_equal and _equal(value, wanted)  # a missing field and null
        if value != value:  # NaN is in no order with other numbers
            return False
        order = _order(value, wanted) * sign
        return order > 0 or (or_equal and order == 0)

    return lambda document: any(test(value) for value in _reach(document, path))


def _reach(document: object, path: Sequence[str], at: int = 0) -> Iterator[object]:
    """Every value that a condition on ``path[at:]`` looks at, for an object; see above."""
    value = document
    while at < len(path):
        if isinstance(value, list):
            yield from _reach_elements(value, path, at)
            return
        if not isinstance(value, dict) or path[at] not in value:
            yield _MISSING
            return
        value, at = value[path[at]], at + 1
    if isinstance(value, list):
        yield from value
    yield value


def _reach_elements(elements: list[Any], path: Sequence[str], at: int) -> Iterator[object]:
    """The same for an array that ``path[at:]`` looks into."""
    for number, element in enumerate(elements):
        if isinstance(element, dict):
            yield from _reach(element, path, at)
        if path[at] != str(number):
            continue
        if at + 1 == len(path):
            yield element
        elif isinstance(element, dict | list):
            yield from _reach(element, path, at + 1)


def _rank(value: object) -> int:
    return _RANKS[type(value)]


def _equal(left: object, right: object) -> bool:
    if left is _MISSING:
        return right is None
    return _order(left, right) == 0


def _order(left: Any, right: Any) -> int:
    """Below, at or above 0 if ``left`` is less than, equal to or greater than ``right``."""
    rank = _rank(left)
    if rank != _rank(right):
        return rank - _rank(right)
    if isinstance(left, list):
        pairs = (_order(*pair) for pair in zip(left, right, strict=False))
    elif isinstance(left, dict):
        entries = zip(left.items(), right.items(), strict=False)
        pairs = (_order_of_entries(*pair) for pair in entries)
    else:
        return _order_of_scalars(left, right)
    return next((order for order in pairs if order), len(left) - len(right))


def _order_of_entries(left: tuple[str, Any], right: tuple[str, Any]) -> int:
    """Fields of objects compare by the type of their value, by name, and then by value."""
    ranks = _rank(left[1]) - _rank(right[1])
    return ranks or _order_of_scalars(left[0], right[0]) or _order(left[1], right[1])


def _order_of_scalars(left: Any, right: Any) -> int:
    if left != left or right != right:  # NaN equals itself and is less than any other number
        return int(left == left) - int(right == right)
    return 0 if left is None else int(left > right) - int(left < right)
