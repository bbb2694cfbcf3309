"""Tells a proxy's refusals by 503 from an outage (D17). Pure.

A proxy that limits requests answers 503 to some and lets others pass, in turn. In an outage every
answer is a 503. So a 503 counts as a refusal only while requests that were granted after a 503
keep passing.
"""

from __future__ import annotations

from collections import deque
from math import inf
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
    """Follows the answers of 503 and those that pass."""

    __slots__ = ("_granted", "_passed_at", "_turns")

    def __init__(self) -> None:
        self._granted: int | None = None  # the highest permit at the first 503 after a pass
        self._turns: deque[float] = deque(maxlen=_TURNS)
        self._passed_at = -inf

    def passed(self, number: int, now: float) -> None:
        """A request passed.

        Args:
            number: of its permit.
            now: monotonic.
        """
        self._passed_at = now
        if self._granted is not None and number > self._granted:
            self._granted = None
            self._turns.append(now)

    def is_refusal(self, answer: SettledPermit) -> bool:
        """Take in a 503, and say whether it is a refusal."""
        now, turns = answer.now, self._turns
        if self._granted is None:
            self._granted = answer.granted
        return (
            len(turns) == _TURNS and now - turns[0] <= _WITHIN and now - self._passed_at <= _QUIET
        )
