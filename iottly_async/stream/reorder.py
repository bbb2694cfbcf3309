"""Puts the messages of one connection in the order of their numbers. Pure.

The service numbers messages 1, 2, 3, ... in each connection (D9). A number that is skipped
may still be on its way, if something on the network reorders frames. So the messages after
it are held for a moment. If it does not come in that time, it counts as lost, and it is
dropped if it comes later.
"""

from __future__ import annotations

from typing import Generic, TypeVar

from attrs import frozen

M = TypeVar("M")


@frozen
class MissingMessages:
    """Stands for messages that were sent and did not come.

    Attributes:
        count: the number of messages.
    """

    count: int


class ReorderBuffer(Generic[M]):
    """Holds the messages that came too early, until the ones before them come or are given up.

    Args:
        max_wait: seconds to wait for a missing number.
        max_held: the largest number of messages that are held; beyond it, missing numbers
            are given up at once. Default 10,000.
    """

    __slots__ = ("_held", "_last", "_max_held", "_max_wait", "_missing_since", "_next")

    def __init__(self, *, max_wait: float, max_held: int = 10_000) -> None:
        self._max_wait = max_wait
        self._max_held = max_held
        self._held: dict[int, M] = {}
        self._next: int | None = None
        self._last = 0
        self._missing_since: float | None = None

    def begin(self, seq: int | None) -> None:
        """Start a connection whose next message has the number after `seq`.

        Args:
            seq: the number before the first message; None if messages are not numbered.
        """
        self._held.clear()
        self._missing_since = None
        self._next = None if seq is None else seq + 1
        self._last = seq or 0

    @property
    def deadline(self) -> float | None:
        """The monotonic time at which to call `give_up`; None if no number is missing."""
        return None if self._missing_since is None else self._missing_since + self._max_wait

    def push(self, message: M, seq: int | None, now: float) -> list[M | MissingMessages]:
        """Add a message that came; return what is now in order."""
        if seq is None or self._next is None:
            return [message]
        if seq < self._next or seq in self._held:
            return []  # It came twice, or after it was given up.
        self._held[seq] = message
        self._last = max(self._last, seq)
        ready = self._pop_ready()
        self._set_deadline(now, restart=bool(ready))
        if len(self._held) > self._max_held:
            return ready + self.give_up(now)
        return ready

    def note_sent(self, seq: int | None, now: float) -> None:
        """Record that the service has sent all messages up to the number `seq`."""
        if seq is not None and self._next is not None:
            self._last = max(self._last, seq)
            self._set_deadline(now, restart=False)

    def give_up(self, now: float) -> list[M | MissingMessages]:
        """Declare the next missing numbers lost; return that and what is then in order."""
        if self._next is None:
            return []
        found = min(self._held, default=self._last + 1)
        missing = found - self._next
        self._next = found
        ready: list[M | MissingMessages] = [MissingMessages(missing)] if missing > 0 else []
        ready += self._pop_ready()
        self._set_deadline(now, restart=True)
        return ready

    def end(self) -> list[M | MissingMessages]:
        """End the connection; return all held messages, and the numbers missing among them.

        Numbers that are missing after the last held message are not returned: the gap
        between this connection and the next one covers them.
        """
        ready: list[M | MissingMessages] = []
        while self._held:
            ready += self.give_up(0.0)
        self.begin(None)
        return ready

    def _pop_ready(self) -> list[M | MissingMessages]:
        ready: list[M | MissingMessages] = []
        while self._next is not None and (message := self._held.pop(self._next, None)) is not None:
            ready.append(message)
            self._next += 1
        return ready

    def _set_deadline(self, now: float, *, restart: bool) -> None:
        if self._next is None or self._last < self._next:
            self._missing_since = None
        elif self._missing_since is None or restart:
            self._missing_since = now
