"""Reads from an answer how a service understood a lower bound (D2). Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from attrs import frozen

from .evidence import SampleRow

_UNITS: Final = {
    10: "the hundredth of a second",
    100: "the tenth of a second",
    1000: "the second",
    60_000: "the minute",
    3_600_000: "the hour",
}


@frozen
class BoundReading:
    """How a service understood a bound in one form.

    Attributes:
        unit: milliseconds to which it rounds the bound down; 1 if it does not round, None if
            it did not understand the bound.
        text: the same for people.
    """

    unit: int | None
    text: str


def told_apart(rows: Sequence[SampleRow], pivot: int) -> int:
    """How many ways to round a bound a millisecond behind a row the answer would tell apart.

    Args:
        rows: the oldest messages, in order.
        pivot: the row's index.

    Returns:
        The number; rounding that looks like an ignored bound does not count.
    """
    begins = {_begin(rows, rows[pivot].at + 1, unit) for unit in _UNITS}
    return len(begins - {rows[0].at})


def _begin(rows: Sequence[SampleRow], bound: int, unit: int) -> int:
    """Where an answer begins if the service rounds the bound down to a unit."""
    rounded = bound - bound % unit
    return next(row.at for row in rows if row.at >= rounded)


def read_bound(
    found: Sequence[SampleRow] | None,
    rows: Sequence[SampleRow],
    pivot: int,
    status: int | None,
) -> BoundReading:
    """Read how a bound a millisecond behind a row was understood.

    Args:
        found: the rows of the answer, oldest first; None if it has none.
        rows: the oldest messages, in order.
        pivot: the index of the row behind which the bound was.
        status: of the answer.

    Returns:
        How it was understood.
    """
    if found is None:
        return BoundReading(None, "no answer" if status is None else f"answered by {status}")
    if not found:
        return BoundReading(None, "misread: it finds nothing")
    bound, begins = rows[pivot].at + 1, found[0].at
    if begins == rows[pivot + 1].at:
        return BoundReading(1, "understood")
    if begins == rows[0].at:
        return BoundReading(None, "ignored, or rounded down to more than the sample")
    units = [unit for unit in _UNITS if begins == _begin(rows, bound, unit)]
    if units:
        more = " or more" if len(units) > 1 else ""
        return BoundReading(units[0], f"rounded down to {_UNITS[units[0]]}{more}")
    late = begins > rows[pivot + 1].at
    return BoundReading(None, f"misread: it begins too {'late' if late else 'early'}")
