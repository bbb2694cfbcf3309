"""The gate that a 429 shuts for everybody, pure.

One episode, one wait: answers to requests granted before the gate shut belong to the
same episode. The gate is a time and not an event, so no cancelled task can leave it shut;
when the time has come one probe goes, and its answer opens the gate or shuts it again.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf

__all__ = ["Cooldown"]

BACKOFF_FIRST = 0.1
BACKOFF_MOST = 30.0
"""Seconds of the first and of the longest wait where the server does not say how long."""

LONGEST = 3600.0
"""Whatever the server says, an hour later one probe may ask again."""


class Cooldown:
    """Shut from the start (nothing is known: one probe goes) and by each 429."""

    __slots__ = (
        "_fails",
        "_opened",
        "_random",
        "_wait",
        "episodes",
        "refusals",
        "seq",
        "shut",
        "until",
    )

    def __init__(self, random: Callable[[], float], *, shut: bool) -> None:
        self.shut = shut
        self.until = -inf
        """Monotonic time at which a probe may go, while shut."""
        self.seq = 0
        """Answers to tickets up to this number belong to the episode that shut the gate."""
        self.refusals = 0
        self.episodes = 0
        self._random = random
        self._fails = 0
        self._opened = -inf
        self._wait = 0.0

    def refused(self, number: int, granted: int, now: float, wait: float | None) -> bool:
        """Take a 429 to ticket `number` into account.

        Args:
            number: the ticket's.
            granted: the highest ticket granted so far.
            now: monotonic.
            wait: seconds that the server asks for; None where it does not say.

        Returns:
            True where this is a new episode and the gate was shut for it.
        """
        self.refusals += 1
        if number <= self.seq:
            return False
        self.episodes += 1
        if wait is None:
            wait = self._back_off(now)
        else:
            self._fails = 0
        self._wait = min(wait, LONGEST)
        self.shut, self.until, self.seq = True, now + self._wait, granted
        return True

    def _back_off(self, now: float) -> float:
        # A herd that runs into the limit right after the gate opened is the same trouble
        # going on; after twice the last wait in peace it is a new one.
        if not self.shut and now - self._opened > 2 * self._wait + 1.0:
            self._fails = 0
        wait = min(BACKOFF_MOST, BACKOFF_FIRST * float(2**self._fails))
        self._fails = min(self._fails + 1, 16)
        return wait * (1.0 + 0.5 * self._random())  # jitter only ever adds

    def answered(self, number: int, now: float) -> bool:
        """Take an answer other than 429 into account; True where it opened the gate."""
        if not self.shut or number <= self.seq:
            return False
        self.shut = False
        self._opened = now
        return True
