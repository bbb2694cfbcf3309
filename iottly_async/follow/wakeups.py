"""WakeUps of a doorbell that wait for their look: pure.

A message can be handed out only `settle` seconds after its time, so a ring is answered
by the first look that begins so long after it. WakeUps in a row share looks, but none puts
another off: a bell that never stops would stop all looks.
"""

from __future__ import annotations

from collections import deque
from math import ceil, inf
from typing import Final

_PARTS: Final = 8
_DELIVERY: Final = 0.05
"""Seconds from a message to its ring, as a rule."""

_RETRIES: Final = (0.01, 0.1, 0.4, 1.0)


class _SharedPoll:
    """WakeUps that share a look: when it is due, and how many of them are not answered."""

    __slots__ = ("count", "due")

    def __init__(self, due: float) -> None:
        self.due = due
        self.count = 1


class WakeUps:
    """The rings for one device; times are monotonic.

    Args:
        settle: seconds after a ring from which on a look answers it.
    """

    __slots__ = ("_grain", "_lead", "_looked_for", "_retry", "_settle", "_shares", "_tried")

    def __init__(self, settle: float) -> None:
        self._settle = settle
        self._grain = settle / _PARTS
        self._shares: deque[_SharedPoll] = deque()
        self._looked_for: deque[_SharedPoll] = deque()
        self._retry: float | None = None
        self._lead = 0.0
        self._tried = 0

    def ring(self, now: float) -> None:
        """The bell rang."""
        due = now + self._settle
        shares = self._shares
        if self._grain:
            due = ceil(due / self._grain) * self._grain
        elif shares:
            shares[-1].due = due
        if shares and shares[-1].due >= due:
            shares[-1].count += 1
        else:
            shares.append(_SharedPoll(due))

    @property
    def due(self) -> float | None:
        """When to look for the next one; None where all are answered."""
        if self._shares and self._retry is not None:
            return min(self._shares[0].due, self._retry)
        return self._shares[0].due if self._shares else self._retry

    def begin(self, now: float) -> None:
        """A look begins, for what is due."""
        self._retry = None
        while self._shares and self._shares[0].due <= now:
            self._looked_for.append(self._shares.popleft())
            self._tried = 0
        if self._looked_for:
            self._lead = now - self._looked_for[-1].due

    def ended(self, now: float, *, doubt: float, brought: int = 0, newest: float = -inf) -> None:
        """A look has ended, which read up to a moment known to `doubt` seconds.

        One that began less than that after its ring may have stopped short of the message
        that was rung for, and is made again; unless it brought one for each ring, and the
        last of them as new as the ring.

        Args:
            now: monotonic.
            doubt: seconds.
            brought: messages that the look handed out.
            newest: when the newest of them was sent, monotonic.
        """
        # WakeUps that came meanwhile keep their look: nobody knows whether it was theirs.
        looked_for = self._looked_for
        sent = newest + self._settle + self._grain + doubt + _DELIVERY
        while looked_for and brought >= looked_for[0].count and sent >= looked_for[0].due:
            brought -= looked_for.popleft().count
        if not looked_for:
            return
        looked_for[0].count = max(looked_for[0].count - brought, 1)
        if self._lead >= doubt or self._tried == len(_RETRIES):
            self._looked_for.clear()
        else:
            self._retry = now + _RETRIES[self._tried]
            self._tried += 1
