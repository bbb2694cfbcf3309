"""Held-back seek: one window of the axis, walked so that no millisecond is cut in two.

A page says where it ends, and the millisecond it ends in may go on beyond it. So that
one is held back: everything before it is complete and handed out, and the next page is
asked for from that millisecond on, which brings it whole. Only where one millisecond
fills a page are page numbers used, and only within it.

Nothing here awaits: a page is read and decided on in one step, and `done` has moved
before anybody else can look.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from ..models.message import Message
from .axis import DESCENDING, SECOND, Axis, round_down
from .habits import Habits
from .page import Page
from .run import Run
from .ties import canonical
from .verify import IdRange, TieProof


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
        run: from where, and which page by number, is to be asked for.
        rate: messages a millisecond in the last full page; 0 before the first.
        steady: how many full pages in a row came at about this rate.
        fresh: whether no page was fed yet.
    """

    __slots__ = (
        "_axis",
        "_carry",
        "_doubt",
        "_habits",
        "_proof",
        "_unit",
        "done",
        "end",
        "fresh",
        "rate",
        "run",
        "steady",
    )

    def __init__(self, start: int, end: int, *, axis: Axis, habits: Habits, page_size: int) -> None:
        """A window from `start` to `end` of the axis, for a walk with these ways."""
        self.done = start
        self.end = end
        self.rate = 0.0
        self.steady = 0
        self.fresh = True
        self.run = Run(page_size)
        self._axis = axis
        self._habits = habits
        self._unit = habits.unit
        self._carry: list[Message] = []
        self._doubt = False
        self._proof: TieProof | None = None
        self.run.restart(self._aim())

    @property
    def finished(self) -> bool:
        """Whether the window was given out whole."""
        return self.done >= self.end

    @property
    def held(self) -> int:
        """How many messages are held back."""
        return len(self._carry)

    @property
    def ids(self) -> IdRange | None:
        """The range of ids to ask the history endpoint for; None where a page is wanted."""
        return None if self._proof is None else self._proof.ids

    def narrow(self, low: int, high: int) -> None:
        """Keep to [low, high), which became known after the window was made."""
        self.done = max(self.done, low)
        self.end = max(self.done, min(self.end, high))

    def feed(self, page: Page) -> Piece:
        """Take in the page that was asked for; give out what is now complete.

        Raises:
            UnstableTieOrderError: a millisecond over many pages was to be proven whole,
                and cannot be.
        """
        self.fresh = False
        if self._proof is not None:
            return self._prove(self._proof, page)
        run, start = self.run, self.done
        if run.straight:
            if self._unit == 1 and (not page or page.first > start):
                return self._leave_group(self._carry)
        elif run.number is None:
            if self._lacks_held(page):
                return self._ask_wider()
            self._note_rounding(page)
        elif not page or page.first >= start:
            run.restart(run.anchor)  # ranks have shifted: messages were deleted
            return Piece(start, start, [])
        if not run.straight:
            self._carry = []  # what was held back came again, whole
        full = self._habits.is_full(len(page), run.size)
        if not full or page.last >= self.end or start >= self.end:
            return self._finish(page)
        self._clock(page)
        low = page.index(start)
        if page.last <= start:
            self._carry += page.messages[low:]
            if run.straight:
                run.next()
            else:
                self._ask_on(len(page), run.before + low)
            return Piece(start, start, [])
        cut = page.tail
        messages = self._complete(page, low, cut)
        self._carry = list(page.messages[cut:])
        self.done = page.last
        if cut:
            self._ask_on(len(page), run.before + cut)
        else:
            run.go_on(len(page), 0)  # the page begins with it: no need to see it again
        return Piece(start, self.done, messages)

    def feed_history(self, messages: Sequence[Message]) -> Piece:
        """Take in the history endpoint's answer for `ids`.

        Raises:
            UnstableTieOrderError: as in `feed`.
        """
        if self._proof is not None:
            proven = self._proof.add_history(messages)
            if proven is not None:
                return self._proven(proven)
        return Piece(self.done, self.done, [])

    def prove(self, device_id: str, *, has_history: bool) -> None:
        """From now on, until the millisecond at `done` is left, prove that it is read whole.

        To be called when `run.straight` has become true.
        """
        at = self._axis.point(self.done)
        self._proof = TieProof(at, device_id, has_history=has_history)
        self._proof.add(self._carry)

    @property
    def proving(self) -> bool:
        """Whether a millisecond is being proven."""
        return self._proof is not None

    def _clock(self, page: Page) -> None:
        """Note at which rate messages come."""
        rate = len(page) / max(1, page.last - page.first)
        self.steady = self.steady + 1 if self.rate / 4 <= rate <= self.rate * 4 else 1
        self.rate = rate

    def _finish(self, page: Page) -> Piece:
        start = self.done
        messages = self._complete(page, page.index(start), page.index(self.end))
        self._carry = []
        self.done = self.end = max(start, self.end)
        return Piece(start, self.done, messages)

    def _complete(self, page: Page, low: int, high: int) -> list[Message]:
        if page.tied or self._carry:
            messages = [*self._carry, *page.messages[low:high]]
            return canonical(messages, descending=self._axis is DESCENDING)
        return [*page.messages[low:high]]

    def _aim(self) -> int:
        """Where pages are to be asked for from, so that `done` and all after it is on them."""
        unit = self._unit
        if unit == 1 and self._axis is DESCENDING and not (self._carry or self._habits.exact):
            # The bound is an upper one. Should the server round it down, nothing would be
            # held back here whose absence could show it: so ask for a whole second.
            unit = SECOND
        return round_down(self.done, unit)

    def _ask_on(self, length: int, held: int) -> None:
        """Move the anchor to what is held back, or ask for the next page from this one."""
        anchor = self._aim()
        if anchor > self.run.anchor:
            self.run.restart(anchor)
        else:
            self.run.go_on(length, held)

    def _leave_group(self, messages: list[Message]) -> Piece:
        """End a millisecond that is read whole, and start anew behind it.

        The page that shows where it ends is not used: had the millisecond been deleted
        meanwhile, the page's number would have skipped messages that follow.
        """
        start = self.done
        self._carry = []
        self.done = start + 1
        self.run.restart(self._aim())
        messages = canonical(messages, descending=self._axis is DESCENDING)
        return Piece(start, self.done, messages)

    def _prove(self, proof: TieProof, page: Page) -> Piece:
        """One page of a pass over the millisecond that is being proven."""
        start = self.done
        proof.add(page.messages[page.index(start) : page.index(start + 1)])
        if self._habits.is_full(len(page), self.run.size) and page.last <= start:
            self.run.next()
            return Piece(start, start, [])
        proven = proof.conclude()
        if proven is not None:
            return self._proven(proven)
        self.run.rewind()
        return Piece(start, start, [])

    def _proven(self, messages: list[Message]) -> Piece:
        self._proof = None
        return self._leave_group(messages)

    def _note_rounding(self, page: Page) -> None:
        if page and page.first < self.run.anchor:
            self._habits.widen(self.run.anchor, page.first)
            self._unit = self._habits.unit

    def _lacks_held(self, page: Page) -> bool:
        """Whether the messages that were held back are missing where they must come again.

        Upward that means that they were deleted. Downward the bound that was sent is an
        upper one, and a server that rounds it down leaves out what lies under it.
        """
        if self._axis is not DESCENDING or not self._carry or self._habits.exact:
            return False
        there = page.index(self.done + 1) > page.index(self.done)
        uneven = self.run.anchor % SECOND != 0
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
        self.run.restart(round_down(self.done, SECOND))
        return Piece(self.done, self.done, [])
