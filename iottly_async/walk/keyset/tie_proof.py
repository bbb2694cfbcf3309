"""The proof that a millisecond of many pages was read whole, whatever its order (D6).

Within one page all messages differ. Across pages one message may come twice and another never,
if the order of the ties changes between requests. Still the pages together show how many
messages there are. So passes over the pages are repeated until the messages found are that
many; each message counts as often as a single page has shown it.

Passes do not help if identical messages lie on different pages, in an order that is always the
same. Then passes with pages of other sizes show those together that lie near each other. Where
that is not enough, the history endpoint distinguishes identical messages by their ids. If it
does not, nothing proves that the millisecond is whole, and the walk says so.

Example: 150 messages, 100 a page, in a new order with each request. Pass 1 finds 100 + 50
messages, of which 120 differ. Pass 2 finds 20 of the missing 30, pass 3 the last 10: 150 found,
150 counted, so the millisecond is whole.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable, Sequence
from typing import Final, TypeVar

from ...errors import IottlyError, UnstableTieOrderError
from ...models._time import utc_text
from ...models.row import MessageRow
from .page import RejectedAt

_Key = TypeVar("_Key")
_Item = TypeVar("_Item")

MAX_PASSES: Final = 24
"""Passes at most. Five thousand messages in random order take about twelve."""

HISTORY_LIMIT: Final = 100
"""The history endpoint's longest answer, in messages."""

_OTHER_PARTS: Final = (2 / 3, 5 / 9)
"""Sizes of pages, as parts of the usual one, for passes over an order that stays the same."""

IdRange = tuple[str | None, str | None]


class TieProof:
    """Passes over the pages of one millisecond, and what they have found.

    Attributes:
        at: the millisecond, in time.
        ids: the range of ids to request from the history endpoint next, both ends exclusive;
            None while passes are made.
        passes: that were made so far.
        count: rows of the millisecond, as the last pass has shown.
        least: those of them that are messages. The others may be its neighbours'.
        page_part: size of the next pass's pages, as a part of the usual one.
    """

    def __init__(self, at: int, device_id: str, *, has_history: bool) -> None:
        self.at = at
        self.ids: IdRange | None = None
        self.page_part = 1.0
        self._device_id = device_id
        self._has_history = has_history
        self._found: dict[str, list[MessageRow]] = {}
        self._inside: dict[bytes, list[RejectedAt]] = {}
        self._leading: list[Sequence[RejectedAt]] = []
        self._trailing: list[Sequence[RejectedAt]] = []
        self._begun = False
        self._inside_now = self._unclear_before = 0
        self._pages: list[list[str]] = []
        self._pages_before: list[list[str]] = []
        self.passes = 0
        self.count = self.least = 0
        self._other_parts: deque[float] | None = None
        self._by_id: dict[str, MessageRow] = {}
        self._ranges: list[IdRange] = []
        self._differed = self._read_again = False

    @property
    def rejected(self) -> list[RejectedAt]:
        """The rows of the millisecond that are no messages.

        Those at its edges, as the last pass has shown them, may be of its neighbours.
        """
        most = dict(self._inside)
        for page in (*self._leading, *self._trailing):
            _keep_most(most, ((row.raw, (at, row)) for at, row in page))
        return [row for twins in most.values() for row in twins]

    def add(
        self,
        messages: Sequence[MessageRow],
        *,
        before: Sequence[RejectedAt] = (),
        inside: Sequence[RejectedAt] = (),
        after: Sequence[RejectedAt] = (),
        begins: bool = False,
    ) -> None:
        """Take in what one page shows of the millisecond: messages, and rows that are none.

        Args:
            messages: of the millisecond.
            before: such rows right before its first message, or before what may follow.
                Default: none.
            inside: such rows between its messages. Default: none.
            after: such rows right behind its last message here. Default: none.
            begins: whether messages of an earlier time stand before `before`. Default False.
        """
        if not self._pages:
            self._unclear_before = self._unclear
            self._leading, self._trailing, self._begun = [], [], False
            self._inside_now = 0
        if begins:
            self._leading = []
        if not messages:
            (self._trailing if self._begun else self._leading).append([*before, *after])
        elif not self._begun:
            self._leading.append(before)
            self._begun = True
            self._trailing = [after]
            self._add_inside(inside)
        else:
            for page in self._trailing:  # the millisecond goes on behind them
                self._add_inside(page)
            self._add_inside([*before, *inside])
            self._trailing = [after]
        _keep_most(self._found, ((message.digest, message) for message in messages))
        self._pages.append([message.digest for message in messages])

    def _add_inside(self, rows: Sequence[RejectedAt]) -> None:
        self._inside_now += len(rows)
        _keep_most(self._inside, ((row.raw, (at, row)) for at, row in rows))

    @property
    def _unclear(self) -> int:
        """How many rows at the edges the last pass has shown."""
        return sum(map(len, (*self._leading, *self._trailing)))

    def conclude(self) -> list[MessageRow] | None:
        """End a pass.

        Returns:
            All messages; None if another pass, or the history's answer for `ids`, is needed.

        Raises:
            UnstableTieOrderError: passes do not help, and there is no history endpoint.
        """
        self.passes += 1
        self.least = sum(map(len, self._pages))
        count = self.least + self._inside_now + self._unclear
        settled = self._pages == self._pages_before  # the same again: no such pass will help
        self._pages, self._pages_before = [], self._pages
        # Rows at the edges are not counted with every pass.
        unclear = max(self._unclear, self._unclear_before)
        if abs(count - self.count) > unclear and self.passes > 1:
            # Some were deleted meanwhile: what was found before may be gone.
            self._found, self._inside = {}, {}
        self.count = count
        if sum(map(len, self._found.values())) + len(self.rejected) == count:
            return [message for twins in self._found.values() for message in twins]
        if settled and self._other_parts is None:
            self._other_parts = deque(_OTHER_PARTS)
        if self._other_parts and self.passes < MAX_PASSES:
            self.page_part = self._other_parts.popleft()
        elif self._other_parts is not None or self.passes >= MAX_PASSES or self._differed:
            if not self._has_history:
                raise self._unstable("there is no history endpoint to tell them apart")
            self.page_part = 1.0
            self.ids = (None, None)
        return None

    def add_history(self, messages: Sequence[MessageRow]) -> list[MessageRow] | None:
        """Take in the history endpoint's answer for `ids`.

        Returns:
            All messages of the millisecond; None if the next `ids`, or another pass, are needed.

        Raises:
            UnstableTieOrderError: it gives no ids, others than were asked for, or twice another
                number of messages than the pages.
        """
        ids = sorted(message.id for message in messages if message.id is not None)
        if len(ids) < len(messages) or self.ids is None:
            raise self._unstable("the history endpoint gives no ids")
        low, high = self.ids
        if ids and not ((low is None or low < ids[0]) and (high is None or ids[-1] < high)):
            raise self._unstable("the history endpoint does not filter by ids")
        self._by_id.update({message.id: message for message in messages if message.id is not None})
        if ids and len(messages) + len(self.rejected) >= HISTORY_LIMIT:  # it may have all of these
            # Whichever hundred of the range these are: on both sides of one there are fewer.
            middle = ids[len(ids) // 2]
            self._ranges += [(low, middle), (middle, high)]
        if self._ranges:
            self.ids = self._ranges.pop()
            return None
        shown, self._by_id = self._by_id, {}
        if len(shown) + len(self.rejected) == self.count:
            return list(shown.values())
        if self._differed:
            raise self._unstable(f"the history endpoint shows {len(shown)} of them")
        # Some may have come or been deleted since the last pass: count once more.
        self._differed, self.ids = True, None
        return None

    def read_again(self) -> bool:
        """Make one more pass, and begin anew with the history endpoint, which has failed.

        Returns:
            False if that was done before.
        """
        if self._read_again:
            return False
        self._read_again, self.ids = True, None
        self._by_id, self._ranges = {}, []
        return True

    def without_history(self, error: IottlyError) -> UnstableTieOrderError:
        """Make the error of a proof for which the history endpoint answers with `error`."""
        return self._unstable(f"the history endpoint cannot be read: {error}")

    def _unstable(self, why: str) -> UnstableTieOrderError:
        at = utc_text(self.at)
        return UnstableTieOrderError(
            f"device {self._device_id} has {self.count} messages at {at}, more than one page "
            f"holds, and after {self.passes} passes it is not certain that each was seen once; "
            f"{why}. If the service keeps one order among messages of one millisecond, "
            "Config(verify_ties=False) reads them",
            timestamp=at,
        )


def _keep_most(found: dict[_Key, list[_Item]], page: Iterable[tuple[_Key, _Item]]) -> None:
    """Add what a page shows; equal items count as often as a single page has shown them."""
    here: dict[_Key, list[_Item]] = defaultdict(list)
    for key, item in page:
        here[key].append(item)
    for key, twins in here.items():
        if len(twins) > len(found.get(key, ())):
            found[key] = twins
