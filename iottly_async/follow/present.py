"""The present, from which devices without a cursor are followed. Pure.

`Date` may come from another clock than the one that stamps messages (D11). So the present of a
device is never later than just behind its newest message: what comes after it is new, whatever
`Date` says.
"""

from __future__ import annotations

from math import inf


class Present:
    """The moment at which following began.

    Times of the server's clocks are milliseconds, those of the monotonic clock seconds.

    Attributes:
        began_at: monotonic, when following began.
    """

    __slots__ = ("_stamped", "began_at")

    def __init__(self, began_at: float) -> None:
        self.began_at = began_at
        self._stamped = -inf

    def behind(self, newest: int | None, seen_at: float, date: int) -> int:
        """From where a device is followed that was listed when following began.

        Args:
            newest: its newest message; None if it has none.
            seen_at: monotonic, when that was found out.
            date: what the clock of `Date` showed when following began.
        """
        if newest is None:
            return 0
        # So far, at least, was the clock that stamps when following began.
        self._stamped = max(self._stamped, newest - (seen_at - self.began_at) * 1000)
        return min(date, newest + 1)

    def added(self, date: int) -> int:
        """From where a device is followed that was listed later.

        All that it has sent since following began is wanted, and is not older than the newest
        message that the other devices had then.
        """
        return 0 if self._stamped == -inf else min(date, int(self._stamped) + 1)
