"""Which rate the requests that passed prove, on a server that tells nothing of its quota. Pure.

At a refusal nothing is left. So between two refusals at most as many requests pass as the server
gives back in that time: `passed / seconds` is a rate that it allows at least. It is exact if
requests were always waiting, because then nothing was left to pile up unused.
"""

from __future__ import annotations

from collections import deque
from typing import Final, NamedTuple

__all__ = ["Proof", "Throughput"]

_MARKS: Final = 8
"""So many refusals are looked back at; after a change of the rate, older ones are wrong soon."""

_NOTES: Final = 64
"""So many notes are kept of the requests that passed since the last refusal."""

_PART: Final = 8
"""A note is made each time that this part of the burst has passed."""


class Proof(NamedTuple):
    """A rate that the server allows at least.

    Attributes:
        rate: requests a second; 0 if nothing is proved.
        passed: how many requests prove it.
    """

    rate: float
    passed: float


class Throughput:
    """Counts the requests that pass.

    Attributes:
        passed: how many have passed.
    """

    __slots__ = ("_marks", "_next_note", "_notes", "passed")

    def __init__(self) -> None:
        self.passed = 0
        # Of each refusal: its time, how many had passed, and the highest permit granted.
        self._marks: deque[list[float]] = deque(maxlen=_MARKS)
        self._notes: deque[tuple[float, int]] = deque(maxlen=_NOTES)
        self._next_note = 0.0

    def note(self, number: int, now: float, burst: float) -> None:
        """Count a request that passed.

        Args:
            number: of its permit.
            now: monotonic.
            burst: requests that pass at once after a rest.
        """
        self.passed += 1
        for mark in reversed(self._marks):
            if mark[2] < number:
                break
            mark[1] += 1  # it was in flight at that refusal, and passed before it
        if self.passed >= self._next_note:
            self._next_note = self.passed + burst / _PART
            self._notes.append((now, self.passed))

    def refused(self, granted: int, now: float) -> None:
        """A request was refused: nothing is left now.

        Args:
            granted: the highest permit granted so far.
            now: monotonic.
        """
        self._marks.append([now, self.passed, granted])
        self._notes.clear()

    def forget(self) -> None:
        """The server may have saved up: what passes from now on is no measure of its rate."""
        self._marks.clear()
        self._notes.clear()

    def proof(self, now: float, way: float, burst: float) -> Proof | None:
        """The highest rate that is proved at a refusal.

        Args:
            now: monotonic.
            way: seconds that a request takes there and back.
            burst: requests that pass at once after a rest.

        Returns:
            None before the first refusal, and after `forget`.
        """
        if not self._marks:
            return None
        best = Proof(0.0, 0)
        spare = 0  # of all marks but the oldest, one request may be by chance
        for time, before, _ in self._marks:
            passed = self.passed - before - spare
            spare = 1
            if now + way > time:  # a coarse clock may show no time between two answers
                best = max(best, Proof(passed / (now - time + way), passed))
        for time, before in self._notes:
            passed = self.passed - before - burst
            if now + way > time:
                best = max(best, Proof(passed / (now - time + way), passed))
        return best
