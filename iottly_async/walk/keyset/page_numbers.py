"""Do page numbers count as they should, where a window has to rely on them?

What a page shows against it is an error. What no page shows is put to a trial, once a
session, and what depends on it is held back until that is over.

Page numbers, where they are needed: several pages asked for from one anchor.

That is so only where one millisecond fills a page, or where a server takes the bound
that it is given for a coarser one. A page by number is a stretch of ranks, and ranks
shift when messages are deleted, and with them the order among ties may change (D6). So
wherever it can be, the next page is chosen to begin before the millisecond that was
held back, which then lies on it whole; its size is free, which makes its begin free.

Page numbers put to the test, once a session, where a walk must rely on them.

Only a millisecond that fills more than a page is read by page numbers alone. A service
that takes no notice of them would be asked for ever; one that counts them from another
number than the walk does would have a page of that millisecond lost, or read twice. Both
show in where there is a message by its rank, whatever the order among ties.
"""

from __future__ import annotations

from itertools import takewhile
from typing import Final, NamedTuple

from ...models._time import epoch_ms
from ..axis import Axis
from ..quirks import Quirks
from .page import CompleteInterval, Page


class PageRun:
    """Which page to ask for, from one anchor.

    Attributes:
        anchor: the position from which pages are counted.
        number: None for the first page; k for the k-th.
        size: messages to ask for.
        limit: messages a page, as the first page has shown it.
        straight: whether the page begins where the one before it ended, so that what is
            held back goes on there; otherwise it overlaps with the one before it.
    """

    __slots__ = ("_marked", "_page_size", "anchor", "limit", "number", "size", "straight")

    def __init__(self, page_size: int) -> None:
        self._page_size = self.limit = page_size
        self._marked: tuple[int | None, int] = (None, page_size)
        self.anchor = 0
        self.restart(0)

    def restart(self, anchor: int) -> None:
        """Ask for the first page from `anchor`."""
        self.anchor = anchor
        self.number: int | None = None
        self.size = self._page_size
        self.straight = False

    @property
    def before(self) -> int:
        """The rank of the page's first message: how many lie between the anchor and it."""
        return 0 if self.number is None else (self.number - 1) * self.size

    def go_on(self, length: int, held: int) -> None:
        """Ask for the page that goes on from one that was full.

        Args:
            length: how many messages the full page had.
            held: the rank of the first message that is not complete; 0 if unknown.
        """
        if self.number is None:
            # Later pages are not longer than the first, so that their numbers count alike
            # on a server that gives shorter pages than it is asked for.
            self.limit = length
        overlapping = _overlapping(held, self.limit)
        if overlapping[0] * overlapping[1] > self.before + length:
            self.number, self.size = overlapping
            self.straight = False
        else:
            self._go_straight_on()

    def _go_straight_on(self) -> None:
        if not self.straight:
            self._marked = (self.number, self.size)
            self.straight = True
        if self.number is None:
            self.number, self.size = 2, self.limit
        else:
            self.number += 1

    def next(self) -> None:
        """Ask for the page that begins where this one ended."""
        self._go_straight_on()

    def go_across(self) -> bool:
        """Ask for a page that begins before this one and reaches into it; False if none can."""
        rank = self.before
        size = next((size for size in range(self.limit - 1, 1, -1) if rank % size), None)
        if size is None:
            return False
        self.number, self.size = rank // size + 1, size
        self.straight = False
        return True

    def rewind(self) -> None:
        """Ask again for the page from which the run went straight on."""
        self.number, self.size = self._marked
        self.straight = False


def _overlapping(held: int, limit: int) -> tuple[int, int]:
    """Number and size of the page that reaches furthest of those that begin before `held`."""
    least = max(1, (held - 1) // limit)
    choices = ((p + 1, min(limit, (held - 1) // p)) for p in range(least, least + limit))
    return max(choices, key=lambda page: page[0] * page[1])


_FAR: Final = 1_000_000
"""More messages than one millisecond holds."""


class NumberingProbe(NamedTuple):
    """Whether a page begins with the millisecond; with no number, whether it is there at all."""

    number: int | None
    size: int
    expected: bool


class NumberingTest:
    """Questions about one millisecond, and what is held back until they are answered.

    Attributes:
        at: its position.
        anchor: from where ranks are counted.
        piece: what is to be given out when all is well; None for nothing.
    """

    __slots__ = ("_questions", "anchor", "at", "piece")

    def __init__(
        self,
        anchor: int,
        at: int,
        questions: list[NumberingProbe],
        piece: CompleteInterval | None = None,
    ) -> None:
        self.anchor = anchor
        self.at = at
        self.piece = piece
        self._questions = questions

    @classmethod
    def of_far(cls, anchor: int, at: int) -> NumberingTest:
        """Is there an end to the pages?"""
        return cls(anchor, at, [NumberingProbe(_FAR, 1, expected=False)])

    @classmethod
    def of_count(cls, anchor: int, count: int, page: int, piece: CompleteInterval) -> NumberingTest:
        """Are there as many messages where `piece` begins, the first from `anchor` on, as
        were read page by page of `page` messages?

        A page more or less is told from a few that came or went meanwhile.
        """
        if count > page:
            first = NumberingProbe(count - max(0, min(page // 2, page - 2)), 1, expected=True)
        else:
            # The second page may be the one left out, and may have held a single message.
            first = NumberingProbe(2, page - 1, expected=True)
        beyond = NumberingProbe(count + max(1, page // 2), 1, expected=False)
        return cls(anchor, piece.start, [first, beyond], piece)

    @property
    def question(self) -> NumberingProbe:
        """The page to ask for."""
        return self._questions[0]

    def answered(self, *, there: bool) -> bool | None:
        """Take an answer in: True when all is well, False when nothing can be told, for
        the messages were deleted, None for another question.

        Raises:
            ValueError: page numbers do not count as they should.
        """
        question = self._questions.pop(0)
        if there == question.expected:
            if question.number is None:
                raise ValueError  # it is still there, and yet one of its messages was not
            return None if self._questions else True
        if question.number is None:
            return False
        if not question.expected:
            raise ValueError
        self._questions = [NumberingProbe(None, 1, expected=True)]
        return None


class PageNumbers:
    """One window's pages by number.

    Attributes:
        trial: page numbers put to the test, which is asked for before anything else.
    """

    __slots__ = ("_axis", "_began", "_quirks", "_reached", "_uneven", "trial")

    def __init__(self, axis: Axis, quirks: Quirks) -> None:
        self.trial: NumberingTest | None = None
        self._axis = axis
        self._quirks = quirks
        self._began = self._reached = 0
        self._uneven = False

    def begin(self, page: Page) -> None:
        """Note the first page from an anchor, which pages by number may follow."""
        self._began, self._reached = page.first, page.last
        self._uneven = False

    def check(self, page: Page, run: PageRun, done: int) -> None:
        """See whether `page` can be the one by number that `run` asked for.

        Raises:
            PageOrderError: it lies before the first one, or follows one that was not full.
        """
        uneven = self._uneven
        self._uneven = run.straight and 0 < len(page) < run.size
        if page and page.first < self._began:
            raise page.error("a page that lies before the one that it should follow")
        if uneven and run.straight and page and page.first <= done:
            raise page.error("pages by number that are not all of the length asked for")

    def weigh(
        self,
        page: Page,
        piece: CompleteInterval,
        run: PageRun,
        *,
        anchor: int,
        straight: bool,
        full: bool,
    ) -> CompleteInterval:
        """Begin a trial where `piece`, complete with `page`, depends on page numbers alone.

        Args:
            run: what is to be asked for next.
            anchor, straight: what `run` had when it asked for `page`.
            full: whether `page` was as long as could be.

        Returns:
            What may be given out now: the piece, or nothing of it.
        """
        start, reached = piece.start, self._reached
        self._reached = page.last
        if piece.end == start:
            again = full and page.last <= reached and run.number is not None
            if again and not self._quirks.heeded:
                self.trial = NumberingTest.of_far(anchor, start)
        elif straight and self._began == start and run.limit > 1:
            at = self._axis.point(start)
            group = takewhile(lambda message: epoch_ms(message.timestamp) == at, piece.messages)
            self.trial = NumberingTest.of_count(anchor, len([*group]), run.limit, piece)
            return CompleteInterval(start, start, [])
        return piece

    def tried(self, trial: NumberingTest, page: Page) -> CompleteInterval:
        """Go on with a trial; give out what it held back once it is over.

        Raises:
            PageOrderError: page numbers do not count as they should.
        """
        try:
            well = trial.answered(there=bool(page) and page.first <= trial.at)
        except ValueError:
            raise page.error(
                "page numbers that do not count as they should: see Config.first_page"
            ) from None
        if well is None:
            return CompleteInterval(trial.at, trial.at, [])
        self.trial = None
        if trial.piece is None:
            self._quirks.heeded = well
            return CompleteInterval(trial.at, trial.at, [])
        self._quirks.numbered = well or self._quirks.numbered
        return trial.piece
