"""MongoDB's matching of a filter with a document, written from its manual for tests.

It shares no code with the emulator, and is written the other way round: values become keys that
Python itself can compare, and a path is looked up in one recursive function. Of the manual it
follows:

- "Comparison/Sort Order": the order of the types, objects field by field (type, then name, then
  value), arrays element by element; numbers of any type are one type, booleans another.
- "Type Bracketing": ``$gt``, ``$gte``, ``$lt`` and ``$lte`` hold only within one type.
- "Query for Null or Missing Fields": null equals a field that is missing.
- "Query an Array", "Query an Array of Embedded Documents": an array matches if one of its elements
  or the array as a whole does; a path looks into the elements that are objects, and a number in a
  path also names an element.
- "Match an Embedded Document": the order of the fields counts.
- ``$ne``, ``$nin``, ``$not`` and ``$nor`` are the opposite of the whole condition.

Where the manual leaves a case open, such as a number that is looked up in an element that is an
object, it does what the server does: the element is looked into first, and a name that is not in it
is a missing field.

Filters and documents are JSON values; a date is ``Date``, also where a filter says ``$date``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any, Final

from attrs import frozen


@frozen
class Date:
    """A date, in milliseconds since 1970."""

    ms: int


class _Nothing:
    """What stands where a field is missing."""


_NOTHING: Final = _Nothing()
_NULL, _NUMBER, _TEXT, _OBJECT, _ARRAY, _BOOLEAN, _DATE = range(7)
_COMPARISONS: Final = ("$gt", "$gte", "$lt", "$lte")

Key = tuple[Any, ...]


def matches(wanted: Mapping[str, Any], document: Mapping[str, Any]) -> bool:
    """Whether a document is one that a filter finds."""
    return all(_holds(name, condition, document) for name, condition in wanted.items())


def _holds(name: str, condition: Any, document: Mapping[str, Any]) -> bool:
    if name == "$and":
        return all(matches(each, document) for each in condition)
    if name == "$or":
        return any(matches(each, document) for each in condition)
    if name == "$nor":
        return not any(matches(each, document) for each in condition)
    return _all_operators(name, condition, document)


def _all_operators(path: str, condition: Any, document: Mapping[str, Any]) -> bool:
    if not _has_operators(condition):
        condition = {"$eq": condition}
    seen = _lookup(document, path.split("."))
    return all(_operator(name, value, seen, path, document) for name, value in condition.items())


def _has_operators(condition: Any) -> bool:
    return (
        isinstance(condition, dict)
        and any(name.startswith("$") for name in condition)
        and list(condition) != ["$date"]
    )


def _operator(
    name: str, value: Any, seen: Sequence[Any], path: str, document: Mapping[str, Any]
) -> bool:
    if name == "$exists":
        there = any(each is not _NOTHING for each in seen)
        return there is not (value in (None, 0))
    if name == "$not":
        return not _all_operators(path, value, document)
    if name == "$ne":
        return not _operator("$eq", value, seen, path, document)
    if name == "$nin":
        return not _operator("$in", value, seen, path, document)
    if name == "$in":
        return any(_operator("$eq", each, seen, path, document) for each in value)
    if name == "$eq":
        return any(_key(each) == _key(value) for each in seen)
    assert name in _COMPARISONS, name
    return any(_compares(name, _key(each), _key(value)) for each in seen)


def _compares(name: str, left: Key, right: Key) -> bool:
    if left[0] != right[0]:
        return False
    if name == "$gt":
        return left > right
    if name == "$gte":
        return left >= right
    return left < right if name == "$lt" else left <= right


def _lookup(value: Any, names: Sequence[str]) -> list[Any]:
    """All that a condition on a path looks at."""
    if isinstance(value, list):
        if not names:
            return [*value, value]
        found: list[Any] = []
        for position, element in enumerate(value):
            if isinstance(element, dict):
                found += _lookup(element, names)
            if names[0] == f"{position}":
                found += _named_element(element, names[1:])
        return found
    if not names:
        return [value]
    if isinstance(value, dict):
        return _lookup(value.get(names[0], _NOTHING), names[1:])
    return [_NOTHING]


def _named_element(element: Any, names: Sequence[str]) -> list[Any]:
    """The same for an element that the path names by its position."""
    if not names:
        return [element]
    return _lookup(element, names) if isinstance(element, dict | list) else []


def _key(value: Any) -> Key:
    """A tuple that stands to others as the value does to theirs, its type first."""
    if value is None or value is _NOTHING:
        return (_NULL,)
    if isinstance(value, bool):
        return (_BOOLEAN, value)
    if isinstance(value, int | float):
        return (_NUMBER, Fraction(value))
    if isinstance(value, str):
        return (_TEXT, value.encode("utf-8", "surrogatepass"))
    if isinstance(value, Date):
        return (_DATE, value.ms)
    if isinstance(value, list):
        return (_ARRAY, tuple(map(_key, value)))
    if list(value) == ["$date"]:
        return (_DATE, value["$date"])
    fields = ((_key(each)[0], name, _key(each)) for name, each in value.items())
    return (_OBJECT, tuple(fields))
