"""The server's accounting window: which one an answer speaks of, and when it ends. Pure.

A window is known by its `Reset`. Whether the server counts in fixed windows or keeps a
rolling account shows in how `Reset` moves: on time and with the whole quota given back,
or early and step by step while requests are spent.
"""

from __future__ import annotations

from collections import deque
from enum import Enum
from math import inf
from typing import Final

from .headers import Observation

__all__ = ["ROUNDING", "FixedWindow", "Place", "RefusedWindows", "ServerWindow"]

GUARD: Final = 0.02
"""Seconds after `Reset` before anything is sent into the next window."""

ROUNDING: Final = 1.0
"""`Reset` has whole seconds: the true end lies up to this many seconds before or after it."""

_SAME: Final = 0.5
"""Two epoch Resets within this many seconds are one window: half the unit."""

_SAME_RELATIVE: Final = 1.1
"""The same for delta seconds, which are rounded and age on their way."""

_PAST: Final = 5.0
_FUTURE: Final = 86_400.0
"""A Reset further in the past or in the future than these many seconds is nonsense."""


class Place(Enum):
    """Where the window of an answer lies, compared with the window known so far."""

    OLDER = "older"
    SAME = "same"
    NEWER = "newer"


class ServerWindow:
    """The current window of the server.

    Attributes:
        known: whether an answer has shown a window.
        limit: requests a window.
        reset: when the window ends: epoch seconds of the server's clock, or the local
            monotonic time if `relative`.
        relative: whether the server gives delta seconds.
        shortest: the window is at least this many seconds long.
        longest: the most seconds to `Reset` that were seen; at least one, because `Reset`
            has whole seconds.
        length: seconds between the Resets of two windows; None until two were seen.
    """

    __slots__ = (
        "_lasts_until", "known", "length", "limit", "longest", "relative", "reset", "shortest",
    )  # fmt: skip

    def __init__(self) -> None:
        self._lasts_until = -inf
        self.known = False
        self.limit = 0
        self.reset = 0.0
        self.relative = False
        self.shortest = 0.0
        self.longest = ROUNDING
        self.length: float | None = None

    @property
    def tolerance(self) -> float:
        """Seconds by which two Resets of one window differ at most."""
        return _SAME_RELATIVE if self.relative else _SAME

    def is_current(self, observation: Observation, now: float) -> bool:
        """Whether an answer surely tells nothing new of the window, which is not over.

        Args:
            observation: of the answer.
            now: monotonic, when it arrived.
        """
        same = observation.reset == self.reset and observation.limit == self.limit
        return same and now < self._lasts_until

    def place(self, observation: Observation, now: float, server_now: float) -> Place | None:
        """Where the window of `observation` lies; None if its Reset is nonsense."""
        if observation.relative:
            reset, here = now + observation.reset, now
        else:
            reset, here = observation.reset, server_now
        if not here - _PAST <= reset <= here + _FUTURE:
            return None
        if not self.known or observation.relative != self.relative:
            return Place.NEWER
        ahead, tolerance = reset - self.reset, self.tolerance
        if ahead > tolerance:
            return Place.NEWER
        return Place.SAME if ahead >= -tolerance else Place.OLDER

    def take_over(
        self, observation: Observation, way: float, now: float, server_now: float, latest: float
    ) -> None:
        """Make the window of `observation` the current one.

        Args:
            observation: of a newer window.
            way: seconds between the request and its answer, at most.
            now: monotonic, when the answer arrived.
            server_now: the server's time then, as a best guess.
            latest: the same, at the latest.
        """
        reset = observation.reset
        if observation.relative:
            reset, server_now, latest = now + reset, now, now
        if self.known and observation.limit is not None and observation.limit != self.limit:
            self.shortest, self.longest, self.length = 0.0, ROUNDING, None
        self.note_limit(observation)
        if observation.window is not None:
            self.shortest = self.longest = self.length = observation.window
        else:
            self.shortest = max(self.shortest, reset - ROUNDING - latest)
            self.longest = max(self.longest, reset - server_now + way)
            if self.known and observation.relative == self.relative:
                self.length = min(self.length or inf, reset - self.reset)
        self.known, self.relative, self.reset = True, observation.relative, reset
        # Delta seconds differ from answer to answer, so none says just the same.
        self._lasts_until = -inf if observation.relative else now + reset - latest

    def refine(self, observation: Observation, now: float) -> None:
        """Learn from another answer of the same window.

        Delta seconds are rounded up and age on their way: the smallest is the sharpest.
        """
        if self.relative:
            self.reset = min(self.reset, now + observation.reset)
        if observation.limit != self.limit:
            self.note_limit(observation)

    def note_limit(self, observation: Observation) -> None:
        """Take over the limit; if the field does not say it, the most ever left is the limit."""
        if observation.limit is None:
            self.limit = max(self.limit, observation.remaining)
        else:
            self.limit = observation.limit

    def moved_early(self, now: float, latest: float) -> bool:
        """Whether Reset moved before its time, by more than rounding explains.

        Args:
            now: monotonic.
            latest: the server's time, at the latest.
        """
        return (now if self.relative else latest) < self.reset - ROUNDING

    def ends(self, now: float, server_now: float) -> float:
        """Monotonic time of Reset, plus the guard; may lie in the past."""
        end = self.reset if self.relative else now + self.reset - server_now
        return end + GUARD


class FixedWindow:
    """Counts permits in the server's current window, by the smallest Remaining seen in it.

    If the key is used here alone, this never grants too many, in whatever order answers
    arrive: the answer with the smallest Remaining was made last, so all requests that were
    counted after it are still in flight.

    Attributes:
        least: the smallest Remaining that was seen in this window.
    """

    __slots__ = ("_learned", "_lost", "least")

    def __init__(self, remaining: int, granted: int) -> None:
        self._lost: deque[int] = deque()
        self.least = remaining
        self._learned = granted

    def begin(self, remaining: int, granted: int) -> None:
        """A newer window has begun: what was left of the older one is void."""
        self.least = remaining
        self._learned = granted

    def left(self, now: float) -> int:
        """The smallest Remaining, less the lost requests that it may not include."""
        return self.least - len(self._lost)

    def observe(self, remaining: int, number: int, granted: int, overlap: int) -> bool:
        """Take in that `remaining` requests were left when permit `number` was answered.

        Args:
            remaining: as the answer says.
            number: of the permit.
            granted: the highest permit granted so far.
            overlap: permits that ended since this one was granted. At most this many were
                counted after the answer was made and have ended already.

        Returns:
            True if more is left than a fixed window can have. Nothing is learned then.
        """
        lost = self._lost
        while lost and lost[0] < number:  # this answer was made later, and counts them
            lost.popleft()
        if remaining < self.least:
            self.least = remaining
            self._learned = granted
            return False
        # The answer was made after the one with the least Remaining, and yet more is left.
        return number > self._learned and remaining > self.least + overlap

    def lost(self, granted: int, now: float) -> None:
        """Until a later permit is answered, Remaining may not include the lost request."""
        self._lost.append(granted)

    def refused(self, in_flight: int, now: float) -> None:
        """Do nothing: Remaining says it already."""

    def next_at(self, missing: float, now: float) -> float:
        """Infinity: nothing comes back within a window."""
        return inf


class RefusedWindows:
    """The window's length on a server that gives limit headers with refusals only.

    A refusal in the middle of a window tells only what is left of it. The time between two
    Resets is a whole number of windows.

    Attributes:
        reset: the last Reset that was seen; None before the first.
    """

    __slots__ = ("_least", "reset")

    def __init__(self) -> None:
        self.reset: float | None = None
        self._least = 0.0

    def length(self, window: ServerWindow) -> float:
        """The smallest length, in seconds, that fits all Resets; `window` has the last one."""
        before, self.reset = self.reset, window.reset
        self._least = max(self._least, window.longest)
        windows = 0 if before is None else int((window.reset - before) / self._least)
        if before is None or windows < 1:
            return self._least
        return (window.reset - before) / windows
