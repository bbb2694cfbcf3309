"""Rings of a doorbell that wait for their look: pure.

A message can be handed out only `settle` seconds after its time, so a ring is answered
by the first look that begins so long after it. Rings in a row share looks, but none puts
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


class Rings:
    """The rings for one device; times are monotonic.

    Args:
        settle: seconds after a ring from which on a look answers it.
    """

    __slots__ = ("_answered", "_dues", "_grain", "_lead", "_retry", "_settle", "_tried")

    def __init__(self, settle: float) -> None:
        self._settle = settle
        self._grain = settle / _PARTS
        self._dues: deque[float] = deque()
        self._retry: float | None = None
        self._answered: float | None = None
        self._lead = 0.0
        self._tried = 0

    def ring(self, now: float) -> None:
        """The bell rang."""
        due = now + self._settle
        dues = self._dues
        if not self._grain:
            dues.clear()
            dues.append(due)
            return
        due = ceil(due / self._grain) * self._grain
        if not dues or dues[-1] < due:
            dues.append(due)

    @property
    def due(self) -> float | None:
        """When to look for the next one; None where all are answered."""
        if self._dues and self._retry is not None:
            return min(self._dues[0], self._retry)
        return self._dues[0] if self._dues else self._retry

    def begin(self, now: float) -> None:
        """A look begins, and answers what is due."""
        self._retry = None
        while self._dues and self._dues[0] <= now:
            self._answered = self._dues.popleft()
            self._tried = 0
        if self._answered is not None:
            self._lead = now - self._answered

    def ended(self, now: float, *, doubt: float, newest: float = -inf) -> None:
        """A look has ended, which read up to a moment known to `doubt` seconds.

        One that began less than that after its ring may have stopped short of the message
        that was rung for, and is made again; unless it brought one of the ring's own time.

        Args:
            now: monotonic.
            doubt: seconds.
            newest: when the newest message that the look brought was sent, monotonic.
        """
        if self._answered is None:
            return
        rung = self._answered - self._settle - self._grain
        brought = newest >= rung - doubt - _DELIVERY
        if brought or self._lead >= doubt or self._tried == len(_RETRIES):
            self._answered = None
        else:
            self._retry = now + _RETRIES[self._tried]
            self._tried += 1
