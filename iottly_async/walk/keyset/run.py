"""Page numbers, where they are needed: several pages asked for from one anchor.

That is so only where one millisecond fills a page, or where a server takes the bound
that it is given for a coarser one. A page by number is a stretch of ranks, and ranks
shift when messages are deleted, and with them the order among ties may change (D6). So
wherever it can be, the next page is chosen to begin before the millisecond that was
held back, which then lies on it whole; its size is free, which makes its begin free.
"""

from __future__ import annotations


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
