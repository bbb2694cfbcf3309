"""What every way of counting offers, and the way for a server that tells of no quota. Pure.

A supply counts in permits. With `ended` permits over, permits up to number
`ended + left` may be granted, because all that were granted and have not ended are in flight.

A further way of counting (a rate that is learned from refusals, for example) is a class with
the methods of `Supply`; `QuotaState` chooses which one holds.
"""

from __future__ import annotations

from math import inf
from typing import Final, Protocol

__all__ = ["ENDLESS", "Supply", "Unlimited"]

ENDLESS: Final = 1 << 60
"""A number of permits that is never reached."""


class Supply(Protocol):
    """One way of counting the requests that may be sent."""

    def left(self, now: float) -> float:
        """How many requests the server may still count, by all that has ended so far."""

    def lost(self, granted: int, now: float) -> None:
        """A request may have been counted, and no answer tells.

        Args:
            granted: the highest permit granted so far.
            now: monotonic.
        """

    def refused(self, in_flight: int, now: float) -> None:
        """A 429 began a cooldown."""

    def next_at(self, missing: float, now: float) -> float:
        """When `missing` more will be left, without another answer; infinity if never."""


class Unlimited:
    """No limit is known. After a refusal, fewer requests may be in flight at once."""

    __slots__ = ("_width",)

    def __init__(self) -> None:
        self._width: int | None = None

    def left(self, now: float) -> int:
        """How many requests may be in flight at once."""
        return ENDLESS if self._width is None else self._width

    def lost(self, granted: int, now: float) -> None:
        """Widen by one what a refusal has narrowed: each request that ends does."""
        if self._width is not None:
            self._width += 1

    def refused(self, in_flight: int, now: float) -> None:
        """Allow half of what was in flight, so that the next burst is not refused as well."""
        self._width = max(1, in_flight // 2)

    def next_at(self, missing: float, now: float) -> float:
        """Infinity: only an answer makes room."""
        return inf
