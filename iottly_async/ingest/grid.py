"""A range of time, divided into bins of equal length; coverage counts rows in them. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from math import ceil

from attrs import frozen

from ..models.cursor import Interval


@frozen(kw_only=True)
class TimeGrid:
    """A range of time, divided into bins of equal length. The last bin may be shorter.

    Attributes:
        start: of the range, inclusive, in milliseconds since the epoch.
        width: of a bin, in milliseconds.
        bins: the number of bins.
        end: of the range, exclusive, in milliseconds since the epoch.
    """

    start: int
    width: int
    bins: int
    end: int

    @classmethod
    def over(cls, start: int, end: int, bins: int) -> TimeGrid:
        """The grid from `start` to `end` with at most `bins` bins.

        Args:
            start: inclusive, in milliseconds since the epoch.
            end: exclusive, in milliseconds since the epoch.
            bins: the highest number of bins, at least 1.

        Returns:
            A grid of one millisecond or more.
        """
        length = max(end - start, 1)
        width = ceil(length / bins)
        return cls(start=start, width=width, bins=ceil(length / width), end=max(end, start + 1))

    def interval(self, index: int) -> Interval:
        """The interval of a bin.

        Args:
            index: of the bin, from 0.

        Returns:
            Its start and its end, in milliseconds since the epoch.
        """
        low = self.start + index * self.width
        return low, min(low + self.width, self.end)

    def bin_of(self, time: int) -> int:
        """The index of the bin that holds a time; outside the grid if the time is.

        Args:
            time: in milliseconds since the epoch.

        Returns:
            An index that is negative before the grid, and `bins` or more after it.
        """
        return (time - self.start) // self.width

    def counts(self, rows: Iterable[tuple[str, int, int]]) -> dict[str, list[int]]:
        """Add up rows by device and bin.

        Args:
            rows: a device id, the index of a bin, and a number of rows each. Bins outside
                the grid are ignored.

        Returns:
            A list with a number for each bin, by device id.
        """
        counts: dict[str, list[int]] = {}
        for device_id, index, count in rows:
            if 0 <= index < self.bins:
                counts.setdefault(device_id, [0] * self.bins)[int(index)] += count
        return counts
