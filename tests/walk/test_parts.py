"""The parts of a walk that only calculate: intervals, the axis, runs of pages, scouts, pages."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iottly_async.errors import PageOrderError
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
from iottly_async.walk.keyset.page_numbers import PageRun
from iottly_async.walk.quirks import Quirks
from iottly_async.walk.strategy.lookahead import GAP, Lookahead, sight
from iottly_async.walk.strategy.unordered import SplitBudget

from .pages import ZERO, messages, page_of, read

axes = st.sampled_from([ASCENDING, DESCENDING])
edges = st.tuples(st.integers(0, 30), st.integers(0, 30)).map(lambda pair: (min(pair), max(pair)))


def positions(intervals: Sequence[tuple[int, int]]) -> set[int]:
    return {at for a, b in intervals for at in range(a, b)}


def is_tidy(intervals: Sequence[tuple[int, int]]) -> bool:
    flat = [edge for interval in intervals for edge in interval]
    return flat == sorted(set(flat))


@given(st.lists(edges))
def test_a_union_has_the_same_positions_in_order(intervals: list[tuple[int, int]]) -> None:
    """Overlapping and touching intervals become one; empty ones vanish."""
    joined = union(intervals)
    assert positions(joined) == positions(intervals)
    assert is_tidy(joined)


@given(st.lists(edges), edges)
def test_subtracting_takes_out_just_that(
    intervals: list[tuple[int, int]], cut: tuple[int, int]
) -> None:
    """What remains is what was there, less the interval, still in order."""
    left = union(intervals)
    subtract(left, *cut)
    assert positions(left) == positions(intervals) - positions([cut])
    assert is_tidy(left)


@given(st.lists(edges), edges)
def test_within_keeps_just_that(intervals: list[tuple[int, int]], window: tuple[int, int]) -> None:
    """Only the positions inside the window are kept."""
    kept = within(union(intervals), *window)
    assert positions(kept) == positions(intervals) & positions([window])


@given(axes, st.integers(), st.tuples(st.integers(), st.integers()))
def test_the_axis_is_its_own_inverse(axis: Axis, at: int, interval: tuple[int, int]) -> None:
    """Times to positions and back; a point lies in an interval before and after."""
    assert axis.point(axis.point(at)) == at
    assert axis.interval(axis.interval(interval)) == interval
    a, b = axis.interval(interval)
    assert (interval[0] <= at < interval[1]) == (a <= axis.point(at) < b)


@given(st.integers(), st.sampled_from([1, 1000, 60_000]))
def test_rounding_brackets(at: int, unit: int) -> None:
    """Down and up are the multiples on either side, or the number itself."""
    low, high = round_down(at, unit), round_up(at, unit)
    assert low <= at <= high
    assert high - low == (unit if at % unit else 0)


@given(st.integers(1, 100), st.integers(0, 5000), st.integers(0, 100))
def test_the_next_page_of_a_run_overlaps_or_goes_straight_on(
    limit: int, held: int, behind: int
) -> None:
    """Either it begins before what is held back and reaches beyond what was seen, or it
    begins exactly where the last one ended."""
    run = PageRun(limit)
    run.go_on(limit, 0)
    seen = run.before
    assert seen == limit
    while seen < held:
        run.next()
        seen = run.before
    run.straight = False
    end = run.before + run.size
    held = max(1, end - behind)
    run.go_on(run.size, held)
    if run.straight:
        assert run.before == end
    else:
        assert 0 <= run.before < held
        assert run.before + run.size > end
        assert 1 <= run.size <= limit


@pytest.mark.parametrize(
    ("limit", "pages", "across"),
    [(5, 2, (3, 4)), (10, 9, (12, 8)), (100, 50, (51, 99)), (5, 12, None), (2, 3, None)],
)
def test_a_page_across_two_holds_the_end_of_the_first(
    limit: int, pages: int, across: tuple[int, int] | None
) -> None:
    """It begins before the second and reaches into it, where any size does."""
    run = PageRun(limit)
    for _ in range(pages):
        run.go_on(limit, 0)
    between = run.before
    assert run.go_across() == (across is not None)
    if across is not None:
        assert (run.number, run.size) == across
        assert run.before < between < run.before + run.size
        assert not run.straight


def test_a_run_can_be_taken_again() -> None:
    """Rewound, it asks for the page from which it went straight on."""
    run = PageRun(10)
    for _ in range(3):
        run.go_on(10, 0)
    assert (run.number, run.size) == (4, 10)
    run.rewind()
    assert (run.number, run.straight) == (None, False)


@given(st.lists(st.integers(0, 50), min_size=1), axes, st.integers(-5, 60), st.integers(0, 999))
def test_a_page_tells_how_many_lie_before_a_position(
    times: list[int], axis: Axis, at: int, micros: int
) -> None:
    """On both axes, with ties, and with times finer than the millisecond."""
    found = messages(sorted(times, reverse=axis is DESCENDING), micros=micros)
    page = read(found, axis)
    spots = [axis.point(ZERO + time) for time in sorted(times, reverse=axis is DESCENDING)]
    bound = axis.point(ZERO + at)
    assert page.index(bound) == sum(spot < bound for spot in spots)
    assert (page.first, page.last) == (spots[0], spots[-1])
    assert page.tail == sum(spot < spots[-1] for spot in spots)
    assert page.tied or len(set(times)) == len(times)


@pytest.mark.parametrize("axis", [ASCENDING, DESCENDING])
def test_a_page_out_of_order_is_refused(axis: Axis) -> None:
    """One message in the wrong place is enough; the error tells the two times."""
    times = [1, 2, 4, 3, 5] if axis is ASCENDING else [5, 3, 4, 2, 1]
    with pytest.raises(PageOrderError, match=r"00:00:00\.003"):
        page_of(*times, axis=axis)


def test_an_order_within_one_millisecond_is_not_the_pages_concern() -> None:
    """Times finer than the millisecond may stand in any order within it (D6)."""
    found = [*messages([1], micros=900), *messages([1], micros=100), *messages([2])]
    assert read(found).tied


@given(
    st.lists(st.integers(0, 40), min_size=1, max_size=12),
    st.integers(0, 45),
    st.integers(1, 45),
    st.booleans(),
)
def test_a_scouts_page_is_data_only_where_it_is_whole(
    times: list[int], frontier: int, length: int, full: bool
) -> None:
    """Between its first and its last millisecond, or up to the end if it is the last page;
    the gap before it and what it brings lie end to end from the frontier."""
    begin, end = ZERO + frontier, ZERO + frontier + length
    page = page_of(*sorted(times))
    seen = sight(page, begin, end, full=full, axis=ASCENDING)
    assert begin <= seen.gap_end <= seen.piece.end <= end
    assert seen.piece.start == seen.gap_end
    got = [round(message.timestamp.timestamp() * 1000) for message in seen.piece.messages]
    assert got == [ZERO + at for at in sorted(times) if seen.gap_end <= ZERO + at < seen.piece.end]
    if seen.piece.end > seen.gap_end:
        assert seen.gap_end > page.first
        assert not full or seen.piece.end <= page.last


def test_scouts_look_further_while_they_find_messages() -> None:
    """The gap grows up to its limit and the scouts with it, as far as messages are
    expected; a miss halves the gap."""
    scouting = Lookahead(0, 100)
    scouting.saw(10_000)
    gaps, many = [], []
    for _ in range(5):
        plan = scouting.plan(10_000, 10_000_000, 32)
        gaps.append(plan.gap)
        many.append(len(plan.numbers))
        scouting.hit(plan, advanced=True)
    assert gaps == [1, 4, GAP, GAP, GAP]
    assert many == [1, 4, 10, 10, 10]
    assert len(scouting.plan(10_000, 10_500, 32).numbers) == 1
    scouting.missed()
    assert scouting.gap == GAP // 2


def test_a_longer_page_shows_that_pages_are_not_cut_short() -> None:
    """A page as long as the longest so far may have been cut by the server; a shorter one
    was not, and neither was one of a handful."""
    quirks = Quirks()
    assert not quirks.is_full(9, 100)
    assert quirks.is_full(50, 100)
    assert quirks.is_full(50, 100)
    assert not quirks.is_full(49, 100)
    assert quirks.is_full(70, 100)
    assert not quirks.is_full(50, 100)
    assert quirks.is_full(100, 100)
    assert not quirks.is_full(99, 100)
    assert not quirks.is_full(0, 100)


def test_a_length_that_was_twice_the_last_is_trusted() -> None:
    """Devices of the same size each are not asked twice for ever; the first may have had
    just as many messages as the server gives."""
    quirks = Quirks()
    for _ in range(2):
        assert quirks.is_full(60, 100)
        quirks.ended(60)
    assert not quirks.is_full(60, 100)
    assert quirks.is_full(61, 100)


def test_a_server_with_gaps_in_its_pages_is_never_trusted() -> None:
    """Once a short page was not the last one, only an empty page is."""
    quirks = Quirks()
    quirks.gappy = True
    assert quirks.is_full(1, 100)
    assert not quirks.is_full(0, 100)


def test_cuts_are_allowed_as_long_as_they_are_paid_for() -> None:
    """Cuts that bring nothing use the budget up; pages that bring all of theirs refill it."""
    budget = SplitBudget()
    made = 0
    while budget.allows() and made < 100:
        budget.cut()
        budget.ended(0.0, missed=True)
        made += 1
    assert made == 7
    assert budget.misled
    for _ in range(100):
        budget.page(0.01)
    assert budget.allows()
