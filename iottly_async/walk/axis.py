"""The one direction in which a walk thinks: forward.

A walk from new to old is the walk from old to new along the mirrored axis: the
millisecond t lies at ~t there (which is -t - 1), so that the half-open interval
[a, b) of times becomes the half-open interval [-b, -a). Windows, splits and merges
know only positions on the axis; times are turned into positions when a page is read,
and back when a request or a cursor is made.
"""

from __future__ import annotations

from typing import Final, Literal

from attrs import frozen

from ..models.cursor import YEAR_1, YEAR_10000, Interval

BEGINNING: Final = YEAR_1
"""The first millisecond of the year 1: stands for a range without a start."""

FAR: Final = YEAR_10000
"""The end of the year 9999: stands for a range without an end."""

SECOND: Final = 1000


@frozen
class Axis:
    """Times to positions and back; each method is its own inverse.

    Attributes:
        direction: 1 from old to new, -1 from new to old.
    """

    direction: Literal[1, -1]

    def point(self, at: int) -> int:
        """The position of a millisecond, or the millisecond at a position."""
        return at if self.direction == 1 else ~at

    def interval(self, interval: Interval) -> Interval:
        """The half-open interval of positions of one of times, or the reverse."""
        a, b = interval
        return (a, b) if self.direction == 1 else (-b, -a)

    def edge(self, at: int) -> int:
        """A boundary between two milliseconds, as the end of a half-open interval is."""
        return at if self.direction == 1 else -at


ASCENDING: Final = Axis(1)
DESCENDING: Final = Axis(-1)


def round_down(at: int, unit: int) -> int:
    """The last multiple of `unit` not beyond `at`; 0 stands for no bound at all."""
    return at // unit * unit if unit else -FAR


def round_up(at: int, unit: int) -> int:
    """The first multiple of `unit` not before `at`."""
    return -(-at // unit) * unit
