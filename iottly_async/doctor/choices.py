"""Chooses what to ask next from what was answered. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Final

from ..config import TIMESTAMP_FORMATS, TimestampFormat
from ..models import Device, OperatingStatus
from .bound_reading import read_bound, told_apart
from .evidence import Evidence, SampleRow, times_of

_ENOUGH: Final = 30
"""Rows of a device that suffice for a sample; further devices are not tried."""

_BLOCKS: Final = (10, 5, 3, 2, 1)
_LONGEST_SPAN: Final = 10


def device_order(devices: Iterable[Device]) -> list[str]:
    """The ids of devices in the order in which they are tried: connected ones first."""
    listed = list(devices)
    listed.sort(key=lambda device: device.operating_status is not OperatingStatus.CONNECTED)
    return [device.id for device in listed]


def is_enough(rows: Sequence[SampleRow] | None) -> bool:
    """Whether a device has enough messages for a sample."""
    return rows is not None and len(rows) >= _ENOUGH


def page_block(rows: Sequence[SampleRow]) -> int:
    """How many messages a page should have, so that the first three pages differ by their times.

    Args:
        rows: the oldest messages, in order.

    Returns:
        The size; 0 if no size tells the pages apart.
    """
    sizes: tuple[int, ...] = (*_BLOCKS, *range(11, len(rows) // 2 + 1))
    for size in sizes:
        first, second, third = (
            times_of(rows[size * number : size * (number + 1)]) for number in range(3)
        )
        if first and first != second and second != third:
            return size
    return 0


def bound_pivot(rows: Sequence[SampleRow]) -> int | None:
    """The row behind which a lower bound should be, so that the answer tells how it was read.

    A bound a millisecond behind a row excludes the row, unless the service rounds it down to
    a unit: so it must not lie on a whole hundredth of a second.

    Args:
        rows: the oldest messages, in order.

    Returns:
        The row's index; None if no row is fit.
    """
    fit = [
        index
        for index in range(len(rows) - 1)
        if rows[index + 1].at > rows[index].at + 1 and (rows[index].at + 1) % 10
    ]
    return max(fit, key=lambda index: told_apart(rows, index)) if fit else None


def range_span(rows: Sequence[SampleRow]) -> slice | None:
    """A part of the sample between two milliseconds, to ask for with both bounds.

    Args:
        rows: the oldest messages, in order.

    Returns:
        A slice that begins with the first row of a millisecond, and ends before another one's;
        None if the sample has fewer than three milliseconds.
    """
    starts = [n for n in range(1, len(rows)) if rows[n].at > rows[n - 1].at]
    pairs = [(low, high) for low, high in pairwise(starts) if high - low <= _LONGEST_SPAN]
    return slice(*pairs[len(pairs) // 2]) if pairs else None


def best_form(evidence: Evidence, rows: Sequence[SampleRow]) -> TimestampFormat | None:
    """The form of times to use: exact before rounded, the default before others.

    Args:
        evidence: with the answers for each form.
        rows: the oldest messages, in order.

    Returns:
        The form; None if the service understands none.
    """
    if evidence.pivot is None:
        return None
    readings = {
        form: read_bound(evidence.page_rows(exchange), rows, evidence.pivot, exchange.status)
        for form, exchange in evidence.forms.items()
    }
    units = [
        (reading.unit, TIMESTAMP_FORMATS.index(form), form)
        for form, reading in readings.items()
        if reading.unit is not None
    ]
    return min(units)[2] if units else None


def tied(rows: Sequence[SampleRow]) -> bool:
    """Whether two messages of different content share a millisecond."""
    return any(one.at == other.at and one.content != other.content for one, other in pairwise(rows))
