"""Tells a proxy's refusals by 503 from an outage (D17). Pure.

A proxy that limits requests answers 503 to some and lets others pass, in turn. In an outage every
answer is a 503. So a 503 counts as a refusal only while requests that were granted after a 503
keep passing.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from .observe import SettledPermit

__all__ = ["Alternation"]

_TURNS: Final = 2
"""So many times a request passed after a 503, before a further 503 is a refusal."""

_WITHIN: Final = 20.0
"""Seconds within which these happened."""

_QUIET: Final = 5.0
"""If nothing has passed for so many seconds, it is an outage."""


class Alternation:
    """Follows the answers of 503, and what passes after them.

    Attributes:
        awaits: whether nothing has passed since the last 503.
    """

    __slots__ = ("_granted", "_turns", "awaits")

    def __init__(self) -> None:
        self.awaits = False
        self._granted = 0  # the highest permit at the first 503 after a request had passed
        self._turns: deque[float] = deque(maxlen=_TURNS)

    def passed(self, number: int, now: float) -> None:
        """A request passed.

        Args:
            number: of its permit.
            now: monotonic.
        """
        if self.awaits and number > self._granted:
            self.awaits = False
            self._turns.append(now)

    def is_refusal(self, answer: SettledPermit, passed_at: float) -> bool:
        """Take in a 503, and say whether it is a refusal.

        Args:
            answer: the 503.
            passed_at: monotonic time at which a request passed last.
        """
        now, turns = answer.now, self._turns
        if not self.awaits:
            self.awaits, self._granted = True, answer.granted
        if len(turns) < _TURNS or now - turns[0] > _WITHIN:
            return False
        return now - passed_at <= _QUIET
