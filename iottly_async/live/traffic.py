"""When a device will send next, by when it has sent: pure.

No law is assumed. The last intervals between its messages are kept, and what they say is
asked: given how long it has been silent, how old would its oldest unseen message be on
average, if we looked at a certain time? A device that sends every five minutes gives a
sharp answer, and is looked at just after its time; one that sends at random gives a soft
one, and is looked at the more often the more it sends. One that falls silent is looked at
after its silence has doubled, and doubled again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Final

_KEPT: Final = 16
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
            if gap < 0.0:
                continue  # a late one says nothing of the rhythm
            if self._begun:
                close = gap < self._resolution
                self._bursts += _WEIGHT * (close - self._bursts)
                if not close:
                    self._gaps.append(gap)
            self._begun = True
            self._last = time

    def due(self, goal: float) -> float:
        """When its oldest unseen message would be `goal` seconds old on average."""
        silence = max(self.seen_until - self._last, 0.0)
        if silence < self._resolution and self._bursts > 0.5:
            return self.seen_until + min(goal, self._resolution)
        likely = sorted(gap for gap in self._gaps if gap > silence)
        if not likely:
            return self.seen_until + max(silence, self._resolution)
        # The mean of max(0, t - gap) over all gaps is piecewise linear, and rises.
        total = 0.0
        for count, gap in enumerate(likely, 1):
            total += gap
            after = (len(likely) * goal + total) / count
            if count == len(likely) or after <= likely[count]:
                break
        return self._last + after
