"""How a plan divides time into windows, and windows into partitions. Pure.

It is the same for all devices of a folder. So the windows of one device do not depend on the
other devices, and two partitions of one folder never have a message in common.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from itertools import pairwise
from typing import TypeAlias

from attrs import evolve, field, frozen

from ...codec import MESSAGE_TYPES, choice
from ...config import whole
from ...errors import ConfigurationError
from ...models._time import utc_text
from ...models.cursor import YEAR_1, YEAR_10000

Edges: TypeAlias = tuple[int | None, ...]
"""Where the windows of one partition begin; and last, where the last one ends."""


@frozen(kw_only=True)
class Division:
    """The rule by which a plan divides time. All times are milliseconds since the epoch.

    Attributes:
        type: "all", "userdefined" or "iottlyagent".
        start: of the range, inclusive; None is the oldest message.
        end: of the range, exclusive, as it was asked for; None is the present.
        window: the length of a window, in milliseconds; None leaves the range whole.
        windows_per_partition: the number of windows in a partition, at most.
        pinned_ends: where the range ends. A plan that is continued for a later end has
            several: the earlier ones remain, so that the earlier partitions do.
    """

    type: str
    start: int | None
    end: int | None
    window: int | None
    windows_per_partition: int
    pinned_ends: tuple[int, ...] = field()

    def __attrs_post_init__(self) -> None:
        choice(self.type, MESSAGE_TYPES, name="type")
        whole(self.windows_per_partition, name="windows_per_partition", least=1)
        if self.window is not None:
            whole(self.window, name="window", least=1)
        times = [YEAR_1 - 1 if self.start is None else self.start, *self.pinned_ends]
        ascending = all(before < after for before, after in pairwise(times))
        if not self.pinned_ends or not ascending or not YEAR_1 - 1 <= times[0] < YEAR_10000:
            raise ConfigurationError("pinned_ends must be times after start, in order")
        if times[-1] > YEAR_10000 or (self.window is not None and self.start is None):
            raise ConfigurationError("a window needs a start, and pinned_ends before year 10000")

    def batches(self) -> Iterator[Edges]:
        """The windows of one device, a partition at a time.

        Yields:
            The edges of the windows of one partition: two or more.
        """
        low = self.start
        while low != self.pinned_ends[-1]:
            edges = self.batch_at(low)
            if edges is None:
                raise AssertionError("a batch begins where another one ends")
            yield edges
            low = edges[-1]

    def batch_at(self, low: int | None) -> Edges | None:
        """The edges of the partition that begins at a time.

        Args:
            low: in milliseconds since the epoch; None is the oldest message.

        Returns:
            The edges; None if no partition begins there.
        """
        index = 0 if low is None else bisect_right(self.pinned_ends, low)
        if index == len(self.pinned_ends):
            return None
        begin = self.pinned_ends[index - 1] if index else self.start
        end, step = self.pinned_ends[index], self.window
        if step is None or low is None or begin is None:
            return (low, end) if low == begin else None
        if low != begin:
            before = low // step - begin // step
            if low < begin or low % step or before % self.windows_per_partition:
                return None
        edges = [low]
        while edges[-1] < end and len(edges) <= self.windows_per_partition:
            edges.append(min((edges[-1] // step + 1) * step, end))
        return tuple(edges)

    def continued(self, asked: Division, *, folder: str) -> Division:
        """This division, continued as far as a later plan of the same folder asks for.

        Args:
            asked: by the later plan.
            folder: for the error.

        Returns:
            This division, if `asked` has the same end or nothing new; else one with another
            pinned end.

        Raises:
            ConfigurationError: `asked` divides time differently.
        """
        differing = [
            f"{name} is {_shown(name, mine)} there and {_shown(name, theirs)} here"
            for name in ("type", "start", "window", "windows_per_partition")
            if (mine := getattr(self, name)) != (theirs := getattr(asked, name))
        ]
        last = self.pinned_ends[-1]
        if asked.end is not None and asked.end < last and asked.end != self.end:
            differing.append(
                f"it goes up to {_shown('end', last)}, and end is {_shown('end', asked.end)} here"
            )
        if differing:
            raise ConfigurationError(
                f"folder {folder!r} has another plan: {'; '.join(differing)}. To continue that "
                "plan, pass its arguments; for this one, name another folder"
            )
        if asked.end == self.end or asked.pinned_ends[-1] <= last:
            return evolve(self, end=asked.end)
        return evolve(self, end=asked.end, pinned_ends=(*self.pinned_ends, asked.pinned_ends[-1]))


def _shown(name: str, value: object) -> str:
    if value is None:
        return "not given"
    if name in ("start", "end") and isinstance(value, int):
        return utc_text(value)
    return f"{value} ms" if name == "window" else repr(value)
