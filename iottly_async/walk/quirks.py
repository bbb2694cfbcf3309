"""A server's deviations from its documents, as walks find them out.

All segments of a session's walks share one `Quirks`. Where a message could be lost because a
documented promise is not kept, the promise is relied on only after an answer has shown that it
is kept. Until then, requests are made so that they do not depend on it.
"""

from __future__ import annotations

from typing import Final

from .axis import SECOND, round_down

_ROUNDINGS: Final = (SECOND, 60 * SECOND, 3600 * SECOND, 86_400 * SECOND, 0)

_LEAST_LIMIT: Final = 10
"""No server is assumed to limit pages to fewer messages than this."""


class Quirks:
    """How a server treats the bounds, sizes and page numbers of requests.

    Attributes:
        rounding_ms: milliseconds to which the server rounds a bound outward; 1 if it does not
            round, 0 if it ignores the bound.
        upper_exact: whether an answer has shown that an upper bound is kept to the millisecond.
        lower_inclusive: whether a message has come that lies exactly on a lower bound.
        lower_exclusive: whether such a message was missing.
        numbers_used: whether an answer has shown that the server uses page numbers.
        numbers_verified: whether an answer has shown that page numbers count right.
        short_pages: whether a page shorter than requested was followed by more messages.
        clock_warned: whether a warning said that the clock of `Date` is not the one that
            stamps messages.
    """

    __slots__ = (
        "_last_length",
        "_longest",
        "_trusted",
        "clock_warned",
        "lower_exclusive",
        "lower_inclusive",
        "numbers_used",
        "numbers_verified",
        "rounding_ms",
        "short_pages",
        "upper_exact",
    )

    def __init__(self) -> None:
        self.rounding_ms = 1
        self.upper_exact = self.lower_inclusive = self.lower_exclusive = False
        self.numbers_used = self.numbers_verified = self.short_pages = False
        self.clock_warned = False
        self._longest = self._last_length = self._trusted = 0

    def is_full(self, length: int, size: int) -> bool:
        """Decide whether more messages may follow a page.

        A server may limit pages to a size of its own. A page that is shorter than another one
        was not limited; nor was a page as long as the last pages of two walks.

        Args:
            length: messages of the page.
            size: messages that were requested.
        """
        longest, self._longest = self._longest, max(self._longest, length)
        if length >= size or (length and self.short_pages):
            return True
        return length >= max(longest, _LEAST_LIMIT) and length > self._trusted

    def note_last_page(self, length: int) -> None:
        """Note that nothing followed a page of `length` that the server could have limited."""
        if length == self._last_length:
            self._trusted = max(self._trusted, length)
        self._last_length = length

    def note_rounding(self, anchor: int, first: int) -> None:
        """Note that a page requested from `anchor` on began before it, at `first`."""
        self.rounding_ms = next(ms for ms in _ROUNDINGS if round_down(anchor, ms) <= first)
