"""A range of time cut into bins of one length: what coverage counts rows by. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from math import ceil

from attrs import frozen

from ..models.cursor import Interval


@frozen(kw_only=True)
class TimeGrid:
    """The range, cut into stretches of one length.

    Attributes:
        start: milliseconds since the epoch.
        width: of a stretch, in milliseconds.
        bins: how many there are.
        end: of the range, within the last stretch.
    """

    start: int
    width: int
    bins: int
    end: int

    @classmethod
    def over(cls, start: int, end: int, bins: int) -> TimeGrid:
        """At most so many stretches from `start` to `end`."""
        length = max(end - start, 1)
        width = ceil(length / bins)
        return cls(start=start, width=width, bins=ceil(length / width), end=max(end, start + 1))

    def stretch(self, index: int) -> Interval:
        """One of them."""
        low = self.start + index * self.width
        return low, min(low + self.width, self.end)

    def gathered(self, rows: Iterable[tuple[str, int, int]]) -> dict[str, list[int]]:
        """Counts by device, from rows of device, stretch and count; others are left out."""
        counts: dict[str, list[int]] = {}
        for device_id, place, count in rows:
            if 0 <= place < self.bins:
                counts.setdefault(device_id, [0] * self.bins)[int(place)] += count
        return counts
