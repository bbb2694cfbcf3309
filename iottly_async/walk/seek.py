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
from itertools import takewhile

from ..models._time import epoch_ms
from ..models.message import Message
from .axis import DESCENDING, SECOND, Axis, round_down
from .habits import Habits
from .page import Page
from .piece import Piece
from .run import Run
from .ties import canonical
from .trial import Trial
from .verify import IdRange, TieProof

_RESTARTS = 10
"""So often the ranks within one run may have shifted because messages were deleted."""


class Window:
    """The stretch [done, end) of the axis that one seek has still to walk.

    Attributes:
        done: everything of the window before it was given out by `feed`.
        end: where the window ends; may be moved down, never to `done` or below.
        run: from where, and which page by number, is to be asked for.
        rate: messages a millisecond in the last full page; 0 before the first.
        steady: how many full pages in a row came at about this rate.
        fresh: whether no page was fed yet.
        trial: page numbers put to the test, which is asked for before anything else.
    """

    __slots__ = (
        "_axis",
        "_began",
        "_carry",
        "_cut_end",
        "_cut_short",
        "_doubt",
        "_habits",
        "_proof",
        "_reached",
        "_restarts",
        "_uneven",
        "_unit",
        "done",
        "end",
        "fresh",
        "rate",
        "run",
        "steady",
        "trial",
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
        self.trial: Trial | None = None
        self._began = self._reached = start
        self._restarts = self._cut_short = 0
        self._uneven = False
        self._cut_end: int | None = None
        self.run.restart(self._aim())

    @property
    def finished(self) -> bool:
        """Whether the window was given out whole."""
        return self.done >= self.end and self.trial is None

    @property
    def certain(self) -> bool:
        """Whether all before `done` was given out, and the next page is not needed to know
        what the last one was."""
        return self.trial is None and not self._cut_short

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
            PageOrderError: the page lies before the one that it should follow, or page
                numbers do not count as they should.
            UnstableTieOrderError: a millisecond over many pages was to be proven whole,
                and cannot be.
        """
        self.fresh = False
        if self.trial is not None:
            return self._tried(self.trial, page)
        run, uneven = self.run, self._uneven
        self._uneven = run.straight and 0 < len(page) < run.size
        if run.number is None:
            self._began, self._reached = page.first, page.last
            return self._take_in(page)
        if page and page.first < self._began:
            raise page.error("a page that lies before the one that it should follow")
        if uneven and run.straight and page and page.first <= self.done:
            raise page.error("pages by number that are not all of the length asked for")
        return self._take_in(page) if self._habits.numbered else self._mistrust(page)

    def _mistrust(self, page: Page) -> Piece:
        """Take in a page with a number, and begin a trial where all depends on it."""
        run, start, reached = self.run, self.done, self._reached
        anchor, straight, size = run.anchor, run.straight, min(run.size, run.limit)
        piece = self._take_in(page)
        self._reached = page.last
        if self.done == start:
            again = page.last <= reached and len(page) >= size and run.number is not None
            if again and not self._habits.heeded:
                self.trial = Trial.of_far(anchor, start)
        elif straight and self._began == start and run.limit > 1:
            group = takewhile(lambda message: self._point(message) == start, piece.messages)
            self.trial = Trial.of_count(anchor, len([*group]), run.limit, piece)
            return Piece(start, start, [])
        return piece

    def _point(self, message: Message) -> int:
        return self._axis.point(epoch_ms(message.timestamp))

    def _tried(self, trial: Trial, page: Page) -> Piece:
        """Go on with a trial; give out what it held back once it is over."""
        try:
            well = trial.answered(there=bool(page) and page.first <= trial.at)
        except ValueError:
            raise page.error(
                "page numbers that do not count as they should: see Config.first_page"
            ) from None
        if well is None:
            return Piece(trial.at, trial.at, [])
        self.trial = None
        if trial.piece is None:
            self._habits.heeded = well
            return Piece(trial.at, trial.at, [])
        self._habits.numbered = well or self._habits.numbered
        return trial.piece

    def _take_in(self, page: Page) -> Piece:
        if self._proof is not None:
            return self._prove(self._proof, page)
        run, start = self.run, self.done
        if run.straight:
            if self._unit == 1 and (not page or page.first > start):
                return self._leave_group(self._carry)
        elif run.number is None:
            if self._lacks_held(page):
                return self._ask_wider()
            self._note_bound(page)
        elif not page or page.first >= start:
            self._restarts += 1
            if self._restarts > _RESTARTS:
                raise page.error("pages by number that leave out what lies between them")
            run.restart(run.anchor)  # ranks have shifted: messages were deleted
            return Piece(start, start, [])
        if not run.straight:
            self._carry = []  # what was held back came again, whole
        full = self._is_full(page)
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
        self._restarts = 0
        if cut:
            self._ask_on(len(page), run.before + cut)
        else:
            run.go_on(len(page), 0)  # the page begins with it: no need to see it again
        return Piece(start, self.done, messages)

    def _is_full(self, page: Page) -> bool:
        """Whether more may follow a page; and what the last page was, which may have been
        cut short by the server, is known by this one."""
        habits, run, cut_short = self._habits, self.run, self._cut_short
        full = habits.is_full(len(page), run.size)
        if run.number is not None and not run.straight:
            return len(page) >= run.size  # which is no more than the server gives
        if cut_short:
            more = page and (run.straight or page.last > self.done)
            if more and 2 * len(page) >= cut_short:  # a few may have come late, meanwhile
                habits.gappy = True
            if page and not (more or full) and self.end == self._cut_end:
                habits.ended(cut_short)
            # As long as it is not known, only an empty page ends what goes straight on.
            full = full or (run.straight and bool(page))
        self._cut_short = 0
        if full and len(page) < run.size and page.last >= self.done:
            self._cut_short = len(page)
            self._cut_end = None if self.rate else self.end
        return full

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
        """Where pages are to be asked for from, so that `done` and all after it is on them.

        What was held back comes again at a bound that is kept as the documents say, and so
        shows that it is. With nothing held back, the bound is set a little wider.
        """
        unit, at, habits = self._unit, self.done, self._habits
        if self._axis is DESCENDING:
            # The bound is an upper one, which a server may round down to the second.
            if unit == 1 and not (self._carry or habits.exact):
                unit = SECOND
        elif habits.exclusive or not (self._carry or habits.inclusive):
            at -= 1
        return round_down(at, unit)

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
        if self._is_full(page) and page.last <= start:
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

    def _note_bound(self, page: Page) -> None:
        if page and page.first < self.run.anchor:
            self._habits.widen(self.run.anchor, page.first)
            self._unit = self._habits.unit
        elif page and page.first == self.run.anchor and self._axis is not DESCENDING:
            self._habits.inclusive = True

    def _lacks_held(self, page: Page) -> bool:
        """Whether the messages that were held back are missing where they must come again.

        They were deleted, or the server does not keep the bound as the documents say:
        upward it may leave out what lies on it, downward it may round it down and leave
        out what lies under it.
        """
        if not self._carry:
            return False
        there = page.index(self.done + 1) - page.index(self.done) >= len(self._carry)
        lacks = self._lacks_below if self._axis is DESCENDING else self._lacks_on
        return lacks(page, there)

    def _lacks_on(self, page: Page, there: bool) -> bool:
        if not self._doubt:
            return not there and self.run.anchor == self.done
        self._doubt = False
        self._habits.exclusive = self._habits.exclusive or there
        return False

    def _lacks_below(self, page: Page, there: bool) -> bool:
        habits = self._habits
        if not self._doubt:
            uneven = self.run.anchor % SECOND != 0
            habits.exact = there and (uneven or habits.exact)
            return uneven and not there
        self._doubt = False
        if there:
            habits.unit = SECOND
        elif not page or page.last >= self.done:
            self._unit = habits.unit
        return False

    def _ask_wider(self) -> Piece:
        self._doubt = True
        if self._axis is DESCENDING:
            self._unit = SECOND
            self.run.restart(round_down(self.done, SECOND))
        else:
            self.run.restart(round_down(self.done - 1, self._unit))
        return Piece(self.done, self.done, [])
