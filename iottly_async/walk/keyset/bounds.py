"""The time bound that a request carries, and whether a page was the last one within it.

The documents say that a bound is kept to the millisecond and that a lower one is inclusive. A
server may round a bound, exclude what lies on it, or ignore it. The held-back millisecond shows
which: it must come again with the next page. If it is missing, it is requested once more, with
a wider bound. If it comes then, the server treats bounds differently; if not, it was deleted.

A page shorter than requested is the last one, unless the server limits pages to a size of its
own. If its length does not decide it, the next page does.
"""

from __future__ import annotations

from ..axis import DESCENDING, SECOND, Axis, round_down
from ..quirks import Quirks
from .page import Page
from .page_numbers import PageRun


class RequestBound:
    """The bound from which one segment requests pages.

    Attributes:
        rounding_ms: milliseconds to which the server is assumed to round it, as in `Quirks`.
    """

    __slots__ = ("_quirks", "_upper", "_widened", "rounding_ms")

    def __init__(self, axis: Axis, quirks: Quirks) -> None:
        self.rounding_ms = quirks.rounding_ms
        self._quirks = quirks
        self._upper = axis is DESCENDING
        self._widened = False

    def anchor(self, at: int, held_back: int) -> int:
        """Return the position to request from, so that `at` and all after it comes.

        If no message is held back at `at`, nothing would show that it was excluded; so the
        bound is a little wider then.
        """
        rounding_ms, quirks = self.rounding_ms, self._quirks
        if self._upper:
            # A server may round an upper bound down to the second.
            if rounding_ms == 1 and not (held_back or quirks.upper_exact):
                rounding_ms = SECOND
        elif quirks.lower_exclusive or not (held_back or quirks.lower_inclusive):
            at -= 1
        return round_down(at, rounding_ms)

    def wider_anchor(self, at: int) -> int:
        """Return the position to request from again, after the messages at `at` were missing."""
        self._widened = True
        if self._upper:
            self.rounding_ms = SECOND
            return round_down(at, SECOND)
        return round_down(at - 1, self.rounding_ms)

    def is_kept(self, page: Page, anchor: int, at: int, held_back: int) -> bool:
        """Learn from the first page from `anchor` how the server treats bounds.

        Returns:
            False if the messages held back at `at`, `held_back` of them, are missing and the
            server may have excluded them. Then request again from `wider_anchor(at)`.
        """
        if held_back:
            there = page.index(at + 1) - page.index(at) >= held_back
            is_missing = self._missing_above_upper if self._upper else self._missing_on_lower
            if is_missing(page, anchor, at, there):
                return False
        if page.messages:
            if page.first < anchor:
                self._quirks.note_rounding(anchor, page.first)
                self.rounding_ms = self._quirks.rounding_ms
            elif page.first == anchor and not self._upper:
                self._quirks.lower_inclusive = True
        return True

    def _missing_on_lower(self, page: Page, anchor: int, at: int, there: bool) -> bool:
        """A server may exclude what lies exactly on a lower bound."""
        if not self._widened:
            return not there and anchor == at
        self._widened = False
        self._quirks.lower_exclusive = self._quirks.lower_exclusive or there
        return False

    def _missing_above_upper(self, page: Page, anchor: int, at: int, there: bool) -> bool:
        """A server may round an upper bound down, and so exclude what lies above the result."""
        quirks = self._quirks
        if not self._widened:
            fraction = anchor % SECOND != 0
            quirks.upper_exact = there and (fraction or quirks.upper_exact)
            return fraction and not there
        self._widened = False
        if there:
            quirks.rounding_ms = SECOND
        elif not page.messages or page.last >= at:
            self.rounding_ms = quirks.rounding_ms
        return False


class LastPageCheck:
    """Decides for one segment whether a page was the last one.

    Attributes:
        doubtful: length of the last page, if the server may have limited it and only the next
            page will show; 0 if there is no doubt.
    """

    __slots__ = ("_end", "_quirks", "doubtful")

    def __init__(self, quirks: Quirks) -> None:
        self.doubtful = 0
        self._quirks = quirks
        self._end: int | None = None

    def is_full(self, page: Page, run: PageRun, done: int, end: int, *, first: bool) -> bool:
        """Decide whether more messages may follow `page`, and what a doubtful page was.

        Args:
            page: the answer to what `run` requested.
            run: of the segment.
            done: where the segment stands, before anything of the page is returned.
            end: where the segment ends.
            first: whether the segment has not seen a full page yet.
        """
        quirks, doubtful, length = self._quirks, self.doubtful, len(page)
        full = quirks.is_full(length, run.size)
        if run.number is not None and not run.contiguous:
            return length >= run.size  # the size is no more than what the server sends
        if doubtful:
            more = length and (run.contiguous or page.last > done)
            if more and 2 * length >= doubtful:  # a few messages may be new
                quirks.short_pages = True
            if length and not (more or full) and end == self._end:
                quirks.note_last_page(doubtful)
            # While it is not known, only an empty page ends contiguous pages.
            full = full or (run.contiguous and length > 0)
        self.doubtful = 0
        if full and length < run.size and page.last >= done:
            self.doubtful = length
            self._end = end if first else None
        return full
