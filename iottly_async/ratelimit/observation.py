"""One answer as the limiter sees it."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["WAY_MOST", "SettledPermit"]

WAY_MOST = 1.0
"""Seconds that an answer takes at most to be worth learning from."""


class SettledPermit(NamedTuple):
    """One answer, seen from the limiter.

    Attributes:
        number: the ticket's number.
        sent: monotonic; the request was sent then or later.
        now: monotonic; the answer is here.
        wall: the local wall clock at `now`.
        status: HTTP.
        granted: the highest ticket granted so far.
        ended: how many tickets are over, this one counted.
        overlap: tickets that ended since this one was granted, itself not counted.
        probe: whether it was sent to look.
    """

    number: int
    sent: float
    now: float
    wall: float
    status: int
    granted: int
    ended: int
    overlap: int
    probe: bool

    @property
    def in_flight(self) -> int:
        """Tickets that were granted and are not over."""
        return self.granted - self.ended

    @property
    def way(self) -> float:
        """Seconds that it took at most; `sent` may lie far back after a pause."""
        return min(self.now - self.sent, WAY_MOST)
