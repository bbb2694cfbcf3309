"""What cutting windows costs in requests, so that a parallel walk makes hardly more of them.

A page costs what the next one brings again of it; the last page of a part that was cut
off costs what it lacks of a full one.
"""

from __future__ import annotations


class SplitBudget:
    """What a walk in parts has cost so far, in pages, and whether another cut may be made."""

    __slots__ = ("_cuts", "_live", "_missed", "_requests", "_waste")

    def __init__(self) -> None:
        self._requests = self._cuts = self._live = self._missed = 0
        self._waste = 0.0

    def allows(self) -> bool:
        """Whether the cost stays within 4.5 % of the requests and 7, even with one cut more;
        of those that have not ended yet, half a page each is expected."""
        return self._waste + (self._live + 1) / 2 <= 7 + 0.045 * self._requests

    @property
    def misled(self) -> bool:
        """Whether more than a tenth of the cuts brought next to nothing: the messages are
        not spread evenly, and what a window holds cannot be told from its length."""
        return self._missed > 2 + 0.1 * self._cuts

    def page(self, again: float) -> None:
        """A page has come, and this share of one comes again."""
        self._requests += 1
        self._waste += again

    def sounded(self) -> None:
        """A request finds out where the messages end, and another that nothing follows."""
        self._waste += 2

    def cut(self) -> None:
        """A cut was made."""
        self._cuts += 1
        self._live += 1

    def ended(self, last: float, *, missed: bool) -> None:
        """A part that was cut off has ended with this share of a page; `missed`: there was
        next to nothing in it."""
        self._live -= 1
        self._waste += 1 - last
        self._missed += missed
