"""The proof that a millisecond over many pages was read whole, whatever their order.

Within one page every message is another one; across pages the same may come twice and
another never, if the order among ties changes. The pages together still tell how many
there are. So passes are made until the messages found, each counted as often as a
single page has shown it, are that many. Where that does not come about, the history
endpoint can tell even identical messages apart, by their ids.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Final

from ...errors import UnstableTieOrderError
from ...models._time import from_epoch_ms
from ...models.message import Message

MAX_PASSES: Final = 24
"""Five thousand messages in random order take about twelve."""

HISTORY_LIMIT: Final = 100
"""The longest answer of the history endpoint."""

IdRange = tuple[str | None, str | None]


class TieProof:
    """Passes over the pages of one millisecond.

    Attributes:
        at: the millisecond, in time.
        ids: the open range of ids to ask the history endpoint for next; None while
            passes are made.
    """

    def __init__(self, at: int, device_id: str, *, has_history: bool) -> None:
        self.at = at
        self.ids: IdRange | None = None
        self._device_id = device_id
        self._has_history = has_history
        self._found: dict[str, list[Message]] = {}
        self._pages: list[list[str]] = []
        self._pages_before: list[list[str]] = []
        self._passes = 0
        self._count = 0
        self._by_id: dict[str, Message] = {}
        self._ranges: list[IdRange] = []

    def add(self, messages: Sequence[Message]) -> None:
        """Take in what one page shows of the millisecond."""
        here: dict[str, list[Message]] = defaultdict(list)
        for message in messages:
            here[message.digest].append(message)
        for digest, twins in here.items():
            if len(twins) > len(self._found.get(digest, ())):
                self._found[digest] = twins
        self._pages.append([message.digest for message in messages])

    def conclude(self) -> list[Message] | None:
        """End a pass: all messages, or None if there must be another, or `ids` asked for.

        Raises:
            UnstableTieOrderError: passes do not help, and there is no history to ask.
        """
        self._passes += 1
        count = sum(map(len, self._pages))
        settled = self._pages == self._pages_before  # the same again: no pass will help
        self._pages, self._pages_before = [], self._pages
        if count != self._count and self._passes > 1:
            self._found = {}  # some were deleted meanwhile: what was found before may be gone
        self._count = count
        if sum(map(len, self._found.values())) == count:
            return [message for twins in self._found.values() for message in twins]
        if settled or self._passes >= MAX_PASSES:
            if not self._has_history:
                raise self._unstable("the history endpoint was not at hand to tell them apart")
            self.ids = (None, None)
        return None

    def add_history(self, messages: Sequence[Message]) -> list[Message] | None:
        """Take in what the history endpoint shows of `ids`: all messages, or None to go on.

        Raises:
            UnstableTieOrderError: it gives no ids, or another number of messages.
        """
        ids = sorted(message.id for message in messages if message.id is not None)
        if len(ids) < len(messages) or self.ids is None:
            raise self._unstable("the history endpoint gives no ids")
        self._by_id.update({message.id: message for message in messages if message.id is not None})
        low, high = self.ids
        if len(messages) >= HISTORY_LIMIT:
            # Whichever hundred these are of the range: on both sides of one there are fewer.
            middle = ids[len(ids) // 2]
            self._ranges += [(low, middle), (middle, high)]
        if self._ranges:
            self.ids = self._ranges.pop()
            return None
        if len(self._by_id) != self._count:
            raise self._unstable(f"the history endpoint shows {len(self._by_id)} of them")
        return list(self._by_id.values())

    def _unstable(self, why: str) -> UnstableTieOrderError:
        at = from_epoch_ms(self.at).isoformat(timespec="milliseconds")
        return UnstableTieOrderError(
            f"device {self._device_id} has {self._count} messages at {at}, more than one page "
            f"holds, and after {self._passes} passes it is not certain that each was seen once; "
            f"{why}",
            timestamp=at,
        )
