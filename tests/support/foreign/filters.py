"""MongoDB's filters, as far as the client asks by them: equal, and before or after."""

import operator
from collections.abc import Callable, Mapping
from typing import Any, Final

from .asked import milliseconds
from .truth import Row

_COMPARED: Final[Mapping[str, Callable[[Any, Any], bool]]] = {
    "$eq": operator.eq,
    "$gt": operator.gt,
    "$gte": operator.ge,
    "$lt": operator.lt,
    "$lte": operator.le,
}


def fits(row: Row, wanted: Mapping[str, Any]) -> bool:
    """Whether a row is one of a filter; ValueError for what is not spoken here."""
    return all(_holds(_value(row, name), condition) for name, condition in wanted.items())


def _value(row: Row, name: str) -> Any:
    match name:
        case "type":
            return row.type
        case "timestamp":
            return row.at
        case "_id":
            return row.oid
    raise ValueError(f"no filter by {name} is spoken here")


def _holds(value: Any, condition: Any) -> bool:
    if not isinstance(condition, dict) or set(condition) <= {"$date", "$oid"}:
        condition = {"$eq": condition}
    if unknown := condition.keys() - _COMPARED.keys():
        raise ValueError(f"not spoken here: {unknown}")
    return all(_COMPARED[name](value, _plain(other)) for name, other in condition.items())


def _plain(value: Any) -> Any:
    match value:
        case {"$date": text}:
            return milliseconds(text)
        case {"$oid": text}:
            return text
    return value
