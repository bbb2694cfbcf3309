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

_WIDTH_FIRST: Final = 10
"""Requests in flight at first, as TCP has it (RFC 6928)."""


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
    """No limit is known. How many requests are in flight at once grows with each that ends.

    It begins with ten, so that a limit that nothing tells of refuses few, and doubles with each
    round trip. After a refusal that asks for a pause it goes on with half of what was in flight.

    Args:
        endless: whether the caller knows that there is no limit.
    """

    __slots__ = ("_width",)

    def __init__(self, *, endless: bool = False) -> None:
        self._width = ENDLESS if endless else _WIDTH_FIRST

    def left(self, now: float) -> int:
        """How many requests may be in flight at once."""
        return self._width

    def lost(self, granted: int, now: float) -> None:
        """Widen by one: each request that ends does."""
        self._width += 1

    def refused(self, in_flight: int, now: float) -> None:
        """Allow half of what was in flight, so that the next burst is not refused as well."""
        self._width = max(1, in_flight // 2)

    def next_at(self, missing: float, now: float) -> float:
        """Infinity: only an answer makes room."""
        return inf
