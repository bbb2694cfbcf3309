"""Held-back seek: one window of the axis, walked so that no millisecond is cut in two.

A page says where it ends, and the millisecond it ends in may go on beyond it. So that
one is held back: everything before it is complete and handed out, and the next page is
asked for from that millisecond on, which brings it whole. Only where one millisecond
fills a page are page numbers used, and only within it.

Nothing here awaits: a page is read and decided on in one step, and `done` has moved
before anything else can look. Three helpers handle servers that differ from the documents:
`RequestBound` (from where to ask), `LastPageCheck` (whether more pages follow) and
`PageNumbers` (whether page numbers can be relied on).
"""

from __future__ import annotations

from collections.abc import Sequence

from ...models.message import Message
from ..axis import DESCENDING, Axis
from ..quirks import Quirks
from .bounds import LastPageCheck, RequestBound
from .page import CompleteInterval, Page
from .page_numbers import PageNumbers, PageRun
from .tie_proof import IdRange, TieProof
from .ties import canonical

_RESTARTS = 10
"""So often the ranks within one run may have shifted because messages were deleted."""


class Segment:
    """The stretch [done, end) of the axis that one seek has still to walk.

    Attributes:
        done: everything of the window before it was given out by `feed`.
        end: where the window ends; may be moved down, never to `done` or below.
        run: from where, and which page by number, is to be asked for.
        rate: messages a millisecond in the last full page; 0 before the first.
        steady: how many full pages in a row came at about this rate.
        fresh: whether no page was fed yet.
        numbering: what is known of page numbers; a trial of them comes before all else.
    """

    __slots__ = (
        "_axis",
        "_bound",
        "_carry",
        "_ending",
        "_proof",
        "_quirks",
        "_restarts",
        "done",
        "end",
        "fresh",
        "numbering",
        "rate",
        "run",
        "steady",
    )

    def __init__(self, start: int, end: int, *, axis: Axis, quirks: Quirks, page_size: int) -> None:
        """A window from `start` to `end` of the axis, for a walk with these ways."""
        self.done = start
        self.end = end
        self.rate = 0.0
        self.steady = 0
        self.fresh = True
        self.run = PageRun(page_size)
        self.numbering = PageNumbers(axis, quirks)
        self._axis = axis
        self._quirks = quirks
        self._bound = RequestBound(axis, quirks)
        self._ending = LastPageCheck(quirks)
        self._carry: list[Message] = []
        self._proof: TieProof | None = None
        self._restarts = 0
        self.run.restart(self._bound.aim(start, 0))

    @property
    def finished(self) -> bool:
        """Whether the window was given out whole."""
        return self.done >= self.end and self.numbering.trial is None

    @property
    def certain(self) -> bool:
        """Whether all before `done` was given out, and the next page is not needed to know
        what the last one was."""
        return self.numbering.trial is None and not self._ending.doubtful

    @property
    def held(self) -> int:
        """How many messages are held back."""
        return len(self._carry)

    def narrow(self, low: int, high: int) -> None:
        """Keep to [low, high), which became known after the window was made."""
        self.done = max(self.done, low)
        self.end = max(self.done, min(self.end, high))

    def feed(self, page: Page) -> CompleteInterval:
        """Take in the page that was asked for; give out what is now complete.

        Raises:
            PageOrderError: the page lies before the one that it should follow, or page
                numbers do not count as they should.
            UnstableTieOrderError: a millisecond over many pages was to be proven whole,
                and cannot be.
        """
        self.fresh = False
        run, numbering = self.run, self.numbering
        if numbering.trial is not None:
            return numbering.tried(numbering.trial, page)
        if run.number is None:
            numbering.begin(page)
            return self._take_in(page)
        numbering.check(page, run, self.done)
        if self._quirks.numbered:
            return self._take_in(page)
        anchor, straight, full = run.anchor, run.straight, len(page) >= min(run.size, run.limit)
        piece = self._take_in(page)
        return numbering.weigh(page, piece, run, anchor=anchor, straight=straight, full=full)

    def _take_in(self, page: Page) -> CompleteInterval:
        if self._proof is not None:
            return self._prove(self._proof, page)
        run, start = self.run, self.done
        if run.straight:
            if self._bound.unit == 1 and (not page or page.first > start):
                if not self._carry and run.go_across():
                    # What was given out before ended with the last page. Only a page that
                    # holds its end, and what follows, shows that nothing lies between.
                    return CompleteInterval(start, start, [])
                return self._leave_group(self._carry)
        elif run.number is None:
            if not self._bound.kept(page, run.anchor, start, len(self._carry)):
                run.restart(self._bound.widened(start))
                return CompleteInterval(start, start, [])
        elif not page or page.first >= start:
            self._restarts += 1
            if self._restarts > _RESTARTS:
                raise page.error("pages by number that leave out what lies between them")
            run.restart(run.anchor)  # ranks have shifted: messages were deleted
            return CompleteInterval(start, start, [])
        if not run.straight:
            self._carry = []  # what was held back came again, whole
        full = self._ending.is_full(page, run, start, self.end, first=not self.rate)
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
            return CompleteInterval(start, start, [])
        cut = page.tail
        messages = self._complete(page, low, cut)
        self._carry = list(page.messages[cut:])
        self.done = page.last
        self._restarts = 0
        if cut:
            self._ask_on(len(page), run.before + cut)
        else:
            run.go_on(len(page), 0)  # the page begins with it: no need to see it again
        return CompleteInterval(start, self.done, messages)

    def _ask_on(self, length: int, held: int) -> None:
        """Move the anchor to what is held back, or ask for the next page from this one."""
        anchor = self._bound.aim(self.done, len(self._carry))
        if anchor > self.run.anchor:
            self.run.restart(anchor)
        else:
            self.run.go_on(length, held)

    def _leave_group(self, messages: list[Message]) -> CompleteInterval:
        """End a millisecond that is read whole, and start anew behind it.

        The page that shows where it ends is not used: had the millisecond been deleted
        meanwhile, the page's number would have skipped messages that follow.
        """
        start = self.done
        self._carry = []
        self.done = start + 1
        self.run.restart(self._bound.aim(self.done, 0))
        messages = canonical(messages, descending=self._axis is DESCENDING)
        return CompleteInterval(start, self.done, messages)

    def _finish(self, page: Page) -> CompleteInterval:
        start = self.done
        messages = self._complete(page, page.index(start), page.index(self.end))
        self._carry = []
        self.done = self.end = max(start, self.end)
        return CompleteInterval(start, self.done, messages)

    def _complete(self, page: Page, low: int, high: int) -> list[Message]:
        if page.tied or self._carry:
            messages = [*self._carry, *page.messages[low:high]]
            return canonical(messages, descending=self._axis is DESCENDING)
        return [*page.messages[low:high]]

    def _clock(self, page: Page) -> None:
        """Note at which rate messages come."""
        rate = len(page) / max(1, page.last - page.first)
        self.steady = self.steady + 1 if self.rate / 4 <= rate <= self.rate * 4 else 1
        self.rate = rate

    @property
    def ids(self) -> IdRange | None:
        """The range of ids to ask the history endpoint for; None where a page is wanted."""
        return None if self._proof is None else self._proof.ids

    @property
    def proving(self) -> bool:
        """Whether a millisecond is being proven."""
        return self._proof is not None

    def prove(self, device_id: str, *, has_history: bool) -> None:
        """From now on, until the millisecond at `done` is left, prove that it is read whole.

        To be called when `run.straight` has become true.
        """
        at = self._axis.point(self.done)
        self._proof = TieProof(at, device_id, has_history=has_history)
        self._proof.add(self._carry)

    def feed_history(self, messages: Sequence[Message]) -> CompleteInterval:
        """Take in the history endpoint's answer for `ids`.

        Raises:
            UnstableTieOrderError: as in `feed`.
        """
        if self._proof is not None:
            proven = self._proof.add_history(messages)
            if proven is not None:
                return self._proven(proven)
        return CompleteInterval(self.done, self.done, [])

    def _prove(self, proof: TieProof, page: Page) -> CompleteInterval:
        """One page of a pass over the millisecond that is being proven."""
        run, start = self.run, self.done
        proof.add(page.messages[page.index(start) : page.index(start + 1)])
        full = self._ending.is_full(page, run, start, self.end, first=not self.rate)
        if full and page.last <= start:
            run.next()
            return CompleteInterval(start, start, [])
        proven = proof.conclude()
        if proven is not None:
            return self._proven(proven)
        run.rewind()
        return CompleteInterval(start, start, [])

    def _proven(self, messages: list[Message]) -> CompleteInterval:
        self._proof = None
        return self._leave_group(messages)
