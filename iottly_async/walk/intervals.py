"""Sets of positions as sorted, disjoint half-open intervals."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable

from ..models.cursor import Interval


def subtract(intervals: list[Interval], start: int, end: int) -> None:
    """Take [start, end) out of `intervals`, in place."""
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
