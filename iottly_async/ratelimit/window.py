"""Which of the server's windows an answer speaks of, and when that window ends, pure.

A window is known by its Reset. Whether the server counts in fixed windows or keeps a
rolling account is read off how Reset moves: on time and with the whole quota given back,
or early, step by step, while requests are spent.
"""

from __future__ import annotations

from enum import Enum

from .headers import Observation

__all__ = ["ROUNDING", "Place", "RefusedWindows", "ServerWindow"]

GUARD = 0.02
"""Seconds after Reset before anything is sent into the next window."""

_SAME = 0.5
_SAME_RELATIVE = 1.1
"""Resets this close together are one window: half the unit, or what rounding of delta
seconds and the way of an answer can make of one moment."""

ROUNDING = 1.0
"""Reset has whole seconds: the true end lies up to this much before or after it."""

_PAST, _FUTURE = 5.0, 86_400.0
"""A Reset further back or further ahead than this is nonsense."""


class Place(Enum):
    """Where an answer's window lies against the one known."""

    OLDER = "older"
    SAME = "same"
    NEWER = "newer"
    NONSENSE = "nonsense"


class ServerWindow:
    """The current window. Times of the server's clock, unless `relative`: then monotonic."""

    __slots__ = ("known", "least", "limit", "longest", "relative", "reset")

    def __init__(self) -> None:
        self.known = False
        self.limit = 0
        self.reset = 0.0
        self.relative = False
        self.least = 0.0
        self.longest = ROUNDING
        """Bounds on a window's length in seconds, as far as the answers tell; whole seconds
        cannot speak of less than one."""

    def place(self, notice: Observation, now: float, server_now: float) -> Place:
        """Where the window of `notice` lies; does not take it over."""
        if notice.relative:
            reset, here = now + notice.reset, now
        else:
            reset, here = notice.reset, server_now
        if not here - _PAST <= reset <= here + _FUTURE:
            return Place.NONSENSE
        if not self.known or notice.relative != self.relative:
            return Place.NEWER
        if reset > self.reset + self.tolerance:
            return Place.NEWER
        return Place.SAME if reset >= self.reset - self.tolerance else Place.OLDER

    @property
    def tolerance(self) -> float:
        """Seconds that two Resets of one window lie apart at most."""
        return _SAME_RELATIVE if self.relative else _SAME

    def is_exactly(self, notice: Observation) -> bool:
        """Whether `notice` repeats this window's Reset and limit: only Remaining is news."""
        return notice.reset == self.reset and notice.limit == self.limit and not notice.relative

    def take_over(
        self, notice: Observation, way: float, now: float, server_now: float, server_latest: float
    ) -> None:
        """Make the window of `notice` the current one; its request was sent `way` seconds ago."""
        if notice.relative:
            reset, here, latest = now + notice.reset, now, now
        else:
            reset, here, latest = notice.reset, server_now, server_latest
        if self.known and notice.limit is not None and notice.limit != self.limit:
            self.least, self.longest = 0.0, ROUNDING
        self.note_limit(notice)
        self.known, self.relative, self.reset = True, notice.relative, reset
        if notice.window is not None:
            self.least = self.longest = notice.window
        else:
            self.least = max(self.least, reset - ROUNDING - latest)
            self.longest = max(self.longest, reset - here + way)

    def note_limit(self, notice: Observation) -> None:
        """Take the limit over; where the field does not say it, the most ever left is it."""
        self.limit = max(self.limit, notice.remaining) if notice.limit is None else notice.limit

    def refine(self, notice: Observation, now: float) -> None:
        """Learn from another answer of the same window: of delta seconds, which are rounded
        up and age on their way, the soonest end is the sharpest."""
        if self.relative:
            self.reset = min(self.reset, now + notice.reset)

    def moved_early(self, now: float, server_latest: float) -> bool:
        """Whether Reset moved on before its time, by more than rounding explains."""
        here = now if self.relative else server_latest
        return here < self.reset - ROUNDING

    def ends(self, now: float, server_now: float) -> float:
        """Monotonic time of Reset, and the guard; may lie in the past."""
        end = self.reset if self.relative else now + self.reset - server_now
        return end + GUARD


class RefusedWindows:
    """How long windows are, of which nothing is told but to who is refused.

    A refusal in the middle of a window tells only what is left of it; the time between two
    Resets is so many windows.
    """

    __slots__ = ("_least", "reset")

    def __init__(self) -> None:
        self.reset: float | None = None
        """The last Reset that was told; None before the first."""
        self._least = 0.0

    def length(self, window: ServerWindow) -> float:
        """The least length in seconds that fits all that was told, `window` the last of it."""
        before, self.reset = self.reset, window.reset
        self._least = max(self._least, window.longest)
        windows = 0 if before is None else int((window.reset - before) / self._least)
        if before is None or windows < 1:
            return self._least
        return (window.reset - before) / windows
