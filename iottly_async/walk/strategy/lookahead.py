"""Where to look ahead: pages with a number, chosen so that what lies between them is even.

A scout is a page some pages ahead of the frontier, up to which the walk is planned. It
shows at which time it lies, so that the gap before it can be walked by a lane while
others walk theirs; and of the milliseconds that lie whole on it, it is data already.
Pure arithmetic: how far to look, with how many, and what a page that came back tells.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from math import sqrt
from typing import NamedTuple

from ..axis import DESCENDING, Axis
from ..keyset.page import CompleteInterval, Page
from ..keyset.ties import canonical

GAP: int = 8
"""Pages between two scouts, at most. The more, the fewer scouts are needed and the
further the memory reaches: so many pages, and two, for each request at once."""

_LOOK = 3.0
"""Pages to plan in one round, for each request at once."""

_LEAST_SIZE = 0.2
"""The shortest scout, as a share of a page."""


class LookaheadPlan(NamedTuple):
    """A round of scouts: pages of `size` with these numbers, and `gap` pages between."""

    size: int
    gap: int
    numbers: list[int]


class Lookahead:
    """What is known of the messages' density, and how far that reaches.

    Attributes:
        gap: pages between two scouts in the next round.
    """

    __slots__ = ("_behind", "_held", "_many", "_page_size", "_seen", "_start", "_variance", "gap")

    def __init__(self, start: int, page_size: int) -> None:
        """Nothing is known beyond `start`."""
        self.gap = 1
        self._many = 1
        self._behind = 0
        self._page_size = page_size
        self._start = start
        self._seen = 0
        self._held, self._variance = 1.5, 1.0

    def saw(self, messages: int) -> None:
        """So many messages more lie behind the frontier."""
        self._seen += messages

    def held_back(self, messages: int) -> None:
        """A page in a lane held back so many messages, which came again on the next."""
        away = min(messages, 0.6 * self._page_size) - self._held
        self._held += 0.05 * away
        self._variance += 0.05 * (away * away - self._variance)

    def plan(self, frontier: int, end: int, concurrency: int) -> LookaheadPlan:
        """The next round, from `frontier` on."""
        gap, page = self.gap, self._page_size
        pages_left = self._seen / max(1, frontier - self._start) * (end - frontier) / page
        many = min(
            self._many, int(_LOOK * concurrency / (gap + 1)), int(pages_left / (gap + 1)) + 1
        )
        numbers = [self._behind + (gap + 1) * (j + 1) for j in range(max(1, many))]
        return LookaheadPlan(self._size(), gap, numbers)

    def _size(self) -> int:
        """The size with which `gap` pages of held-back seek just fill a gap.

        A lane's first page brings a full page; each further one a page less what was held
        back; and the last must end behind the gap to show that it was the last.
        """
        gap, page = self.gap, self._page_size
        spread = 2.0 * sqrt(max(self._variance, 0.0) * gap)
        size = ((gap - 1) * (page - self._held) + page - 1 - self._held - spread) / gap
        return max(1, int(_LEAST_SIZE * page), min(page, int(size)))

    def hit(self, plan: LookaheadPlan, *, advanced: bool) -> None:
        """Every scout of the round found messages: look further, with more.

        Args:
            plan: of the round.
            advanced: whether the frontier has moved. It has not where a server that
                rounds the bound down gave only what lies behind the frontier.
        """
        if advanced:
            self._behind = 0
            self.gap = min(GAP, self.gap * 4)
            self._many *= 4
        else:
            self._behind = plan.numbers[-1]

    def missed(self) -> None:
        """A scout went beyond the last message: look less far, with one."""
        self.gap = max(1, self.gap // 2)
        self._many = 1


class LookaheadPage(NamedTuple):
    """What a scout's page tells.

    Attributes:
        gap_end: up to where a lane must walk from the frontier.
        piece: what the page brings whole from there on; its end is the new frontier.
    """

    gap_end: int
    piece: CompleteInterval


def sight(page: Page, frontier: int, end: int, *, full: bool, axis: Axis) -> LookaheadPage:
    """Read a scout's page that is not empty.

    The first and the last millisecond of the page may go on beyond it; what lies between
    is whole, whatever the page's number meant when the server answered. If more may
    follow it (`full`), the frontier moves to its last millisecond, otherwise to the end.
    """
    gap_end = frontier if page.first < frontier else min(page.first + 1, end)
    until = max(gap_end, min(page.last, end) if full else end)
    messages = [*page.messages[page.index(gap_end) : page.index(until)]]
    if page.tied:
        messages = canonical(messages, descending=axis is DESCENDING)
    return LookaheadPage(gap_end, CompleteInterval(gap_end, until, messages))


def repeats(pages: Sequence[Page]) -> bool:
    """Whether a page is the one before it again: the server takes no notice of numbers.

    Pages of one millisecond are not told apart by this.
    """
    return any(
        one.first < one.last and (one.first, one.last) == (next_.first, next_.last)
        for one, next_ in pairwise(pages)
    )
