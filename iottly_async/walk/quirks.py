"""What walks learn of a server on the way; shared by all the windows of a session's walks.

The documents promise much of this, and a server may keep it otherwise. Where a message
could be lost by taking a promise on trust, it is trusted from the moment on in which an
answer has shown it, and until then asked for in the way that does not depend on it.
"""

from __future__ import annotations

from typing import Final

from .axis import SECOND, round_down

_UNITS: Final = (SECOND, 60 * SECOND, 3600 * SECOND, 86_400 * SECOND, 0)

_FEWEST: Final = 10
"""No server is thought to cut pages to fewer messages than this."""


class Quirks:
    """A server's ways with the bounds, sizes and numbers that it is asked for.

    Attributes:
        unit: milliseconds to which the server rounds a bound outward; 1 if it does not
            round, 0 if it takes no notice of the bound at all.
        exact: whether a moved upper bound has been seen to be kept to the millisecond.
        inclusive: whether a message of the very millisecond of a lower bound has come.
        exclusive: whether one was left out there.
        heeded: whether page numbers have been seen to make a difference.
        numbered: whether page numbers have been seen to count as they should.
        gappy: whether a page shorter than asked for has been seen not to be the last.
    """

    __slots__ = (
        "_ended",
        "_longest",
        "_trusted",
        "exact",
        "exclusive",
        "gappy",
        "heeded",
        "inclusive",
        "numbered",
        "unit",
    )

    def __init__(self) -> None:
        self.unit = 1
        self.exact = self.inclusive = self.exclusive = False
        self.heeded = self.numbered = self.gappy = False
        self._longest = self._ended = self._trusted = 0

    def is_full(self, length: int, size: int) -> bool:
        """Whether more messages may follow a page of so many when `size` were asked for.

        A server may cut pages to a size of its own. A page shorter than another one was
        not cut; nor one as long as two that were the last ones of their walks.
        """
        longest, self._longest = self._longest, max(self._longest, length)
        if length >= size or (length and self.gappy):
            return True
        return length >= max(longest, _FEWEST) and length > self._trusted

    def ended(self, length: int) -> None:
        """Note that nothing followed a page of this length that could have been cut."""
        if length == self._ended:
            self._trusted = max(self._trusted, length)
        self._ended = length

    def widen(self, anchor: int, first: int) -> None:
        """Note that a page asked for from `anchor` on began before it, at `first`."""
        self.unit = next(unit for unit in _UNITS if round_down(anchor, unit) <= first)
