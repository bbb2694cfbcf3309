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
    """The `from` or `to` sent so that the millisecond 1500 and all after it comes: to the
    millisecond only where what is held back, or an answer before, shows that it is kept."""
    aimed = RequestBound(axis, quirks_of(**known)).anchor(axis.point(ZERO + 1500), held)
    assert axis.edge(aimed) - ZERO == asked


class Answers(NamedTuple):
    """To a bound at 1500, with one message of it held back, and to the wider one."""

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
def test_what_was_held_back_tells_whether_the_bound_is_kept(answers: Answers) -> None:
    """It is on the page: the bound is kept, or wider. It is not: asked for once more, from
    further off; there then, the server left it out; still missing, it was deleted, or lies on
    a page to come. A bound that was well off already tells nothing."""
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


class Ended(NamedTuple):
    """Two pages of so many messages in a row, 100 asked for, and what is known of them.

    `contiguous` for pages by number that go on where the last one ended, and `late` for a
    second page that shows nothing new.
    """

    lengths: tuple[int, int]
    full: tuple[bool, bool]
    doubtful: tuple[int, int]
    short_pages: bool = False
    contiguous: bool = False
    late: bool = True


@pytest.mark.parametrize(
    "ended",
    [
        Ended((100, 9), (True, False), (0, 0)),
        Ended((9, 0), (False, False), (0, 0)),
        Ended((50, 0), (True, False), (50, 0)),
        Ended((50, 50), (True, True), (50, 50), short_pages=True),
        Ended((50, 30), (True, False), (50, 0), short_pages=True),
        Ended((50, 24), (True, False), (50, 0)),
        Ended((50, 1), (True, False), (50, 0), late=False),
        Ended((50, 1), (True, True), (50, 1), contiguous=True),
        Ended((50, 0), (True, False), (50, 0), contiguous=True),
    ],
)
def test_the_next_page_tells_whether_the_last_was_cut_short(ended: Ended) -> None:
    """A short page of ten or more is doubtful until the next: with much behind it, it was
    cut, and so may others be; with little or nothing, it was the last."""
    quirks = Quirks()
    ending, run = LastPageCheck(quirks), PageRun(100)
    done, full, doubtful = ZERO, [], []
    for turn, length in enumerate(ended.lengths):
        first = 100 * turn if ended.late else 0
        page = page_of(*range(first, first + length))
        full.append(ending.is_full(page, run, done, ZERO + 1000, first=turn == 0))
        doubtful.append(ending.doubtful)
        done = page.last
        if ended.contiguous:
            run.advance(length, 0)
            assert run.contiguous
    assert (tuple(full), tuple(doubtful)) == (ended.full, ended.doubtful)
    assert quirks.short_pages is ended.short_pages


@pytest.mark.parametrize(
    ("end", "first", "trusted"), [(1000, True, True), (900, True, False), (1000, False, False)]
)
def test_a_length_that_ended_two_windows_is_trusted(end: int, first: bool, trusted: bool) -> None:
    """Only if it was their first page, and they end where they did: of a window cut meanwhile
    the messages behind may have gone to another."""
    quirks = Quirks()
    for _ in range(2):
        ending, run = LastPageCheck(quirks), PageRun(100)
        page = page_of(*range(40))
        assert ending.is_full(page, run, ZERO, ZERO + 1000, first=first)
        assert not ending.is_full(page_of(39), run, page.last, ZERO + end, first=False)
    assert quirks.is_full(40, 100) is not trusted


def test_a_page_that_overlaps_is_full_if_it_is_as_long_as_asked() -> None:
    """Its size is no more than the server has been seen to give."""
    ending, run = LastPageCheck(Quirks()), PageRun(20)
    run.advance(20, 19)
    assert not run.contiguous
    size = run.size
    for length in (size - 1, size):
        page = page_of(*range(length))
        full = ending.is_full(page, run, ZERO, ZERO + 1000, first=True)
        assert full is (length == size)


def test_a_page_before_what_is_done_raises_no_doubt() -> None:
    """A server that rounds bounds gives it again; the pages by number behind it tell."""
    ending = LastPageCheck(Quirks())
    assert ending.is_full(page_of(*range(50)), PageRun(100), ZERO + 50, ZERO + 1000, first=True)
    assert not ending.doubtful
