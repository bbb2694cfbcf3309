"""When the wake-ups of one device are answered by a poll. Pure.

A message is yielded `settle` seconds after its time at the earliest. So a poll answers a
wake-up if it begins at least `settle` seconds after it. Wake-ups that come close together
share a poll. A new wake-up never delays the poll of an earlier one: otherwise a doorbell
that rings without end would prevent every poll.
"""

from __future__ import annotations

from collections import deque
from math import ceil, inf
from typing import Final

_STEPS: Final = 8
"""Wake-ups within this part of `settle` share a poll."""

_DELIVERY: Final = 0.05
"""Seconds that pass between a message and its wake-up, usually."""

_RETRY_PAUSES: Final = (0.01, 0.1, 0.4, 1.0)
"""Seconds before each further poll for the same wake-up."""


class _SharedPoll:
    """A poll that answers several wake-ups.

    Attributes:
        due: when it is due, monotonic.
        count: its wake-ups that are not yet answered.
    """

    __slots__ = ("count", "due")

    def __init__(self, due: float) -> None:
        self.due = due
        self.count = 1


class WakeUps:
    """The wake-ups of one device; times are monotonic.

    Args:
        settle: seconds after a wake-up before a poll can answer it.
    """

    __slots__ = ("_lead", "_pending", "_polled", "_retries", "_retry_at", "_settle", "_step")

    def __init__(self, settle: float) -> None:
        self._settle = settle
        self._step = settle / _STEPS
        self._pending: deque[_SharedPoll] = deque()
        self._polled: deque[_SharedPoll] = deque()
        self._retry_at: float | None = None
        self._lead = 0.0
        self._retries = 0

    def add(self, now: float) -> None:
        """Record a wake-up."""
        due = now + self._settle
        pending = self._pending
        if self._step:
            due = ceil(due / self._step) * self._step
        elif pending:
            pending[-1].due = due
        if pending and pending[-1].due >= due:
            pending[-1].count += 1
        else:
            pending.append(_SharedPoll(due))

    @property
    def due(self) -> float | None:
        """When the next poll is due; None if all wake-ups are answered."""
        if self._pending and self._retry_at is not None:
            return min(self._pending[0].due, self._retry_at)
        return self._pending[0].due if self._pending else self._retry_at

    def poll_begins(self, now: float) -> None:
        """A poll begins: it is for the wake-ups that are due."""
        self._retry_at = None
        while self._pending and self._pending[0].due <= now:
            self._polled.append(self._pending.popleft())
            self._retries = 0
        if self._polled:
            self._lead = now - self._polled[-1].due

    def poll_ended(self, now: float, *, doubt: float, found: int = 0, newest: float = -inf) -> None:
        """A poll has ended: keep the wake-ups that it did not answer.

        The poll read up to the server's present, which is known to `doubt` seconds. If it
        began less than that after a wake-up, it may have missed the message, and is
        repeated. It is not repeated if it found a message for each wake-up, the last of
        them as new as its wake-up.

        Args:
            now: monotonic.
            doubt: seconds.
            found: messages that the poll yielded.
            newest: when the newest of them was sent, monotonic.
        """
        # Wake-ups that came during the poll keep their own: it may have been too early for them.
        polled = self._polled
        sent = newest + self._settle + self._step + doubt + _DELIVERY
        while polled and found >= polled[0].count and sent >= polled[0].due:
            found -= polled.popleft().count
        if not polled:
            return
        polled[0].count = max(polled[0].count - found, 1)
        if self._lead >= doubt or self._retries == len(_RETRY_PAUSES):
            polled.clear()
        else:
            self._retry_at = now + _RETRY_PAUSES[self._retries]
            self._retries += 1
