"""From where to ask for a page, so that all from a position on is on it.

The documents say that a bound is kept to the millisecond, and that a lower one includes
what lies on it. A server may round it, leave out what lies on it, or take no notice of it.
What was held back comes again at a bound that is kept, and so shows that it is. Where it
is missing, it is asked for once more, with a wider bound: if it comes then, the server
keeps bounds otherwise; if it does not, it was deleted.

Was this the last page, or may more follow?

A page shorter than asked for is the last one; but a server may also have cut it short,
to a size of its own. Where that cannot be told from its length, the next page tells.
"""

from __future__ import annotations

from ..axis import DESCENDING, SECOND, Axis, round_down
from ..quirks import Quirks
from .page import Page
from .page_numbers import PageRun


class RequestBound:
    """The bound that one window asks with.

    Attributes:
        unit: milliseconds to which it is taken to be rounded, as in `Quirks`.
    """

    __slots__ = ("_doubt", "_quirks", "_upper", "unit")

    def __init__(self, axis: Axis, quirks: Quirks) -> None:
        self.unit = quirks.unit
        self._quirks = quirks
        self._upper = axis is DESCENDING
        self._doubt = False

    def aim(self, at: int, held: int) -> int:
        """Where to ask from, so that `at` and all after it comes.

        With nothing held back there, which would show that it was left out, the bound is
        set a little wider.
        """
        unit, quirks = self.unit, self._quirks
        if self._upper:
            # The bound is an upper one, which a server may round down to the second.
            if unit == 1 and not (held or quirks.exact):
                unit = SECOND
        elif quirks.exclusive or not (held or quirks.inclusive):
            at -= 1
        return round_down(at, unit)

    def widened(self, at: int) -> int:
        """Where to ask from once more, because what was held back at `at` is missing."""
        self._doubt = True
        if self._upper:
            self.unit = SECOND
            return round_down(at, SECOND)
        return round_down(at - 1, self.unit)

    def kept(self, page: Page, anchor: int, at: int, held: int) -> bool:
        """Learn from the first page from `anchor` how the server keeps bounds.

        False where the page lacks messages, `held` of them, that were held back at `at`,
        and the server may have left them out: then it is to be asked from `widened(at)`.
        """
        if held:
            there = page.index(at + 1) - page.index(at) >= held
            lacks = self._lacks_below if self._upper else self._lacks_on
            if lacks(page, anchor, at, there):
                return False
        if page:
            if page.first < anchor:
                self._quirks.widen(anchor, page.first)
                self.unit = self._quirks.unit
            elif page.first == anchor and not self._upper:
                self._quirks.inclusive = True
        return True

    def _lacks_on(self, page: Page, anchor: int, at: int, there: bool) -> bool:
        """Upward, a server may leave out what lies on the bound."""
        if not self._doubt:
            return not there and anchor == at
        self._doubt = False
        self._quirks.exclusive = self._quirks.exclusive or there
        return False

    def _lacks_below(self, page: Page, anchor: int, at: int, there: bool) -> bool:
        """Downward, it may round the bound down and leave out what lies under it."""
        quirks = self._quirks
        if not self._doubt:
            uneven = anchor % SECOND != 0
            quirks.exact = there and (uneven or quirks.exact)
            return uneven and not there
        self._doubt = False
        if there:
            quirks.unit = SECOND
        elif not page or page.last >= at:
            self.unit = quirks.unit
        return False


class LastPageCheck:
    """What one window knows of whether its pages were cut short.

    Attributes:
        doubtful: the length of the last page, where it may have been cut short and only
            the next one will tell; 0 where it is known.
    """

    __slots__ = ("_end", "_quirks", "doubtful")

    def __init__(self, quirks: Quirks) -> None:
        self.doubtful = 0
        self._quirks = quirks
        self._end: int | None = None

    def is_full(self, page: Page, run: PageRun, done: int, end: int, *, first: bool) -> bool:
        """Whether more may follow `page`, for which `run` asked.

        It also tells what the page before it was, if that was doubtful.

        Args:
            done, end: the window, before anything of the page is given out.
            first: whether no full page was seen in the window yet.
        """
        quirks, doubtful, length = self._quirks, self.doubtful, len(page)
        full = quirks.is_full(length, run.size)
        if run.number is not None and not run.straight:
            return length >= run.size  # which is no more than the server gives
        if doubtful:
            more = length and (run.straight or page.last > done)
            if more and 2 * length >= doubtful:  # a few may have come late, meanwhile
                quirks.gappy = True
            if length and not (more or full) and end == self._end:
                quirks.ended(doubtful)
            # As long as it is not known, only an empty page ends what goes straight on.
            full = full or (run.straight and length > 0)
        self.doubtful = 0
        if full and length < run.size and page.last >= done:
            self.doubtful = length
            self._end = end if first else None
        return full
