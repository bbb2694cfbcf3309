"""When a device will send next, by when it has sent: pure.

No law is assumed. The last intervals between its messages are kept, and what they say is
asked: given how long it has been silent, how old would its oldest unseen message be on
average, if we looked at a certain time? A device that sends every five minutes gives a
sharp answer, and is looked at just after its time; one that sends at random gives a soft
one, and is looked at the more often the more it sends. One that is silent for longer than
ever is looked at again after as long as it is overdue, and so twice as late each time.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from statistics import fmean, pstdev
from typing import Final, Literal

Rhythm = Literal["steady", "unknown", "none"]

_KEPT: Final = 16
_ENOUGH: Final = 4
_STEADY: Final = 0.25
_GONE: Final = 8.0
_NEVER: Final = 86_400.0
_WEIGHT: Final = 0.2


class Traffic:
    """One device's traffic; times are seconds of the server's clock.

    Args:
        start: from when on it is watched.
        resolution: seconds; messages closer than this count as one burst.
    """

    __slots__ = ("_begun", "_bursts", "_gaps", "_last", "_resolution", "seen_until")

    def __init__(self, start: float, resolution: float) -> None:
        self._resolution = resolution
        self._gaps: deque[float] = deque(maxlen=_KEPT)
        self._last = start
        self._begun = False
        self._bursts = 0.0
        self.seen_until = start
        """Everything sent before it has been seen."""

    def sent(self, times: Iterable[float]) -> None:
        """Messages were found, in order of time."""
        for time in times:
            gap = time - self._last
            if self._begun and gap < 0.0:
                continue  # a late one says nothing of the rhythm
            if self._begun:
                close = gap < self._resolution
                self._bursts += _WEIGHT * (close - self._bursts)
                if not close:
                    self._gaps.append(gap)
            self._begun = True
            self._last = time

    @property
    def _silence(self) -> float:
        return max(self.seen_until - self._last, 0.0)

    @property
    def rhythm(self) -> Rhythm:
        """Whether it sends steadily, not at all, or as nobody can tell."""
        longest = max(self._gaps, default=_NEVER)
        if not self._begun or self._silence > _GONE * longest:
            return "none"
        known = len(self._gaps) >= _ENOUGH and self._silence <= longest
        return "steady" if known and self._spread < _STEADY * fmean(self._gaps) else "unknown"

    @property
    def _spread(self) -> float:
        return pstdev(self._gaps) if len(self._gaps) > 1 else 0.0

    def due(self, goal: float) -> float:
        """When its oldest unseen message would be `goal` seconds old on average."""
        silence = self._silence
        if silence < self._resolution and self._bursts > 0.5:
            return self.seen_until + min(goal, self._resolution)
        likely = sorted(gap for gap in self._gaps if gap > silence)
        if not likely:
            over = silence - max(self._gaps, default=0.0)
            return self.seen_until + max(over, self._spread, self._resolution)
        # The mean of max(0, t - gap) over all gaps is piecewise linear, and rises.
        total = 0.0
        for count, gap in enumerate(likely, 1):
            total += gap
            after = (len(likely) * goal + total) / count
            if count == len(likely) or after <= likely[count]:
                break
        return self._last + after
