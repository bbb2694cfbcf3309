"""The MongoDB filters that the client uses: equal, less and greater."""

import operator
from collections.abc import Callable, Mapping
from typing import Any, Final

from .request import milliseconds
from .truth import Row

_OPERATORS: Final[Mapping[str, Callable[[Any, Any], bool]]] = {
    "$eq": operator.eq,
    "$gt": operator.gt,
    "$gte": operator.ge,
    "$lt": operator.lt,
    "$lte": operator.le,
}


def matches(row: Row, wanted: Mapping[str, Any]) -> bool:
    """Whether a row matches a filter; ValueError for what is not supported."""
    return all(_condition_holds(_value(row, name), condition) for name, condition in wanted.items())


def _value(row: Row, name: str) -> Any:
    match name:
        case "type":
            return row.type
        case "timestamp":
            return row.at
        case "_id":
            return row.oid
    raise ValueError(f"filters by {name} are not supported")


def _condition_holds(value: Any, condition: Any) -> bool:
    if not isinstance(condition, dict) or set(condition) <= {"$date", "$oid"}:
        condition = {"$eq": condition}
    if unknown := condition.keys() - _OPERATORS.keys():
        raise ValueError(f"not supported: {unknown}")
    return all(_OPERATORS[name](value, _plain(other)) for name, other in condition.items())


def _plain(value: Any) -> Any:
    match value:
        case {"$date": text}:
            return milliseconds(text)
        case {"$oid": text}:
            return text
    return value
