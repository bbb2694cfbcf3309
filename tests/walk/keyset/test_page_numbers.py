"""Which pages by number are taken, which are refused, and which wait for a trial."""

from typing import NamedTuple

import pytest

from iottly_async.errors import PageOrderError
from iottly_async.walk.axis import ASCENDING
from iottly_async.walk.keyset.page import CompleteInterval
from iottly_async.walk.keyset.page_numbers import PageNumbers, PageRun
from iottly_async.walk.quirks import Quirks

from ..pages import ZERO, messages, page_of, quirks_of


def by_number(*pages: tuple[int, ...], quirks: Quirks | None = None) -> tuple[PageNumbers, PageRun]:
    """The numbering after these pages of a run that goes straight on."""
    numbering, run = PageNumbers(ASCENDING, quirks or Quirks()), PageRun(3)
    run.restart(ZERO)
    numbering.begin(page_of(*pages[0]))
    run.go_on(len(pages[0]), 0)
    for times in pages[1:]:
        numbering.check(page_of(*times), run, ZERO)
        run.next()
    return numbering, run


@pytest.mark.parametrize(
    ("before", "page", "straight", "error"),
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
    before: list[tuple[int, ...]], page: tuple[int, ...], straight: bool, error: str | None
) -> None:
    """It lies before the first page, or goes straight on with a millisecond behind a page
    that was not full."""
    numbering, run = by_number(*before)
    run.straight = straight
    if error is None:
        numbering.check(page_of(*page), run, ZERO)
        return
    with pytest.raises(PageOrderError, match=error):
        numbering.check(page_of(*page), run, ZERO)


GROUP = CompleteInterval(ZERO, ZERO + 1, messages([0] * 7))
NOTHING = CompleteInterval(ZERO, ZERO, [])


class Weighed(NamedTuple):
    """What came with a page behind (0, 0, 0), and which trial it begins."""

    piece: CompleteInterval
    page: tuple[int, ...]
    trial: str | None
    heeded: bool = False
    straight: bool = True
    full: bool = True
    limit: int = 3


@pytest.mark.parametrize(
    "weighed",
    [
        Weighed(GROUP, (1,), "count"),
        Weighed(GROUP, (1,), None, straight=False),
        Weighed(GROUP, (1,), None, limit=1),
        Weighed(CompleteInterval(ZERO + 5, ZERO + 6, messages([5])), (6,), None),
        Weighed(NOTHING, (0, 0, 0), "far"),
        Weighed(NOTHING, (0, 0, 0), None, heeded=True),
        Weighed(NOTHING, (0, 0, 0), None, full=False),
        Weighed(NOTHING, (0, 0, 1), None),
    ],
)
def test_what_depends_on_page_numbers_alone_waits_for_a_trial(weighed: Weighed) -> None:
    """A millisecond read by page numbers is held back until they are seen to count; a page
    that brings nothing new asks whether they are heeded; anything else goes out."""
    piece, straight, full = weighed.piece, weighed.straight, weighed.full
    numbering, run = by_number((0, 0, 0), quirks=quirks_of(heeded=weighed.heeded))
    run.limit = weighed.limit
    page = page_of(*weighed.page)
    given = numbering.weigh(page, piece, run, anchor=ZERO, straight=straight, full=full)
    trial = numbering.trial
    begun = None if trial is None else "far" if trial.piece is None else "count"
    assert begun == weighed.trial
    assert given == (NOTHING if begun == "count" else piece)


@pytest.mark.parametrize("there", [False, True])
def test_numbers_are_heeded_if_there_is_an_end_to_the_pages(there: bool) -> None:
    """A page far beyond all messages is empty; one that is not is an error."""
    quirks = Quirks()
    numbering, run = by_number((0, 0, 0), quirks=quirks)
    numbering.weigh(page_of(0, 0, 0), NOTHING, run, anchor=ZERO, straight=True, full=True)
    assert numbering.trial is not None
    if there:
        with pytest.raises(PageOrderError, match=r"Config\.first_page"):
            numbering.tried(numbering.trial, page_of(0))
        return
    assert numbering.tried(numbering.trial, page_of()) == NOTHING
    assert numbering.trial is None
    assert quirks.heeded


@pytest.mark.parametrize(
    ("there", "before", "given", "after"),
    [
        ([True, False], False, GROUP, True),
        ([True, True], False, None, False),
        ([False, True], False, None, False),
        ([False, False], False, GROUP, False),
        ([False, False], True, GROUP, True),
    ],
)
def test_a_trial_gives_out_what_waits_or_is_an_error(
    there: list[bool], before: bool, given: CompleteInterval | None, after: bool
) -> None:
    """Well: the group, and numbers are trusted from then on. Deleted meanwhile: the group,
    and no more is known than before. A message too many or too few: an error that says what
    to set."""
    quirks = Quirks()
    numbering, run = by_number((0, 0, 0), quirks=quirks)
    numbering.weigh(page_of(1), GROUP, run, anchor=ZERO, straight=True, full=True)
    quirks.numbered = before  # by another window, meanwhile
    pages = [page_of(*([0] if here else [])) for here in there]
    assert numbering.trial is not None
    assert numbering.tried(numbering.trial, pages[0]) == NOTHING
    if given is None:
        with pytest.raises(PageOrderError, match=r"Config\.first_page"):
            numbering.tried(numbering.trial, pages[1])
        return
    assert numbering.tried(numbering.trial, pages[1]) is given
    assert numbering.trial is None
    assert quirks.numbered is after
