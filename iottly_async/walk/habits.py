"""What a walk learns of its server on the way, shared by all its windows."""

from __future__ import annotations

from typing import Final

from .axis import SECOND, round_down

_UNITS: Final = (SECOND, 60 * SECOND, 3600 * SECOND, 86_400 * SECOND, 0)


class Habits:
    """A server's ways with the bounds and sizes that it is asked for.

    Attributes:
        unit: milliseconds to which the server rounds a bound outward; 1 if it does not
            round, 0 if it takes no notice of the bound at all.
        exact: whether a moved upper bound has been seen to be kept to the millisecond.
        short_page: the size that the server may cut pages to; 0 once it has been seen
            to give longer ones.
    """

    __slots__ = ("exact", "short_page", "unit")

    def __init__(self, short_page: int) -> None:
        self.unit = 1
        self.exact = False
        self.short_page = short_page

    def is_full(self, length: int, size: int) -> bool:
        """Whether more messages may follow a page of so many when `size` were asked for."""
        if length > self.short_page:
            self.short_page = 0
        return length >= size or (length == self.short_page and length > 0)

    def widen(self, anchor: int, first: int) -> None:
        """Note that a page asked for from `anchor` on began before it, at `first`."""
        self.unit = next(unit for unit in _UNITS if round_down(anchor, unit) <= first)
