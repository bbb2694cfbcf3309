"""When a device is expected to send next, from when it has sent before. Pure.

No distribution is assumed. The last intervals between its messages are kept. Given how long
the device has been silent, they tell how old its oldest unseen message would be on average
if it was polled at a certain time. It is polled when that age reaches the goal.

For a device that sends every five minutes, that time is just after its next message. A
device that sends at random is polled the more often, the more it sends. A device that has
been silent for longer than ever is polled again after as long as it is overdue, so the
pause doubles each time.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from statistics import fmean, pstdev
from typing import Final, Literal

Rhythm = Literal["steady", "irregular", "silent"]

_INTERVALS: Final = 16
"""Intervals that are kept."""

_ENOUGH: Final = 4
"""Intervals that are needed before a device counts as steady."""

_STEADY: Final = 0.25
"""A steady device's intervals deviate by less than this part of their mean."""

_SILENT: Final = 8.0
"""A device counts as silent after this many times its longest interval."""

_DAY: Final = 86_400.0
"""Seconds that stand for the longest interval where none is known."""

_BURST_WEIGHT: Final = 0.2
"""Weight of the latest message in the part of messages that come in bursts."""


class Traffic:
    """The traffic of one device; times are seconds of the server's clock.

    Args:
        start: when observation begins.
        resolution: seconds; messages closer together than this are one burst.

    Attributes:
        seen_until: everything sent before this time has been seen.
    """

    __slots__ = ("_bursts", "_intervals", "_last", "_resolution", "_started", "seen_until")

    def __init__(self, start: float, resolution: float) -> None:
        self._resolution = resolution
        self._intervals: deque[float] = deque(maxlen=_INTERVALS)
        self._last = start
        self._started = False
        self._bursts = 0.0
        self.seen_until = start

    def observe(self, times: Iterable[float]) -> None:
        """Record when messages were sent, in order of time."""
        for time in times:
            interval = time - self._last
            if self._started and interval < 0.0:
                continue  # it became visible late, and tells nothing about the rhythm
            if self._started:
                in_burst = interval < self._resolution
                self._bursts += _BURST_WEIGHT * (in_burst - self._bursts)
                if not in_burst:
                    self._intervals.append(interval)
            self._started = True
            self._last = time

    @property
    def _silence(self) -> float:
        return max(self.seen_until - self._last, 0.0)

    @property
    def _spread(self) -> float:
        return pstdev(self._intervals) if len(self._intervals) > 1 else 0.0

    @property
    def rhythm(self) -> Rhythm:
        """Whether the device sends at steady intervals, irregularly, or not at all."""
        longest = max(self._intervals, default=_DAY)
        if not self._started or self._silence > _SILENT * longest:
            return "silent"
        known = len(self._intervals) >= _ENOUGH and self._silence <= longest
        steady = known and self._spread < _STEADY * fmean(self._intervals)
        return "steady" if steady else "irregular"

    def next_poll(self, goal: float) -> float:
        """When the oldest unseen message would be `goal` seconds old on average."""
        silence = self._silence
        if silence < self._resolution and self._bursts > 0.5:
            return self.seen_until + min(goal, self._resolution)
        possible = sorted(interval for interval in self._intervals if interval > silence)
        if not possible:
            overdue = silence - max(self._intervals, default=0.0)
            return self.seen_until + max(overdue, self._spread, self._resolution)
        # The mean of max(0, t - interval) over all intervals rises, and is linear between them.
        total = 0.0
        for count, interval in enumerate(possible, 1):
            total += interval
            after = (len(possible) * goal + total) / count
            if count == len(possible) or after <= possible[count]:
                break
        return self._last + after
