"""Whether a page was the last, by its length and by the page after it."""

from typing import NamedTuple

import pytest

from iottly_async.walk.keyset.bounds import LastPageCheck
from iottly_async.walk.keyset.page_numbers import PageRun
from iottly_async.walk.quirks import Quirks

from ..pages import ZERO, page_of


class Ended(NamedTuple):
    """Two pages of so many messages in a row, 100 asked for, and what is known of them.

    `straight` for pages by number that go on where the last one ended, and `late` for a
    second page that shows nothing new.
    """

    lengths: tuple[int, int]
    full: tuple[bool, bool]
    doubtful: tuple[int, int]
    gappy: bool = False
    straight: bool = False
    late: bool = True


@pytest.mark.parametrize(
    "ended",
    [
        Ended((100, 9), (True, False), (0, 0)),
        Ended((9, 0), (False, False), (0, 0)),
        Ended((50, 0), (True, False), (50, 0)),
        Ended((50, 50), (True, True), (50, 50), gappy=True),
        Ended((50, 30), (True, False), (50, 0), gappy=True),
        Ended((50, 24), (True, False), (50, 0)),
        Ended((50, 1), (True, False), (50, 0), late=False),
        Ended((50, 1), (True, True), (50, 1), straight=True),
        Ended((50, 0), (True, False), (50, 0), straight=True),
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
        if ended.straight:
            run.go_on(length, 0)
            assert run.straight
    assert (tuple(full), tuple(doubtful)) == (ended.full, ended.doubtful)
    assert quirks.gappy is ended.gappy


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
    run.go_on(20, 19)
    assert not run.straight
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
