"""Page numbers: which page to request next from one anchor, and whether numbers can be trusted.

A segment moves on by time bounds. It needs page numbers in two cases only:

- One millisecond fills a page, so that no bound lies between this page and the next.
- The server rounds the bound, so that several pages lie behind one and the same bound.

A page by number is a range of ranks, and ranks shift when messages are deleted. Among the
messages of one millisecond they may even differ from request to request (D6). So wherever
possible, the next page *overlaps* with the last one: it begins before the held-back
millisecond, which then comes again whole. Its size is free, which makes its first rank free.
Only within a millisecond that fills a page is the next page *contiguous*: it begins where the
last one ended.

Contiguous pages rely on numbers alone. On a server that ignores them, they would never end. A
server that counts them from another first number (D3) would skip a page of the millisecond, or
send it twice. Both show in whether a message exists at a given rank, whatever the order of the
ties: a `NumberingTest` asks for that, once for each server.
"""

from __future__ import annotations

from itertools import takewhile
from typing import Final, NamedTuple

from ...errors import PageOrderError
from ..axis import Axis
from ..quirks import Quirks
from .page import CompleteInterval, Page

_BEYOND_ALL: Final = 1_000_000
"""A rank that no millisecond's messages reach."""


class PageRun:
    """Decides which page to request next from one anchor.

    Attributes:
        anchor: the position from which pages are counted.
        number: None for the first page; k for the k-th.
        size: messages to ask for.
        limit: messages that a page holds at most, as the first page has shown.
        contiguous: whether the page begins where the last one ended, so that the held-back
            messages go on in it. Otherwise it overlaps with the last one.
    """

    __slots__ = (
        "_first",
        "_last",
        "_page_size",
        "_rewind_to",
        "_was_short",
        "anchor",
        "contiguous",
        "limit",
        "number",
        "size",
    )

    def __init__(self, page_size: int) -> None:
        self._page_size = self.limit = page_size
        self._rewind_to: tuple[int | None, int] = (None, page_size)
        self._first = self._last = 0
        self._was_short = False
        self.restart(0)

    def restart(self, anchor: int) -> None:
        """Request the first page from `anchor`."""
        self.anchor = anchor
        self.number: int | None = None
        self.size = self._page_size
        self.contiguous = False

    @property
    def rank(self) -> int:
        """How many messages lie between the anchor and the page's first message."""
        return 0 if self.number is None else (self.number - 1) * self.size

    def advance(self, length: int, held_rank: int) -> None:
        """Request the page that follows a full one.

        Args:
            length: messages of the full page.
            held_rank: rank of the first message that is held back; 0 if it is unknown.
        """
        if self.number is None:
            # Later pages are not longer than the first, so that their numbers count alike
            # on a server whose pages are shorter than requested.
            self.limit = length
        number, size = _overlapping(held_rank, self.limit)
        if number * size > self.rank + length:
            self.number, self.size, self.contiguous = number, size, False
        else:
            self.next_page()

    def next_page(self) -> None:
        """Request the page that begins where this one ended."""
        if not self.contiguous:
            self._rewind_to = (self.number, self.size)
            self.contiguous = True
        if self.number is None:
            self.number, self.size = 2, min(self.size, self.limit)
        else:
            self.number += 1

    def bridge(self) -> bool:
        """Request a page that begins before this one and ends within it.

        Returns:
            False if no page number and size give such a page.
        """
        rank = self.rank
        size = next((size for size in range(self.limit - 1, 1, -1) if rank % size), None)
        if size is None:
            return False
        self.number, self.size, self.contiguous = rank // size + 1, size, False
        return True

    def rewind(self, part: float = 1.0) -> None:
        """Request the last page before the contiguous ones again.

        Args:
            part: of the usual size, for this page and the next ones. It is ignored if that page
                was requested by number. Default 1.
        """
        self.number, self.size = self._rewind_to
        if self.number is None:
            self.size = self._page_size if part == 1.0 else max(1, int(self.limit * part))
        self.contiguous = False

    def check(self, page: Page, done: int) -> None:
        """Check that `page` can be the requested one.

        Args:
            page: the answer.
            done: the position up to which all messages were returned.

        Raises:
            PageOrderError: the page lies before the first one, or goes on with a millisecond
                of which the last page, a shorter one, must have held the end.
        """
        if self.number is None:
            self._first, self._last, self._was_short = page.first, page.last, False
            return
        was_short = self._was_short
        self._was_short = self.contiguous and 0 < len(page) < self.size
        if page.messages and page.first < self._first:
            raise page.error("a page that lies before the one that it should follow")
        if was_short and self.contiguous and page.messages and page.first <= done:
            raise page.error("pages by number that are not all of the length asked for")

    def test_after(
        self,
        page: Page,
        complete: CompleteInterval,
        *,
        anchor: int,
        contiguous: bool,
        full: bool,
        axis: Axis,
        quirks: Quirks,
    ) -> NumberingTest | None:
        """Decide whether a page by number calls for a test of page numbers.

        It does where a full page brought nothing new, for the number may have been ignored;
        and where contiguous pages alone have completed a millisecond.

        Args:
            page: the page by number that was read last.
            complete: what became complete with it.
            anchor: `self.anchor` when the page was requested.
            contiguous: `self.contiguous` when the page was requested.
            full: whether the page was as long as it can be.
            axis: of the walk.
            quirks: what is known of the server.
        """
        start, reached = complete.start, self._last
        self._last = page.last
        if complete.end == start:
            again = full and page.last <= reached and self.number is not None
            if again and not quirks.numbers_used:
                return NumberingTest.of_use(anchor, start)
        elif contiguous and self._first == start and self.limit > 1:
            at = axis.point(start)
            group = takewhile(lambda message: message.at == at, complete.messages)
            least = len([*group])
            most = least + len(complete.rejected)
            return NumberingTest.of_count(anchor, (least, most), self.limit, complete)
        return None

    def test_of_count(
        self, anchor: int, count: tuple[int, int], nothing: CompleteInterval
    ) -> NumberingTest | None:
        """Make the test of page numbers after pages of one millisecond that prove nothing.

        Args:
            anchor: `self.anchor` when the pages were requested.
            count: rows of the millisecond, as the pages show them: at least, and at most.
            nothing: an empty interval where the millisecond begins.

        Returns:
            The test; None if other messages lie between the anchor and the millisecond.
        """
        if self._first != nothing.start or self.limit == 1:
            return None
        return NumberingTest.of_count(anchor, count, self.limit, nothing)


def _overlapping(held_rank: int, limit: int) -> tuple[int, int]:
    """Number and size of the page that ends furthest of those that begin before `held_rank`."""
    least = max(1, (held_rank - 1) // limit)
    choices = ((p + 1, min(limit, (held_rank - 1) // p)) for p in range(least, least + limit))
    return max(choices, key=lambda page: page[0] * page[1])


class NumberingRequest(NamedTuple):
    """A page to request for a test.

    Attributes:
        number: of the page; None for the first one, without a number.
        size: messages to ask for.
        expected: whether the page should begin with a message of the tested millisecond.
    """

    number: int | None
    size: int
    expected: bool


class NumberingTest:
    """A few requests that show whether page numbers count right.

    Attributes:
        at: position of the millisecond that the test asks about.
        anchor: the position from which pages are counted.
        complete: the interval to return once the test is passed; None if nothing waits.
    """

    __slots__ = ("_requests", "anchor", "at", "complete")

    def __init__(
        self,
        anchor: int,
        at: int,
        requests: list[NumberingRequest],
        complete: CompleteInterval | None = None,
    ) -> None:
        self.anchor = anchor
        self.at = at
        self.complete = complete
        self._requests = requests

    @classmethod
    def of_use(cls, anchor: int, at: int) -> NumberingTest:
        """Test that the server uses page numbers: a page far beyond all messages is empty."""
        return cls(anchor, at, [NumberingRequest(_BEYOND_ALL, 1, expected=False)])

    @classmethod
    def of_count(
        cls, anchor: int, count: tuple[int, int], page_size: int, complete: CompleteInterval
    ) -> NumberingTest:
        """Test that a millisecond has as many rows as its pages had together.

        A wrong first number makes a difference of one page. The test asks half a page below
        and half a page above the count, so that a few messages that came or were deleted
        meanwhile make none.

        Args:
            anchor: where the millisecond's first message has rank 0.
            count: rows of the millisecond that were read: at least, its messages, and at most,
                with the rows near them that are no messages, and so may be its neighbours'.
            page_size: messages a page.
            complete: the interval that begins with the millisecond.
        """
        least, most = count
        requests = [NumberingRequest(most + max(1, page_size // 2), 1, expected=False)]
        if least > page_size:
            below = least - max(0, min(page_size // 2, page_size - 2))
            requests.insert(0, NumberingRequest(below, 1, expected=True))
        elif least > 1:
            # The second page may be the skipped one, and may have held a single message.
            requests.insert(0, NumberingRequest(2, least - 1, expected=True))
        return cls(anchor, complete.start, requests, complete)

    @property
    def request(self) -> NumberingRequest:
        """The page to request next."""
        return self._requests[0]

    def answer(self, page: Page, quirks: Quirks) -> bool:
        """Take in the page for `request`, and note in `quirks` how the test ends.

        Returns:
            Whether the test is over. It ends without a result if the messages were deleted.

        Raises:
            PageOrderError: page numbers do not count right.
        """
        request = self._requests.pop(0)
        there = bool(page) and page.first <= self.at
        if page.begins_bad:
            there = request.expected  # a row without a time says nothing
        if request.number is None:
            if there:  # the millisecond still exists, and yet one of its messages does not
                raise _miscounted(page)
            return True
        if there != request.expected:
            if there:
                raise _miscounted(page)
            self._requests = [NumberingRequest(None, 1, expected=True)]
            return False
        if self._requests:
            return False
        if self.complete is None:
            quirks.numbers_used = True
        else:
            quirks.numbers_verified = True
        return True


def _miscounted(page: Page) -> PageOrderError:
    return page.error("page numbers that do not count as they should: see Config.first_page")
