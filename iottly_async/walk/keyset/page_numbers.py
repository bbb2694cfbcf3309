"""Do page numbers count as they should, where a window has to rely on them?

What a page shows against it is an error. What no page shows is put to a trial, once a
session, and what depends on it is held back until that is over.
"""

from __future__ import annotations

from itertools import takewhile

from ...models._time import epoch_ms
from ..axis import Axis
from ..quirks import Quirks
from .page import Page
from .piece import CompleteInterval
from .run import PageRun
from .trial import NumberingTest


class PageNumbers:
    """One window's pages by number.

    Attributes:
        trial: page numbers put to the test, which is asked for before anything else.
    """

    __slots__ = ("_axis", "_began", "_habits", "_reached", "_uneven", "trial")

    def __init__(self, axis: Axis, habits: Quirks) -> None:
        self.trial: NumberingTest | None = None
        self._axis = axis
        self._habits = habits
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
            if again and not self._habits.heeded:
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
            self._habits.heeded = well
            return CompleteInterval(trial.at, trial.at, [])
        self._habits.numbered = well or self._habits.numbered
        return trial.piece
