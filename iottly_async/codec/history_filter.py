"""Filters of the message history: what is refused, and what an answer must keep to.

A service may not understand a part of a filter, and answer as if it were not there (D14). The
bounds on `timestamp` that every message must keep are checked against the answer, so that no
other messages are taken for the result.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from ..errors import ConfigurationError, DecodeError
from ..models._time import epoch_ms
from ..models.row import MessageRow
from ..times import read_time

_ADDRESSES: Final = {"from": "device", "to": "project"}
_COMPARISONS: Final[Mapping[str, Callable[[int, int], bool]]] = {
    "$gt": operator.gt,
    "$gte": operator.ge,
    "$lt": operator.lt,
    "$lte": operator.le,
    "$eq": operator.eq,
}


def refuse_addresses(query: Mapping[str, Any]) -> None:
    """Refuse a filter that may reach another device or project.

    A filter on `from` or `to` may replace the device or the project of the request, where the
    service merges both. Within ``$and``, ``$or`` or ``$nor`` it can only narrow them, and is
    accepted.

    Raises:
        ConfigurationError: the filter has such a name at its top.
    """
    for name, what in _ADDRESSES.items():
        if name in query:
            raise ConfigurationError(
                f"query must not have {name!r}: the service may take it instead of the "
                f"{what} that is asked for; ask for that {what} itself"
            )


def check_times(query: Mapping[str, Any], messages: Sequence[MessageRow]) -> None:
    """Check that messages keep to the bounds on `timestamp` at the top of a filter.

    Args:
        query: the filter as it was sent, in JSON's own values.
        messages: of the answer.

    Raises:
        DecodeError: a message lies outside, so the service did not understand the bound.
    """
    conditions = list(_conditions(query))
    if not conditions:
        return
    for index, message in enumerate(messages):
        if not all(_holds(message.at, condition) for condition in conditions):
            raise DecodeError(
                "expected a time within the filter's bounds. The service may not understand "
                "times in a filter; use messages.walk with start and end",
                path=f"$.messages[{index}].timestamp",
            )


def _conditions(query: Mapping[str, Any]) -> Iterator[Any]:
    """The conditions on `timestamp` that every message must keep."""
    if "timestamp" in query:
        yield query["timestamp"]
    clauses = query.get("$and")
    for clause in clauses if isinstance(clauses, list) else []:
        if isinstance(clause, dict):
            yield from _conditions(clause)


def _holds(at: int, condition: Any) -> bool:
    """Whether a time keeps a condition; True if the condition does not bound times."""
    if not isinstance(condition, dict) or "$date" in condition:
        wanted = _ms(condition)
        return wanted is None or at == wanted
    for name, value in condition.items():
        compare = _COMPARISONS.get(name)
        bound = None if compare is None else _ms(value)
        if compare is not None and bound is not None and not compare(at, bound):
            return False
        if name == "$in" and isinstance(value, list):
            wanted_times = [_ms(each) for each in value]
            if None not in wanted_times and at not in wanted_times:
                return False
        if name == "$not" and _bounds(value) and _holds(at, value):
            return False
    return True


def _bounds(condition: Any) -> bool:
    """Whether each part of a condition bounds times, so that its opposite does too."""
    return (
        isinstance(condition, dict)
        and bool(condition)
        and all(
            name in _COMPARISONS and _ms(value) is not None for name, value in condition.items()
        )
    )


def _ms(value: Any) -> int | None:
    try:
        time: datetime = read_time(value, "$")
    except DecodeError:
        return None
    return epoch_ms(time)
