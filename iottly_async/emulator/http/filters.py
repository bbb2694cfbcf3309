"""Reads the MongoDB filters of the history endpoint, by an allow-list.

A filter is compiled once, into nested functions over plain Python values. Only the operators named
here exist: none that runs code or can take exponential time (``$where``, ``$expr``, ``$regex``).
Length, depth and number of conditions are bounded.
"""

from collections.abc import Mapping
from typing import Any, TypeGuard

import attrs

from ..rows import load_json
from ..times import read_date
from .matching import Instant, ObjectId, Predicate, compares, equals, exists, negated

MAX_LENGTH = 8192
MAX_DEPTH = 10
MAX_CONDITIONS = 100
MAX_SEGMENTS = 16
MAX_TIME = 1 << 60
"""How far from 1970 a bound for the store may lie, in milliseconds; SQLite counts in 64 bits."""


class FilterError(ValueError):
    """A filter that is not JSON, not allowed or too large; the text says which part is wrong."""


@attrs.frozen
class Filter:
    """A compiled filter: ``matches`` a document, within bounds that hold for every match.

    ``type`` (None: any), ``start`` (inclusive, ms) and ``end`` (exclusive, ms) save the store from
    reading rows that cannot match. ``top`` is the filter's top level, as it was given.
    """

    matches: Predicate
    type: str | None = None
    start: int | None = None
    end: int | None = None
    top: Mapping[str, Any] = attrs.field(factory=dict)


def read_filter(text: str, *, plain: bool = False) -> Filter:
    """Compile the JSON text of a filter; raises ``FilterError``.

    With ``plain``, ``$date``, ``$oid`` and ``$numberLong`` are ordinary objects.
    """
    if len(text) > MAX_LENGTH:
        raise FilterError(f"longer than {MAX_LENGTH} characters")
    try:
        value = load_json(text, strict=True)
    except ValueError:
        raise FilterError("not valid JSON") from None
    if not isinstance(value, dict):
        raise FilterError("a filter must be a JSON object")
    matches = _Compiler(plain).document(value, 0)
    start, end = (None, None) if plain else _interval(value)
    return Filter(matches, _type(value), start, end, value)


class _Compiler:
    """Compiles one filter and counts its conditions."""

    def __init__(self, plain: bool) -> None:
        self._plain = plain
        self._conditions = 0

    def document(self, value: object, depth: int) -> Predicate:
        """Compile a filter document: all of its entries must hold."""
        if not isinstance(value, dict):
            raise FilterError("expected an object of conditions")
        self._count(depth)
        tests = [self._entry(name, wanted, depth + 1) for name, wanted in value.items()]
        return lambda document: all(test(document) for test in tests)

    def _count(self, depth: int) -> None:
        self._conditions += 1
        if depth > MAX_DEPTH:
            raise FilterError(f"nested deeper than {MAX_DEPTH}")
        if self._conditions > MAX_CONDITIONS:
            raise FilterError(f"more than {MAX_CONDITIONS} conditions")

    def _entry(self, name: str, wanted: object, depth: int) -> Predicate:
        if name in ("$and", "$or", "$nor"):
            tests = [self.document(each, depth) for each in _list(name, wanted)]
            if not tests:
                raise FilterError(f"{name} needs at least one condition")
            if name == "$and":
                return lambda document: all(test(document) for test in tests)
            if name == "$or":
                return lambda document: any(test(document) for test in tests)
            return lambda document: not any(test(document) for test in tests)
        if name.startswith("$"):
            raise FilterError(f"operator {name[:40]} is not allowed here")
        path = name.split(".")
        if len(path) > MAX_SEGMENTS or not all(path):
            raise FilterError("a path has 1 to 16 names, none of them empty")
        return self._field(path, wanted, depth)

    def _field(self, path: list[str], wanted: object, depth: int) -> Predicate:
        self._count(depth)
        if _is_operators(wanted):
            tests = [self._operator(path, name, value, depth + 1) for name, value in wanted.items()]
            return lambda document: all(test(document) for test in tests)
        return equals(path, self._value(wanted, depth + 1))

    def _operator(self, path: list[str], name: str, value: object, depth: int) -> Predicate:
        self._count(depth)
        match name:
            case "$eq":
                return equals(path, self._value(value, depth))
            case "$ne":
                return negated(equals(path, self._value(value, depth)))
            case "$in" | "$nin":
                any_of = [equals(path, self._value(v, depth)) for v in self._bounded(name, value)]
                found: Predicate = lambda document: any(test(document) for test in any_of)  # noqa: E731
                return found if name == "$in" else negated(found)
            case "$gt" | "$gte" | "$lt" | "$lte":
                return compares(path, name, self._value(value, depth))
            case "$exists":
                return exists(path) if _is_true(value) else negated(exists(path))
            case "$not":
                if not _is_operators(value):
                    raise FilterError("$not takes an object of operators")
                return negated(self._field(path, value, depth))
            case _:
                raise FilterError(f"operator {name[:40]} is not allowed")

    def _bounded(self, name: str, value: object) -> list[Any]:
        values = _list(name, value)
        self._conditions += len(values)
        if self._conditions > MAX_CONDITIONS:
            raise FilterError(f"more than {MAX_CONDITIONS} conditions")
        return values

    def _value(self, value: object, depth: int) -> object:
        """A literal to compare with; dates and ids become values of their own types."""
        if depth > MAX_DEPTH:
            raise FilterError(f"nested deeper than {MAX_DEPTH}")
        if isinstance(value, list):
            return [self._value(each, depth + 1) for each in value]
        if not isinstance(value, dict):
            return value
        if self._plain and set(value) <= _LITERALS:
            return dict(value)
        if set(value) == {"$date"}:
            try:
                return Instant(read_date(value["$date"]))
            except ValueError:
                raise FilterError("$date is not a time") from None
        if set(value) == {"$oid"} and isinstance(value["$oid"], str):
            return ObjectId(value["$oid"].lower())
        if set(value) == {"$numberLong"}:
            try:
                return int(str(value["$numberLong"]))
            except ValueError:
                raise FilterError("$numberLong is not a number") from None
        for name in value:
            if name.startswith("$"):
                raise FilterError(f"operator {name[:40]} is not allowed in a value")
        return {name: self._value(each, depth + 1) for name, each in value.items()}


_LITERALS = frozenset({"$date", "$oid", "$numberLong"})


def _is_operators(value: object) -> TypeGuard[dict[str, Any]]:
    return (
        isinstance(value, dict)
        and bool(value)
        and all(name.startswith("$") for name in value)
        and not set(value) <= _LITERALS
    )


def _is_true(value: object) -> bool:
    """Whether MongoDB takes a value for true: any but null, false and 0."""
    return value is not None and value is not False and value != 0


def _list(name: str, value: object) -> list[Any]:
    if not isinstance(value, list):
        raise FilterError(f"{name} takes a list")
    return value


def _type(value: Mapping[str, Any]) -> str | None:
    """The type that the top level requires of every match; None if it requires none."""
    kind = value.get("type")
    if _is_operators(kind):
        kind = kind.get("$eq")
    return kind if isinstance(kind, str) else None


def _interval(value: Mapping[str, Any]) -> tuple[int | None, int | None]:
    """The interval of time that the top level requires of every match; None: no bound."""
    start: int | None = None
    end: int | None = None
    moment = value.get("timestamp")
    if isinstance(moment, dict):
        wanted = moment if _is_operators(moment) else {"$eq": moment}
        for name, literal in wanted.items():
            if not (isinstance(literal, dict) and set(literal) == {"$date"}):
                continue
            ms = max(-MAX_TIME, min(MAX_TIME, read_date(literal["$date"])))
            if name in ("$gte", "$gt", "$eq"):
                start = ms if start is None else max(start, ms)
            if name in ("$lte", "$lt", "$eq"):
                end = ms + 1 if end is None else min(end, ms + 1)
    return start, end
