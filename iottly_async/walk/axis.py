"""Positions on a walk's axis, and sets of them as intervals.

A walk works in one direction only: forward. A walk from new to old is a walk from old to new
along the mirrored axis. There the millisecond t lies at ~t (which is -t - 1), and the half-open
interval [a, b) of times becomes the half-open interval [-b, -a). Segments know only positions.
Times become positions when a page is read, and positions become times when a request or a
cursor is made.

Example: the milliseconds 10, 11 and 12 are the interval [10, 13). Descending, they lie at -11,
-12 and -13, so the walk goes from -13 to -11, through [-13, -10).
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from typing import Final, Literal

from attrs import frozen

from ..models.cursor import YEAR_1, YEAR_10000, Interval

BEGINNING: Final = YEAR_1
"""The first millisecond of the year 1: stands for a range without a start."""

FAR: Final = YEAR_10000
"""The end of the year 9999: stands for a range without an end."""

SECOND: Final = 1000
"""In milliseconds."""


@frozen
class Axis:
    """Turns times into positions and back; each method is its own inverse.

    Attributes:
        direction: 1 from old to new, -1 from new to old.
    """

    direction: Literal[1, -1]

    def point(self, at: int) -> int:
        """The position of a millisecond, or the millisecond at a position."""
        return at if self.direction == 1 else ~at

    def interval(self, interval: Interval) -> Interval:
        """The interval of positions for one of times, or the reverse."""
        a, b = interval
        return (a, b) if self.direction == 1 else (-b, -a)

    def edge(self, at: int) -> int:
        """A boundary between two milliseconds, such as the end of an interval."""
        return at if self.direction == 1 else -at


ASCENDING: Final = Axis(1)
DESCENDING: Final = Axis(-1)


def round_down(at: int, unit: int) -> int:
    """The last multiple of `unit` that is not after `at`; if `unit` is 0, before everything."""
    return at // unit * unit if unit else -FAR


def round_up(at: int, unit: int) -> int:
    """The first multiple of `unit` that is not before `at`."""
    return -(-at // unit) * unit


def subtract(intervals: list[Interval], start: int, end: int) -> None:
    """Remove [start, end) from sorted, disjoint `intervals`, in place."""
    if start >= end:
        return
    if len(intervals) == 1 and start <= intervals[0][0] < end < intervals[0][1]:
        intervals[0] = (end, intervals[0][1])  # the next page of a walk in order
        return
    first = max(0, bisect_right(intervals, (start, start)) - 1)
    last = first
    kept: list[Interval] = []
    while last < len(intervals) and intervals[last][0] < end:
        a, b = intervals[last]
        if a < start:
            kept.append((a, min(b, start)))
        if b > end:
            kept.append((max(a, end), b))
        last += 1
    intervals[first:last] = kept


def union(intervals: Iterable[Interval]) -> list[Interval]:
    """The same positions as sorted intervals that neither overlap nor touch."""
    joined: list[Interval] = []
    for a, b in sorted(intervals):
        if a >= b:
            continue
        if joined and a <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(joined[-1][1], b))
        else:
            joined.append((a, b))
    return joined


def within(intervals: Iterable[Interval], low: int, high: int) -> list[Interval]:
    """The parts of `intervals` that lie in [low, high)."""
    return [(max(a, low), min(b, high)) for a, b in intervals if max(a, low) < min(b, high)]
