"""Frames by their numbers: put in order, and missed when they do not come. Pure.

A number that is skipped may be on its way, where something between us and the service
reorders; so what follows it is held for a moment. What has not come by then is lost, and
comes too late if it comes at all.
"""

from __future__ import annotations

from attrs import frozen

from ..models import Message


@frozen
class MissingMessages:
    """So many messages were sent and did not come."""

    count: int


class ReorderBuffer:
    """The messages of one connection, in the order of their numbers.

    Args:
        patience: seconds that a missing number is waited for.
        most: messages that are held meanwhile.
    """

    __slots__ = ("_held", "_last", "_most", "_next", "_patience", "_since")

    def __init__(self, *, patience: float, most: int = 10_000) -> None:
        self._patience = patience
        self._most = most
        self._held: dict[int, Message] = {}
        self._next: int | None = None
        self._last = 0
        self._since: float | None = None

    def begin(self, seq: int | None) -> None:
        """The next message has the number after `seq`; None: they are not numbered."""
        self._next = None if seq is None else seq + 1
        self._last = seq or 0

    @property
    def deadline(self) -> float | None:
        """When to call `give_up`, monotonic; None while nothing is missing."""
        return None if self._since is None else self._since + self._patience

    def take(
        self, message: Message, seq: int | None, now: float
    ) -> list[Message | MissingMessages]:
        """A message came; what can be handed on now."""
        if seq is None or self._next is None:
            return [message]
        if seq < self._next or seq in self._held:
            return []  # twice, or after it was given up
        self._held[seq] = message
        self._last = max(self._last, seq)
        ready = self._ready()
        self._wait(now, moved=bool(ready))
        if len(self._held) > self._most:
            return ready + self.give_up(now)
        return ready

    def beat(self, seq: int | None, now: float) -> None:
        """The service says that `seq` was the last number it sent."""
        if seq is not None and self._next is not None:
            self._last = max(self._last, seq)
            self._wait(now, moved=False)

    def give_up(self, now: float) -> list[Message | MissingMessages]:
        """Take the numbers that are missing next for lost."""
        if self._next is None:
            return []
        found = min(self._held, default=self._last + 1)
        missing = found - self._next
        self._next = found
        ready: list[Message | MissingMessages] = [MissingMessages(missing)] if missing > 0 else []
        ready += self._ready()
        self._wait(now, moved=True)
        return ready

    def end(self, now: float) -> list[Message | MissingMessages]:
        """The connection is over: what was held is handed on, and what is missing lost.

        What is missing behind the last one is not told: the gap to the next connection
        begins there.
        """
        ready: list[Message | MissingMessages] = []
        while self._held:
            ready += self.give_up(now)
        self.begin(None)
        self._since = None
        return ready

    def _ready(self) -> list[Message | MissingMessages]:
        ready: list[Message | MissingMessages] = []
        while self._next is not None and (message := self._held.pop(self._next, None)) is not None:
            ready.append(message)
            self._next += 1
        return ready

    def _wait(self, now: float, *, moved: bool) -> None:
        if self._next is None or self._last < self._next:
            self._since = None
        elif self._since is None or moved:
            self._since = now
