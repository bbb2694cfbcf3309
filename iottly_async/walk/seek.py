"""Held-back seek: one window of the axis, walked so that no millisecond is cut in two.

A page says where it ends, and the millisecond it ends in may go on beyond it. So that
one is held back: everything before it is complete and handed out, and the next page is
asked for from that millisecond on, which brings it whole. Only where one millisecond
fills a page are page numbers used, and only within it.

Nothing here awaits: a page is read and decided on in one step, and `done` has moved
before anybody else can look.
"""

from __future__ import annotations

from typing import NamedTuple

from ..models.message import Message
from .axis import DESCENDING, SECOND, Axis, round_down
from .habits import Habits
from .page import Page
from .ties import canonical


class Piece(NamedTuple):
    """All messages of the stretch [start, end) of the axis, in order."""

    start: int
    end: int
    messages: list[Message]


class Window:
    """The stretch [done, end) of the axis that one seek has still to walk.

    Attributes:
        done: everything of the window before it was given out by `feed`.
        end: where the window ends; may be moved down, never to `done` or below.
        anchor: from where pages are asked for.
        number: None while the first page from `anchor` is asked for; k for its k-th.
        size: messages to ask for.
        rate: messages a millisecond in the last full page; 0 before the first.
    """

    __slots__ = (
        "_axis",
        "_carry",
        "_doubt",
        "_habits",
        "_page_size",
        "_unit",
        "anchor",
        "done",
        "end",
        "number",
        "rate",
        "size",
    )

    def __init__(
        self,
        start: int,
        end: int,
        *,
        axis: Axis,
        habits: Habits,
        page_size: int,
    ) -> None:
        """A window from `start` to `end` of the axis, for a walk with these ways."""
        self.done = start
        self.end = end
        self.number: int | None = None
        self.size = page_size
        self.rate = 0.0
        self._axis = axis
        self._habits = habits
        self._page_size = page_size
        self._unit = habits.unit
        self._carry: list[Message] = []
        self._doubt = False
        self.anchor = self._aim()

    @property
    def finished(self) -> bool:
        """Whether the window was given out whole."""
        return self.done >= self.end

    def narrow(self, low: int, high: int) -> None:
        """Keep to [low, high), which became known after the window was made."""
        self.done = max(self.done, low)
        self.end = max(self.done, min(self.end, high))

    def feed(self, page: Page) -> Piece:
        """Take in the page that was asked for; give out what is now complete."""
        if self.number is None:
            if self._lacks_held(page):
                return self._ask_wider()
            self._begin(page)
        elif self._in_group and (not page or page.first > self.done):
            return self._leave_group()
        start = self.done
        full = self._habits.is_full(len(page), self.size)
        if not full or page.last >= self.end or self.end <= start:
            return self._finish(start, page)
        self.rate = len(page) / max(1, page.last - page.first)
        low = page.index(start)
        if page.last <= start:
            self._carry += page.messages[low:]
            self._ask_on(len(page))
            return Piece(start, start, [])
        cut = page.index(page.last)
        messages = self._complete(page, low, cut)
        self._carry = list(page.messages[cut:])
        self.done = page.last
        self._ask_on(len(page))
        return Piece(start, self.done, messages)

    def _begin(self, page: Page) -> None:
        """Look at the first page from the anchor: what was held back comes again, whole."""
        self._carry = []
        if page and page.first < self.anchor:
            self._habits.widen(self.anchor, page.first)
            self._unit = self._habits.unit

    def _finish(self, start: int, page: Page) -> Piece:
        messages = self._complete(page, page.index(start), page.index(self.end))
        self._carry = []
        self.done = self.end = max(start, self.end)
        return Piece(start, self.done, messages)

    def _complete(self, page: Page, low: int, high: int) -> list[Message]:
        messages = [*self._carry, *page.messages[low:high]]
        if page.tied or self._carry:
            return canonical(messages, descending=self._axis is DESCENDING)
        return messages

    @property
    def _in_group(self) -> bool:
        """Whether page numbers are used within a single millisecond."""
        return self._unit == 1 and self.anchor == self.done

    def _aim(self) -> int:
        """Where pages are to be asked for from, so that `done` and all after it is on them."""
        unit = self._unit
        if unit == 1 and self._axis is DESCENDING and not (self._carry or self._habits.exact):
            # The bound is an upper one. Should the server round it down, nothing would be
            # held back here whose absence could show it: so ask for a whole second.
            unit = SECOND
        return round_down(self.done, unit)

    def _ask_on(self, length: int) -> None:
        """Move the anchor to what is held back, or ask for the next page from this one."""
        anchor = self._aim()
        if anchor > self.anchor:
            self.anchor, self.number, self.size = anchor, None, self._page_size
        else:
            # Later pages keep the first one's length, so that their numbers count alike.
            self.size = length if self.number is None else self.size
            self.number = 2 if self.number is None else self.number + 1

    def _leave_group(self) -> Piece:
        """End a millisecond that filled its pages exactly, and go on behind it.

        The page that shows it is not used: had the millisecond been deleted meanwhile,
        the page's number would have skipped messages that follow.
        """
        start = self.done
        messages = canonical(self._carry, descending=self._axis is DESCENDING)
        self._carry = []
        self.done = start + 1
        self.anchor, self.number, self.size = self._aim(), None, self._page_size
        return Piece(start, self.done, messages)

    def _lacks_held(self, page: Page) -> bool:
        """Whether the messages that were held back are missing where they must come again.

        Upward that means that they were deleted. Downward the bound that was sent is an
        upper one, and a server that rounds it down leaves out what lies under it.
        """
        if self._axis is not DESCENDING or not self._carry or self._habits.exact:
            return False
        at_held = page.index(self.done)
        there = at_held < len(page) and page.index(self.done + 1) > at_held
        uneven = self.anchor % SECOND != 0
        if not self._doubt:
            self._habits.exact = there and uneven
            return uneven and not there
        self._doubt = False
        if there:
            self._habits.unit = SECOND
        elif not page or page.last >= self.done:
            self._unit = self._habits.unit
        return False

    def _ask_wider(self) -> Piece:
        self._doubt = True
        self._unit = SECOND
        self.anchor = round_down(self.done, SECOND)
        return Piece(self.done, self.done, [])
