"""Where the turns come from: ways to tell how many more requests may go, pure.

Each counts in ticket numbers: with `ended` tickets over, tickets up to number
``ended + left`` may go, since all that were granted and have not ended are in flight.
"""

from __future__ import annotations

from collections import deque
from math import inf
from typing import Protocol

__all__ = ["ENDLESS", "FixedWindow", "Supply", "Unlimited"]

ENDLESS = 1 << 60
"""A ticket number that is never reached."""


class Supply(Protocol):
    """What the bucket asks of a way to count."""

    def left(self, now: float) -> float:
        """How many may be counted at most, by all that has ended so far."""

    def suspected(self, granted: int, now: float) -> None:
        """A ticket ended and the server may have counted it, but nothing tells."""

    def refused(self, in_flight: int, now: float) -> None:
        """A 429 began an episode."""

    def next_at(self, missing: float, now: float) -> float:
        """When `missing` more will be left, by the supply's own reckoning; inf: not by itself."""


class FixedWindow:
    """The least Remaining seen in the server's current window.

    Alone on the key this never grants too many, however answers are reordered: the
    answer with the least Remaining was made last, so everything counted after it is
    still in flight.
    """

    __slots__ = ("_ghosts", "_learned", "least")

    def __init__(self, remaining: int, granted: int) -> None:
        self._ghosts: deque[int] = deque()
        self.least = remaining
        """The least Remaining that was seen in this window."""
        self._learned = granted

    def turn(self, remaining: int, granted: int) -> None:
        """A newer window began: what the older one had left is void."""
        self.least = remaining
        self._learned = granted

    def left(self, now: float) -> int:
        """The least seen, less what vanished and may have been counted since."""
        return self.least - len(self._ghosts)

    def heard(self, remaining: int, number: int, granted: int, overlap: int) -> bool:
        """Ticket `number` was answered, with `remaining` left when the answer was made.

        `overlap` tickets ended between its granting and now: at most so many were
        counted after the answer was made and have ended already.

        Returns:
            True where more is left than any fixed window can have; nothing is learned then.
        """
        ghosts = self._ghosts
        while ghosts and ghosts[0] < number:  # vanished before this one was granted:
            ghosts.popleft()  # its answer counts them, if they were counted at all
        if remaining < self.least:
            self.least = remaining
            self._learned = granted
            return False
        # 1. Made after the least one, 2. and yet more is left.
        return number > self._learned and remaining > self.least + overlap

    def repeats(self, remaining: int, number: int, granted: int, overlap: int) -> bool:
        """`heard`, for the usual answer; False where it has to be heard with more care."""
        if self._ghosts:
            return False
        if remaining < self.least:
            self.least = remaining
            self._learned = granted
            return True
        return number <= self._learned or remaining <= self.least + overlap

    def suspected(self, granted: int, now: float) -> None:
        """Until an answer to a later ticket is here, it may be missing from the minimum."""
        self._ghosts.append(granted)

    def refused(self, in_flight: int, now: float) -> None:
        """Remaining says it already."""

    def next_at(self, missing: float, now: float) -> float:
        """Nothing comes back within a window."""
        return inf


class Unlimited:
    """No limit is known; after a refusal no more may be in flight than were taken before."""

    __slots__ = ("_width",)

    def __init__(self) -> None:
        self._width: int | None = None

    def left(self, now: float) -> int:
        """How many may be in flight at once."""
        return ENDLESS if self._width is None else self._width

    def suspected(self, granted: int, now: float) -> None:
        """Each answer widens what a refusal narrowed."""
        if self._width is not None:
            self._width += 1

    def refused(self, in_flight: int, now: float) -> None:
        """Half of what was in flight may be, so that no herd runs into the limit again."""
        self._width = max(1, in_flight // 2)

    def next_at(self, missing: float, now: float) -> float:
        """An answer opens it, not the time."""
        return inf
