"""Where a walk in order looks ahead: page numbers, chosen so that the gaps between are even.

A lookahead page lies some pages ahead of the *frontier*, the position up to which the walk is
planned. It shows at which time it lies. So the gap before it can be walked by a worker while
other workers walk theirs. The milliseconds that lie whole on the lookahead page are data
already.

Example: 100 messages a page, a gap of 8, so a lookahead page of about 97 messages after each 8
pages. The pages with the numbers 9, 18 and 27 are requested at once. Three workers walk the
three gaps before them, while the next lookahead pages are requested.

Nothing here awaits: it decides how far to look, with how many pages, and what a page shows.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from math import sqrt
from typing import Final, NamedTuple

from ..axis import DESCENDING, Axis
from ..keyset.page import CompleteInterval, Page
from ..keyset.ties import canonical

GAP: Final = 8
"""Pages between two lookahead pages, at most. A larger gap needs fewer lookahead pages, and more
memory: this many pages and two, for each request at once."""

_ROUND: Final = 3.0
"""Pages to plan in one round, for each request at once."""

_LEAST_SIZE: Final = 0.2
"""Size of the smallest lookahead page, as a share of a page."""


class LookaheadPlan(NamedTuple):
    """A round of lookahead pages.

    Attributes:
        size: messages of each.
        gap: pages of this size between two of them.
        numbers: of the pages, counted from the frontier.
    """

    size: int
    gap: int
    numbers: list[int]


class Lookahead:
    """Plans rounds of lookahead pages by the density of the messages seen so far.

    Attributes:
        gap: pages between two lookahead pages in the next round.
    """

    __slots__ = ("_behind", "_held", "_many", "_page_size", "_seen", "_start", "_variance", "gap")

    def __init__(self, start: int, page_size: int) -> None:
        """Begin at the position `start`; nothing is known beyond it."""
        self.gap = 1
        self._many = 1
        self._behind = 0
        self._page_size = page_size
        self._start = start
        self._seen = 0
        self._held, self._variance = 1.5, 1.0

    def note_messages(self, count: int) -> None:
        """Note that `count` more messages lie before the frontier."""
        self._seen += count

    def note_held_back(self, count: int) -> None:
        """Note that a page in a gap held back `count` messages, which came again on the next."""
        difference = min(count, 0.6 * self._page_size) - self._held
        self._held += 0.05 * difference
        self._variance += 0.05 * (difference * difference - self._variance)

    def plan(self, frontier: int, end: int, concurrency: int) -> LookaheadPlan:
        """Plan the next round, from `frontier` on."""
        gap, page = self.gap, self._page_size
        pages_left = self._seen / max(1, frontier - self._start) * (end - frontier) / page
        many = min(
            self._many, int(_ROUND * concurrency / (gap + 1)), int(pages_left / (gap + 1)) + 1
        )
        numbers = [self._behind + (gap + 1) * (j + 1) for j in range(max(1, many))]
        return LookaheadPlan(self._size(), gap, numbers)

    def _size(self) -> int:
        """The size with which `gap` pages of a segment just fill a gap.

        A segment's first page brings a full page. Each further one brings a page less what was
        held back. The last one must end behind the gap, to show that it was the last.
        """
        gap, page = self.gap, self._page_size
        spread = 2.0 * sqrt(max(self._variance, 0.0) * gap)
        size = ((gap - 1) * (page - self._held) + page - 1 - self._held - spread) / gap
        return max(1, int(_LEAST_SIZE * page), min(page, int(size)))

    def note_found(self, plan: LookaheadPlan, *, advanced: bool) -> None:
        """Note that every page of a round had messages: look further, with more pages.

        Args:
            plan: of the round.
            advanced: whether the frontier has moved. It has not if a server that rounds the
                bound down sent only what lies before the frontier.
        """
        if advanced:
            self._behind = 0
            self.gap = min(GAP, self.gap * 4)
            self._many *= 4
        else:
            self._behind = plan.numbers[-1]

    def note_missed(self) -> None:
        """Note that a page lay beyond the last message: look less far, with one page."""
        self.gap = max(1, self.gap // 2)
        self._many = 1


class LookaheadPage(NamedTuple):
    """What a lookahead page shows.

    Attributes:
        gap_end: the position up to which a worker must walk from the frontier.
        complete: what the page holds whole from there on. Its end is the new frontier.
    """

    gap_end: int
    complete: CompleteInterval


def read_lookahead(page: Page, frontier: int, end: int, *, full: bool, axis: Axis) -> LookaheadPage:
    """Read a lookahead page that is not empty.

    The first and the last millisecond of the page may go on beyond it. What lies between is
    whole, whatever the page's number meant when the server answered. If more messages may
    follow (`full`), the frontier moves to the page's last millisecond, otherwise to `end`.
    """
    gap_end = frontier if page.first < frontier else min(page.first + 1, end)
    until = max(gap_end, min(page.last, end) if full else end)
    low, high = page.index(gap_end), page.index(until)
    messages = [*page.messages[low:high]]
    if page.tied:
        messages = canonical(messages, descending=axis is DESCENDING)
    rejected = page.rejected(low, high, until)
    complete = CompleteInterval(gap_end, until, messages, page.asked_at, rejected)
    return LookaheadPage(gap_end, complete)


def repeats(pages: Sequence[Page]) -> bool:
    """Whether a page is the same as the one before it: the server ignores page numbers.

    Pages of a single millisecond do not count: their times do not distinguish them.
    """
    return any(
        one.first < one.last and (one.first, one.last) == (next_.first, next_.last)
        for one, next_ in pairwise(pages)
    )
