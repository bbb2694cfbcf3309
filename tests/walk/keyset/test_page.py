"""A page that was read: its order, its ties, and where its messages lie."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iottly_async.errors import PageOrderError
from iottly_async.walk.axis import ASCENDING, DESCENDING, Axis

from ..pages import ZERO, messages, page_of, read


@given(
    st.lists(st.integers(0, 50), min_size=1),
    st.sampled_from([ASCENDING, DESCENDING]),
    st.integers(-5, 60),
    st.integers(0, 999),
)
def test_a_page_counts_the_messages_before_a_position(
    times: list[int], axis: Axis, at: int, micros: int
) -> None:
    """On both axes, with ties, and with times finer than the millisecond."""
    found = messages(sorted(times, reverse=axis is DESCENDING), micros=micros)
    page = read(found, axis)
    points = [axis.point(ZERO + time) for time in sorted(times, reverse=axis is DESCENDING)]
    bound = axis.point(ZERO + at)
    assert page.index(bound) == sum(point < bound for point in points)
    assert (page.first, page.last) == (points[0], points[-1])
    assert page.tail == sum(point < points[-1] for point in points)
    assert page.tied or len(set(times)) == len(times)


@pytest.mark.parametrize("axis", [ASCENDING, DESCENDING])
def test_a_page_out_of_order_is_refused(axis: Axis) -> None:
    """One message in the wrong place is enough; the error names the two times."""
    times = [1, 2, 4, 3, 5] if axis is ASCENDING else [5, 3, 4, 2, 1]
    with pytest.raises(PageOrderError, match=r"00:00:00\.003"):
        page_of(*times, axis=axis)


def test_any_order_within_one_millisecond_is_accepted() -> None:
    """Times finer than the millisecond may come in any order within it (D6)."""
    found = [*messages([1], micros=900), *messages([1], micros=100), *messages([2])]
    assert read(found).tied
