"""Which page by number is requested next, which are refused, and when numbers are tested."""

from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iottly_async.errors import PageOrderError
from iottly_async.walk.axis import ASCENDING
from iottly_async.walk.keyset.page import CompleteInterval, Page
from iottly_async.walk.keyset.page_numbers import NumberingTest, PageRun
from iottly_async.walk.quirks import Quirks

from ..pages import ZERO, messages, page_of, quirks_of


@given(st.integers(1, 100), st.integers(0, 5000), st.integers(0, 100))
def test_the_next_page_overlaps_or_is_contiguous(limit: int, held: int, behind: int) -> None:
    """It begins before what is held back and ends beyond what was seen, or it begins exactly
    where the last one ended."""
    run = PageRun(limit)
    run.advance(limit, 0)
    seen = run.rank
    assert seen == limit
    while seen < held:
        run.next_page()
        seen = run.rank
    run.contiguous = False
    end = run.rank + run.size
    held = max(1, end - behind)
    run.advance(run.size, held)
    if run.contiguous:
        assert run.rank == end
    else:
        assert 0 <= run.rank < held
        assert run.rank + run.size > end
        assert 1 <= run.size <= limit


@pytest.mark.parametrize(
    ("limit", "pages", "bridge"),
    [(5, 2, (3, 4)), (10, 9, (12, 8)), (100, 50, (51, 99)), (5, 12, None), (2, 3, None)],
)
def test_a_bridge_holds_the_end_of_one_page_and_the_begin_of_the_next(
    limit: int, pages: int, bridge: tuple[int, int] | None
) -> None:
    """It begins before the second page and ends within it, if any page size does."""
    run = PageRun(limit)
    for _ in range(pages):
        run.advance(limit, 0)
    between = run.rank
    assert run.bridge() == (bridge is not None)
    if bridge is not None:
        assert (run.number, run.size) == bridge
        assert run.rank < between < run.rank + run.size
        assert not run.contiguous


def test_a_run_can_be_rewound() -> None:
    """It then requests the last page before the contiguous ones."""
    run = PageRun(10)
    for _ in range(3):
        run.advance(10, 0)
    assert (run.number, run.size) == (4, 10)
    run.rewind()
    assert (run.number, run.contiguous) == (None, False)


def run_of(*pages: tuple[int, ...]) -> PageRun:
    """A run of contiguous pages, after these pages of three messages each."""
    run = PageRun(3)
    run.restart(ZERO)
    run.check(page_of(*pages[0]), ZERO)
    run.advance(len(pages[0]), 0)
    for times in pages[1:]:
        run.check(page_of(*times), ZERO)
        run.next_page()
    return run


@pytest.mark.parametrize(
    ("before", "page", "contiguous", "error"),
    [
        ([(0, 0, 0)], (0, 0, 1), True, None),
        ([(0, 0, 0)], (), True, None),
        ([(0, 0, 0), (0, 0)], (1,), True, None),
        ([(0, 0, 0), (0, 0)], (), True, None),
        ([(0, 0, 0), (0, 0)], (0,), False, None),
        ([(0, 0, 0)], (-1, 0, 0), True, "before the one that it should follow"),
        ([(0, 0, 0), (0, 0)], (0,), True, "not all of the length asked for"),
    ],
)
def test_a_page_that_cannot_have_its_number_is_refused(
    before: list[tuple[int, ...]], page: tuple[int, ...], contiguous: bool, error: str | None
) -> None:
    """It lies before the first page, or it goes on with a millisecond although the contiguous
    page before it was not full."""
    run = run_of(*before)
    run.contiguous = contiguous
    if error is None:
        run.check(page_of(*page), ZERO)
        return
    with pytest.raises(PageOrderError, match=error):
        run.check(page_of(*page), ZERO)


TIES = CompleteInterval(ZERO, ZERO + 1, messages([0] * 7))
NOTHING = CompleteInterval(ZERO, ZERO, [])


def needed_test(
    page: Page,
    complete: CompleteInterval,
    *,
    quirks: Quirks,
    contiguous: bool = True,
    full: bool = True,
    limit: int = 3,
) -> NumberingTest | None:
    """The test that a page after (0, 0, 0) calls for."""
    run = run_of((0, 0, 0))
    run.limit = limit
    return run.test_after(
        page,
        complete,
        anchor=ZERO,
        contiguous=contiguous,
        full=full,
        axis=ASCENDING,
        quirks=quirks,
    )


class Case(NamedTuple):
    """What a page after (0, 0, 0) completes, and which test it calls for."""

    complete: CompleteInterval
    page: tuple[int, ...]
    test: str | None
    numbers_used: bool = False
    contiguous: bool = True
    full: bool = True
    limit: int = 3


@pytest.mark.parametrize(
    "case",
    [
        Case(TIES, (1,), "count"),
        Case(TIES, (1,), None, contiguous=False),
        Case(TIES, (1,), None, limit=1),
        Case(CompleteInterval(ZERO + 5, ZERO + 6, messages([5])), (6,), None),
        Case(NOTHING, (0, 0, 0), "use"),
        Case(NOTHING, (0, 0, 0), None, numbers_used=True),
        Case(NOTHING, (0, 0, 0), None, full=False),
        Case(NOTHING, (0, 0, 1), None),
    ],
)
def test_what_depends_on_page_numbers_alone_calls_for_a_test(case: Case) -> None:
    """A millisecond read by page numbers waits for a test of the count. A full page that brings
    nothing new calls for a test that numbers are used. All else needs none."""
    test = needed_test(
        page_of(*case.page),
        case.complete,
        quirks=quirks_of(numbers_used=case.numbers_used),
        contiguous=case.contiguous,
        full=case.full,
        limit=case.limit,
    )
    kind = None if test is None else "use" if test.complete is None else "count"
    assert kind == case.test
    if kind == "count":
        assert test is not None
        assert test.complete is case.complete


@pytest.mark.parametrize("there", [False, True])
def test_numbers_are_used_if_the_pages_have_an_end(there: bool) -> None:
    """A page far beyond all messages is empty; a page that is not is an error."""
    quirks = Quirks()
    test = needed_test(page_of(0, 0, 0), NOTHING, quirks=quirks)
    assert test is not None
    if there:
        with pytest.raises(PageOrderError, match=r"Config\.first_page"):
            test.answer(page_of(0), quirks)
        return
    assert test.answer(page_of(), quirks)
    assert quirks.numbers_used


@pytest.mark.parametrize(
    ("there", "before", "over", "after"),
    [
        ([True, False], False, True, True),
        ([True, True], False, False, False),
        ([False, True], False, False, False),
        ([False, False], False, True, False),
        ([False, False], True, True, True),
    ],
)
def test_a_test_of_the_count_ends_well_or_is_an_error(
    there: list[bool], before: bool, over: bool, after: bool
) -> None:
    """If the count is right, numbers are trusted from then on. If the messages were deleted
    meanwhile, no more is known than before. With a page too many or too few, the error says
    what to set."""
    quirks = Quirks()
    test = needed_test(page_of(1), TIES, quirks=quirks)
    quirks.numbers_verified = before  # by another segment, meanwhile
    pages = [page_of(*([0] if here else [])) for here in there]
    assert test is not None
    assert not test.answer(pages[0], quirks)
    if not over:
        with pytest.raises(PageOrderError, match=r"Config\.first_page"):
            test.answer(pages[1], quirks)
        return
    assert test.answer(pages[1], quirks)
    assert quirks.numbers_verified is after
