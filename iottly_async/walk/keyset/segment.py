"""Keyset pagination over one segment of the axis, so that no millisecond is split.

The millisecond in which a page ends may go on beyond the page. So its messages are held back:
all before them is complete and returned, and the next page is requested from that millisecond
on, which brings it whole. Page numbers are used only where no bound lies between two pages:
within a millisecond that fills a page, and on a server that rounds bounds.

Nothing here awaits. A page is read and decided on in one step, and `done` has moved before any
other task runs. What depends on the server is decided elsewhere: from where to request
(`RequestBound`), whether more pages follow (`LastPageCheck`), which page by number comes next
(`PageRun`), and whether page numbers count right (`NumberingTest`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Final

from ...errors import IottlyError, UnstableTieOrderError
from ...models.row import MessageRow
from ..axis import DESCENDING, Axis
from ..quirks import Quirks
from .bounds import LastPageCheck, RequestBound
from .page import CompleteInterval, Page, RejectedAt
from .page_numbers import NumberingTest, PageRun
from .tie_proof import IdRange, TieProof
from .ties import canonical

_MAX_RESTARTS: Final = 10
"""How often the ranks within one run may shift because messages were deleted."""


class Segment:
    """The half-open interval [done, end) of the axis, which one worker still has to walk.

    Attributes:
        done: everything of the segment before this position was returned by `feed`.
        end: where the segment ends. It may be moved down, but not to `done` or below.
        run: which page to request next.
        test: the test of page numbers under way, whose requests come first; None without one.
        rate: messages a millisecond in the last full page; 0 before the first.
        steady: how many full pages in a row had about this rate.
        fresh: whether no page was fed yet.
        asked_at: when the first request was made for what was not returned yet, in milliseconds
            of the monotonic clock; None if none was. It is set and used by `source`.
    """

    __slots__ = (
        "_axis",
        "_bound",
        "_held",
        "_held_rejected",
        "_last_page",
        "_met",
        "_proof",
        "_quirks",
        "_restarts",
        "asked_at",
        "done",
        "end",
        "fresh",
        "rate",
        "run",
        "steady",
        "test",
    )

    def __init__(self, start: int, end: int, *, axis: Axis, quirks: Quirks, page_size: int) -> None:
        self.done = start
        self.end = end
        self.rate = 0.0
        self.steady = 0
        self.fresh = True
        self.asked_at: float | None = None
        self.run = PageRun(page_size)
        self.test: NumberingTest | None = None
        self._axis = axis
        self._quirks = quirks
        self._bound = RequestBound(axis, quirks)
        self._last_page = LastPageCheck(quirks)
        self._held: list[MessageRow] = []
        self._held_rejected: list[RejectedAt] = []
        self._met: deque[frozenset[bytes]] = deque(maxlen=3)
        self._proof: TieProof | None = None
        self._restarts = 0
        self.run.restart(self._bound.anchor(start, 0))

    @property
    def finished(self) -> bool:
        """Whether the whole segment was returned."""
        return self.done >= self.end and self.test is None

    @property
    def certain(self) -> bool:
        """Whether all before `done` was returned, and the last page raised no doubt."""
        return self.test is None and not self._last_page.doubtful

    @property
    def held_back(self) -> int:
        """How many messages are held back."""
        return len(self._held)

    def clip(self, low: int, high: int) -> None:
        """Keep to [low, high), which became known after the segment was made."""
        self.done = max(self.done, low)
        self.end = max(self.done, min(self.end, high))

    def feed(self, page: Page) -> CompleteInterval:
        """Take in the page that was requested, and return what is now complete.

        Raises:
            PageOrderError: the page lies before the one that it should follow, or page
                numbers do not count right.
            UnstableTieOrderError: a millisecond of many pages was to be proven whole, and
                cannot be.
        """
        self.fresh = False
        if self.test is not None:
            return self._continue_test(self.test, page)
        complete = self._feed(page)
        self._met.append(page.bad_rows)
        return complete

    def _feed(self, page: Page) -> CompleteInterval:
        run = self.run
        run.check(page, self.done)
        if run.number is None or self._quirks.numbers_verified:
            return self._take_in(page)
        anchor, contiguous = run.anchor, run.contiguous
        full = len(page) >= min(run.size, run.limit)
        complete = self._take_in(page)
        self.test = run.test_after(
            page,
            complete,
            anchor=anchor,
            contiguous=contiguous,
            full=full,
            axis=self._axis,
            quirks=self._quirks,
        )
        if self.test is not None and self.test.complete is not None:
            return _nothing(complete.start)  # it waits for the end of the test
        if self._proof is not None and self._proof.passes == 1 and contiguous > run.contiguous:
            # The first pass is no proof. Wrong page numbers would look like an unstable order.
            count = self._proof.least, self._proof.count
            self.test = run.test_of_count(anchor, count, complete)
        return complete

    def _continue_test(self, test: NumberingTest, page: Page) -> CompleteInterval:
        if test.answer(page, self._quirks):
            self.test = None
            if test.complete is not None:
                return test.complete
        return _nothing(test.at)

    def _take_in(self, page: Page) -> CompleteInterval:
        if self._proof is not None:
            return self._take_in_pass(self._proof, page)
        run, start = self.run, self.done
        if run.contiguous:
            if self._bound.rounding_ms == 1 and (not page or page.first > start):
                if not self._held and run.bridge():
                    # What was returned before ended with the last page. Only a page that
                    # holds its end, and what follows, shows that nothing lies between.
                    return _nothing(start)
                rejected = [*self._held_rejected, *page.rejected(0, 0, start + 1)]
                return self._end_millisecond(self._held, rejected)
        elif run.number is None:
            if not self._bound.is_kept(page, run.anchor, start, len(self._held)):
                run.restart(self._bound.wider_anchor(start))
                return _nothing(start)
        elif not page.overlaps(start, self._met):
            self._restarts += 1
            if self._restarts > _MAX_RESTARTS:
                raise page.error("pages by number that leave out what lies between them")
            run.restart(run.anchor)  # ranks have shifted: messages were deleted
            return _nothing(start)
        if not run.contiguous:
            # What is held back came again, with all of its millisecond.
            self._held, self._held_rejected = [], []
        full = self._last_page.is_full(page, run, start, self.end, first=not self.rate)
        if not full or page.last >= self.end or start >= self.end:
            return self._finish(page)
        self._measure_rate(page)
        low = page.index(start)
        if page.last <= start:
            self._held += page.messages[low:]
            self._held_rejected += page.rejected(low, len(page.messages), start + 1)
            if run.contiguous:
                run.next_page()
            else:
                self._request_on(len(page), run.rank + page.rank(low))
            return _nothing(start)
        tail = page.tail
        messages = self._in_order(page, low, tail)
        rejected = [*self._held_rejected, *page.rejected(low, tail, page.last)]
        self._held = list(page.messages[tail:])
        self._held_rejected = page.rejected(tail, len(page.messages), page.last + 1)
        self.done = page.last
        self._restarts = 0
        if tail:
            self._request_on(len(page), run.rank + page.rank(tail))
        else:
            run.advance(len(page), 0)  # the page begins with it: no need to see it again
        return CompleteInterval(start, self.done, messages, rejected=rejected)

    def _request_on(self, length: int, held_rank: int) -> None:
        """Move the anchor to what is held back, or request the next page from the same one."""
        anchor = self._bound.anchor(self.done, len(self._held))
        if anchor > self.run.anchor:
            self.run.restart(anchor)
        else:
            self.run.advance(length, held_rank)

    def _end_millisecond(
        self, messages: list[MessageRow], rejected: Sequence[RejectedAt]
    ) -> CompleteInterval:
        """Return a millisecond that was read whole, and start anew behind it.

        The page that shows where it ends is not used: had the millisecond been deleted
        meanwhile, the page's number would have skipped messages that follow.
        """
        start = self.done
        self._held, self._held_rejected = [], []
        self.done = start + 1
        self.run.restart(self._bound.anchor(self.done, 0))
        messages = canonical(messages, descending=self._axis is DESCENDING)
        return CompleteInterval(start, self.done, messages, rejected=rejected)

    def _finish(self, page: Page) -> CompleteInterval:
        start = self.done
        low, high = page.index(start), page.index(self.end)
        messages = self._in_order(page, low, high)
        rejected = [*self._held_rejected, *page.rejected(low, high, max(start, self.end))]
        self._held, self._held_rejected = [], []
        self.done = self.end = max(start, self.end)
        return CompleteInterval(start, self.done, messages, rejected=rejected)

    def _in_order(self, page: Page, low: int, high: int) -> list[MessageRow]:
        """Return what is held back and the page's messages from `low` to `high`."""
        if page.tied or self._held:
            messages = [*self._held, *page.messages[low:high]]
            return canonical(messages, descending=self._axis is DESCENDING)
        return [*page.messages[low:high]]

    def _measure_rate(self, page: Page) -> None:
        rate = len(page) / max(1, page.last - page.first)
        self.steady = self.steady + 1 if self.rate / 4 <= rate <= self.rate * 4 else 1
        self.rate = rate

    # The proof of a millisecond

    @property
    def ids(self) -> IdRange | None:
        """The range of ids to request from the history endpoint; None to request a page."""
        return None if self._proof is None or self.test is not None else self._proof.ids

    @property
    def proving(self) -> bool:
        """Whether a millisecond is being proven whole."""
        return self._proof is not None

    def prove(self, device_id: str, *, has_history: bool) -> None:
        """Prove that the millisecond at `done` is read whole, until it was returned.

        Call this when `run.contiguous` has become true.

        Args:
            device_id: for the error's text.
            has_history: whether the history endpoint can be asked for ids.
        """
        at = self._axis.point(self.done)
        self._proof = TieProof(at, device_id, has_history=has_history)
        if self._held_rejected:
            self.run.rewind()  # whether these rows lie within it, a whole pass shows
        else:
            self._proof.add(self._held)

    def feed_history(self, messages: Sequence[MessageRow]) -> CompleteInterval:
        """Take in the history endpoint's answer for `ids`.

        Raises:
            UnstableTieOrderError: as in `feed`.
        """
        if self._proof is not None:
            proven = self._proof.add_history(messages)
            if proven is not None:
                return self._end_proof(proven, self._proof)
        return _nothing(self.done)

    def read_again(self) -> bool:
        """Make one more pass over the pages before the history endpoint is asked again.

        Returns:
            False if that was done before.
        """
        return self._proof is not None and self._proof.read_again()

    def unproven(self, error: IottlyError) -> UnstableTieOrderError | None:
        """Make the error that ends the proof, because the history endpoint answers with `error`."""
        return None if self._proof is None else self._proof.without_history(error)

    def _take_in_pass(self, proof: TieProof, page: Page) -> CompleteInterval:
        """Take in one page of a pass over the millisecond that is being proven."""
        run, start = self.run, self.done
        low, high = page.index(start), page.index(start + 1)
        proof.add(
            page.messages[low:high],
            before=page.rejected(low, low, start + 1),
            inside=page.rejected(low + 1, high - 1, start + 1),
            after=page.rejected(high, high, start + 1) if low < high else [],
            begins=low > 0,
        )
        full = self._last_page.is_full(page, run, start, self.end, first=not self.rate)
        if full and page.last <= start:
            run.next_page()
            return _nothing(start)
        proven = proof.conclude()
        if proven is not None:
            return self._end_proof(proven, proof)
        run.rewind(proof.page_part)
        return _nothing(start)

    def _end_proof(self, messages: list[MessageRow], proof: TieProof) -> CompleteInterval:
        self._proof = None
        return self._end_millisecond(messages, proof.rejected)


def _nothing(at: int) -> CompleteInterval:
    """An empty interval: the page completed nothing."""
    return CompleteInterval(at, at, [])
