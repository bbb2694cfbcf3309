"""From where a segment requests pages, and whether a page was the last one."""

from typing import NamedTuple

import pytest

from iottly_async.walk.axis import ASCENDING, DESCENDING, Axis
from iottly_async.walk.keyset.bounds import LastPageCheck, RequestBound
from iottly_async.walk.keyset.page_numbers import PageRun
from iottly_async.walk.quirks import Quirks

from ..pages import ZERO, page_of, quirks_of


@pytest.mark.parametrize(
    ("axis", "known", "held", "asked"),
    [
        (ASCENDING, {}, 0, 1499),
        (ASCENDING, {}, 1, 1500),
        (ASCENDING, {"lower_inclusive": True}, 0, 1500),
        (ASCENDING, {"lower_inclusive": True, "lower_exclusive": True}, 1, 1499),
        (ASCENDING, {"rounding_ms": 1000}, 1, 1000),
        (DESCENDING, {}, 0, 2000),
        (DESCENDING, {}, 1, 1501),
        (DESCENDING, {"upper_exact": True}, 0, 1501),
        (DESCENDING, {"rounding_ms": 60_000, "upper_exact": True}, 1, 60_000),
    ],
)
def test_a_bound_is_as_wide_as_what_is_known_requires(
    axis: Axis, known: dict[str, int], held: int, asked: int
) -> None:
    """So that the millisecond 1500 and all after it comes, `from` or `to` is exact only if the
    held-back messages, or an earlier answer, show that it is kept."""
    aimed = RequestBound(axis, quirks_of(**known)).anchor(axis.point(ZERO + 1500), held)
    assert axis.edge(aimed) - ZERO == asked


class Answers(NamedTuple):
    """The answers to a bound at 1500, with one message held back there, and to a wider one."""

    axis: Axis
    first: tuple[int, ...]
    wider: tuple[int, ...] | None
    learned: dict[str, int]
    rounding_ms: int
    known: tuple[str, int] = ("rounding_ms", 1)


@pytest.mark.parametrize(
    "answers",
    [
        Answers(ASCENDING, (1500, 1501), None, {"lower_inclusive": True}, 1),
        Answers(ASCENDING, (1501,), (1500, 1501), {"lower_exclusive": True}, 1),
        Answers(ASCENDING, (1501,), (1501,), {}, 1),
        Answers(ASCENDING, (), (), {}, 1),
        Answers(ASCENDING, (1000, 1500), None, {"rounding_ms": 1000}, 1000),
        Answers(ASCENDING, (-70_000, 1500), None, {"rounding_ms": 0}, 0),
        Answers(DESCENDING, (1500, 1400), None, {"upper_exact": True}, 1),
        Answers(DESCENDING, (900,), (1500, 900), {"rounding_ms": 1000}, 1000),
        Answers(DESCENDING, (900,), (900,), {}, 1),
        Answers(DESCENDING, (900,), (1700,), {}, 1000),
        Answers(DESCENDING, (), (), {}, 1),
        Answers(DESCENDING, (1700, 1500), None, {"upper_exact": True, "rounding_ms": 1000}, 1000),
        Answers(ASCENDING, (1700,), None, {"rounding_ms": 1000}, 1000, ("rounding_ms", 1000)),
        Answers(DESCENDING, (1300,), None, {"rounding_ms": 1000}, 1000, ("rounding_ms", 1000)),
        Answers(DESCENDING, (1500,), None, {"rounding_ms": 1000}, 1000, ("rounding_ms", 1000)),
    ],
)
def test_held_back_messages_show_whether_the_bound_is_kept(answers: Answers) -> None:
    """If they are on the page, the bound is kept. If not, they are requested once more with a
    wider bound. If they come then, the server had excluded them; if not, they were deleted. A
    bound that was wider already shows nothing."""
    axis, quirks = answers.axis, quirks_of(**dict([answers.known]))
    bound, at = RequestBound(axis, quirks), axis.point(ZERO + 1500)
    anchor = bound.anchor(at, 1)
    assert bound.is_kept(page_of(*answers.first, axis=axis), anchor, at, 1) is (
        answers.wider is None
    )
    if answers.wider is not None:
        anchor = bound.wider_anchor(at)
        assert anchor < at
        assert bound.is_kept(page_of(*answers.wider, axis=axis), anchor, at, 1)
    names = ("upper_exact", "lower_exclusive", "lower_inclusive", "rounding_ms")
    learned = {name: getattr(quirks, name) for name in names}
    assert learned == {**{name: getattr(Quirks(), name) for name in names}, **answers.learned}
    assert bound.rounding_ms == answers.rounding_ms


class TwoPages(NamedTuple):
    """Two pages in a row, of so many messages when 100 were requested, and what they show.

    `contiguous` if the second page begins where the first ended, and `late` for a
    second page that shows nothing new.
    """

    lengths: tuple[int, int]
    full: tuple[bool, bool]
    doubtful: tuple[int, int]
    short_pages: bool = False
    contiguous: bool = False
    late: bool = True


@pytest.mark.parametrize(
    "pages",
    [
        TwoPages((100, 9), (True, False), (0, 0)),
        TwoPages((9, 0), (False, False), (0, 0)),
        TwoPages((50, 0), (True, False), (50, 0)),
        TwoPages((50, 50), (True, True), (50, 50), short_pages=True),
        TwoPages((50, 30), (True, False), (50, 0), short_pages=True),
        TwoPages((50, 24), (True, False), (50, 0)),
        TwoPages((50, 1), (True, False), (50, 0), late=False),
        TwoPages((50, 1), (True, True), (50, 1), contiguous=True),
        TwoPages((50, 0), (True, False), (50, 0), contiguous=True),
    ],
)
def test_the_next_page_shows_whether_the_last_was_limited(pages: TwoPages) -> None:
    """A short page of ten or more messages is doubtful until the next page. If many messages
    follow, it was limited, and others may be. If few or none follow, it was the last."""
    quirks = Quirks()
    ending, run = LastPageCheck(quirks), PageRun(100)
    done, full, doubtful = ZERO, [], []
    for place, length in enumerate(pages.lengths):
        first = 100 * place if pages.late else 0
        page = page_of(*range(first, first + length))
        full.append(ending.is_full(page, run, done, ZERO + 1000, first=place == 0))
        doubtful.append(ending.doubtful)
        done = page.last
        if pages.contiguous:
            run.advance(length, 0)
            assert run.contiguous
    assert (tuple(full), tuple(doubtful)) == (pages.full, pages.doubtful)
    assert quirks.short_pages is pages.short_pages


@pytest.mark.parametrize(
    ("end", "first", "trusted"), [(1000, True, True), (900, True, False), (1000, False, False)]
)
def test_a_length_that_ended_two_segments_is_trusted(end: int, first: bool, trusted: bool) -> None:
    """It is trusted only if it was their first page and they were not split meanwhile: the
    messages that follow could be in another segment."""
    quirks = Quirks()
    for _ in range(2):
        ending, run = LastPageCheck(quirks), PageRun(100)
        page = page_of(*range(40))
        assert ending.is_full(page, run, ZERO, ZERO + 1000, first=first)
        assert not ending.is_full(page_of(39), run, page.last, ZERO + end, first=False)
    assert quirks.is_full(40, 100) is not trusted


def test_an_overlapping_page_is_full_if_it_is_as_long_as_requested() -> None:
    """Its size is no more than the server has sent before."""
    ending, run = LastPageCheck(Quirks()), PageRun(20)
    run.advance(20, 19)
    assert not run.contiguous
    size = run.size
    for length in (size - 1, size):
        page = page_of(*range(length))
        full = ending.is_full(page, run, ZERO, ZERO + 1000, first=True)
        assert full is (length == size)


def test_a_page_before_what_is_done_raises_no_doubt() -> None:
    """A server that rounds bounds sends it again; the pages by number after it decide."""
    ending = LastPageCheck(Quirks())
    assert ending.is_full(page_of(*range(50)), PageRun(100), ZERO + 50, ZERO + 1000, first=True)
    assert not ending.doubtful
