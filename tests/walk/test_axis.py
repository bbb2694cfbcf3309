"""Positions on a walk's axis, and sets of them as intervals."""

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from iottly_async.walk.axis import (
    ASCENDING,
    DESCENDING,
    Axis,
    round_down,
    round_up,
    subtract,
    union,
    within,
)

axes = st.sampled_from([ASCENDING, DESCENDING])
pairs = st.tuples(st.integers(0, 30), st.integers(0, 30))
some_interval = pairs.map(lambda pair: (min(pair), max(pair)))


def positions(intervals: Sequence[tuple[int, int]]) -> set[int]:
    """The positions that lie in any of the intervals."""
    return {at for a, b in intervals for at in range(a, b)}


def is_tidy(intervals: Sequence[tuple[int, int]]) -> bool:
    """Whether intervals are sorted, not empty, and neither overlap nor touch."""
    flat = [edge for interval in intervals for edge in interval]
    return flat == sorted(set(flat))


@given(st.lists(some_interval))
def test_a_union_has_the_same_positions_in_order(intervals: list[tuple[int, int]]) -> None:
    """Overlapping and touching intervals become one; empty ones vanish."""
    joined = union(intervals)
    assert positions(joined) == positions(intervals)
    assert is_tidy(joined)


@given(st.lists(some_interval), some_interval)
def test_subtracting_removes_one_interval_and_no_more(
    intervals: list[tuple[int, int]], removed: tuple[int, int]
) -> None:
    """All positions outside the interval remain, still in order."""
    remaining = union(intervals)
    subtract(remaining, *removed)
    assert positions(remaining) == positions(intervals) - positions([removed])
    assert is_tidy(remaining)


@given(st.lists(some_interval), some_interval)
def test_within_keeps_the_positions_inside(
    intervals: list[tuple[int, int]], bounds: tuple[int, int]
) -> None:
    """Only the positions inside the bounds are kept."""
    kept = within(union(intervals), *bounds)
    assert positions(kept) == positions(intervals) & positions([bounds])


@given(axes, st.integers(), st.tuples(st.integers(), st.integers()))
def test_the_axis_is_its_own_inverse(axis: Axis, at: int, interval: tuple[int, int]) -> None:
    """Times become positions and positions times; a point stays inside its interval."""
    assert axis.point(axis.point(at)) == at
    assert axis.interval(axis.interval(interval)) == interval
    a, b = axis.interval(interval)
    assert (interval[0] <= at < interval[1]) == (a <= axis.point(at) < b)


@given(st.integers(), st.sampled_from([1, 1000, 60_000]))
def test_rounding_gives_the_multiples_on_both_sides(at: int, unit: int) -> None:
    """Rounding down and up gives the nearest multiples, or the number itself."""
    low, high = round_down(at, unit), round_up(at, unit)
    assert low <= at <= high
    assert high - low == (unit if at % unit else 0)
