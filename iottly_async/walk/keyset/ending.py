"""Was this the last page, or may more follow?

A page shorter than asked for is the last one; but a server may also have cut it short,
to a size of its own. Where that cannot be told from its length, the next page tells.
"""

from __future__ import annotations

from ..quirks import Quirks
from .page import Page
from .run import PageRun


class LastPageCheck:
    """What one window knows of whether its pages were cut short.

    Attributes:
        doubtful: the length of the last page, where it may have been cut short and only
            the next one will tell; 0 where it is known.
    """

    __slots__ = ("_end", "_habits", "doubtful")

    def __init__(self, habits: Quirks) -> None:
        self.doubtful = 0
        self._habits = habits
        self._end: int | None = None

    def is_full(self, page: Page, run: PageRun, done: int, end: int, *, first: bool) -> bool:
        """Whether more may follow `page`, for which `run` asked.

        It also tells what the page before it was, if that was doubtful.

        Args:
            done, end: the window, before anything of the page is given out.
            first: whether no full page was seen in the window yet.
        """
        habits, doubtful, length = self._habits, self.doubtful, len(page)
        full = habits.is_full(length, run.size)
        if run.number is not None and not run.straight:
            return length >= run.size  # which is no more than the server gives
        if doubtful:
            more = length and (run.straight or page.last > done)
            if more and 2 * length >= doubtful:  # a few may have come late, meanwhile
                habits.gappy = True
            if length and not (more or full) and end == self._end:
                habits.ended(doubtful)
            # As long as it is not known, only an empty page ends what goes straight on.
            full = full or (run.straight and length > 0)
        self.doubtful = 0
        if full and length < run.size and page.last >= done:
            self.doubtful = length
            self._end = end if first else None
        return full
