"""Computes coverage from a plan, cursors and counts of rows. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from functools import lru_cache
from types import MappingProxyType
from typing import Any

from attrs import field, frozen

from ...models import Cursor
from ...models.cursor import Interval
from ..grid import TimeGrid
from ..plan import IngestPlan


class State(StrEnum):
    """What a store has of a device in an interval of time."""

    FETCHED = "fetched"
    """All messages are stored, and there are some."""
    EMPTY = "empty"
    """All messages are stored: there are none."""
    MISSING = "missing"
    """Not all messages are stored yet."""
    FAILED = "failed"
    """Not all messages are stored, because the device's walk ended in an error."""


@frozen
class Cell:
    """A device in one bin of the grid.

    Attributes:
        rows: its messages in the store, with rejected ones.
        missing: how much of the bin is not fetched yet, 0 to 1.
        state: what follows from both.
    """

    rows: int
    missing: float
    state: State


@frozen(kw_only=True)
class DeviceCoverage:
    """The coverage of one device.

    Attributes:
        device_id: the device's id.
        rows: its messages in the store, with rejected ones.
        rejected: its rows in ``rejected``. Those that are no messages have no time: they
            count here, whatever the range, and not in `rows`.
        until: the end of its part of the range, in milliseconds since the epoch. It is the
            range's end; of a device that a job follows, it is the time of the last poll.
        complete: how much of the range up to `until` is fetched, 0 to 1.
        missing: the rest, as half-open intervals of milliseconds since the epoch.
        failed: the text of the error that ended its last walk; None without an error.
        cells: one for each bin of the grid.
        name: the device's name, if the store has it; None (the default) if not.
    """

    device_id: str
    rows: int
    rejected: int = 0
    until: int
    complete: float
    missing: tuple[Interval, ...]
    failed: str | None
    cells: tuple[Cell, ...]
    name: str | None = None


@frozen(kw_only=True)
class Coverage:
    """The coverage of all devices of a store.

    Attributes:
        project_id: the project's id.
        type: "all", "userdefined" or "iottlyagent", as the job asked for.
        grid: the range of the job's last plan, divided into bins. Of a job that follows, it
            ends at the newest cursor.
        devices: one for each device, in the order of their ids.
    """

    project_id: str
    type: str
    grid: TimeGrid
    devices: tuple[DeviceCoverage, ...] = field(factory=tuple)

    @property
    def rows(self) -> int:
        """The number of messages of all devices."""
        return sum(device.rows for device in self.devices)

    @property
    def rejected(self) -> int:
        """The number of rejected rows of all devices."""
        return sum(device.rejected for device in self.devices)

    @property
    def complete(self) -> float:
        """How much of all devices' time is fetched, 0 to 1; 1 without a device."""
        if not self.devices:
            return 1.0
        return sum(device.complete for device in self.devices) / len(self.devices)

    @property
    def whole(self) -> bool:
        """Whether no device misses anything or has failed."""
        return not any(device.missing or device.failed for device in self.devices)

    def count(self, state: State) -> int:
        """The number of cells in a state.

        Args:
            state: the state.

        Returns:
            A number of cells, over all devices.
        """
        return sum(cell.state is state for device in self.devices for cell in device.cells)

    def record(self, device: DeviceCoverage) -> dict[str, Any]:
        """A device's coverage as plain values, without its cells.

        Args:
            device: one of `devices`.

        Returns:
            ``device_id``, ``name``, ``rows``, ``rejected``, ``complete``, ``until``, ``missing``
            and ``failed`` of the device, and ``start`` and ``end`` of the range.
        """
        return {
            "device_id": device.device_id,
            "name": device.name,
            "rows": device.rows,
            "rejected": device.rejected,
            "complete": round(device.complete, 6),
            "start": self.grid.start,
            "end": self.grid.end,
            "until": device.until,
            "missing": device.missing,
            "failed": device.failed,
        }


def coverage_of(
    plan: IngestPlan,
    cursors: Mapping[str, Cursor],
    counts: Mapping[str, Sequence[int]],
    grid: TimeGrid,
    *,
    rejected: Mapping[str, int] = MappingProxyType({}),
    names: Mapping[str, str] = MappingProxyType({}),
) -> Coverage:
    """The coverage of a store.

    Args:
        plan: the plan of the last run.
        cursors: by device id.
        counts: the number of rows in each bin of the grid, by device id.
        grid: from the plan's start, or the first message, to `range_end`.
        rejected: the number of rejected rows, by device id. Empty by default.
        names: the devices' names, by device id. Empty by default.

    Returns:
        The coverage of every device that the store knows.
    """
    nothing = [0] * grid.bins
    ids = sorted({*cursors, *counts, *rejected, *plan.failed, *plan.waiting})
    return Coverage(
        project_id=plan.query.project_id,
        type=plan.query.type,
        grid=grid,
        devices=tuple(
            _device(
                device_id,
                cursors.get(device_id),
                counts.get(device_id, nothing),
                plan,
                grid,
                rejected=rejected.get(device_id, 0),
                name=names.get(device_id),
            )
            for device_id in ids
        ),
    )


def range_end(plan: IngestPlan, cursors: Mapping[str, Cursor]) -> int:
    """The end of the range that a store covers, in milliseconds since the epoch.

    It is the plan's end. Cursors of a job that follows go on beyond it.
    """
    return max([plan.pinned_end, *(_until(plan, cursor) for cursor in cursors.values())])


def _until(plan: IngestPlan, cursor: Cursor | None) -> int:
    """The end of a device's part of the range."""
    if cursor is None or cursor.end is not None or cursor.remaining:
        return plan.pinned_end
    return max(plan.pinned_end, cursor.pinned_end)


def _device(
    device_id: str,
    cursor: Cursor | None,
    counts: Sequence[int],
    plan: IngestPlan,
    grid: TimeGrid,
    *,
    rejected: int,
    name: str | None,
) -> DeviceCoverage:
    until = min(_until(plan, cursor), grid.end)
    missing = _missing(cursor, grid.start, until)
    failed = plan.failed.get(device_id)
    # What follows the last poll is not missing yet, and not known to be empty either.
    unknown = missing if until == grid.end else (*missing, (until, grid.end))
    if unknown:
        cells = tuple(
            _cell(rows, _share_of(unknown, grid.interval(index)), failed)
            for index, rows in enumerate(counts)
        )
    else:
        cells = tuple(map(_complete_cell, counts))
    return DeviceCoverage(
        device_id=device_id,
        rows=sum(counts),
        rejected=rejected,
        until=until,
        complete=1.0 - sum(b - a for a, b in missing) / max(until - grid.start, 1),
        missing=missing,
        failed=failed,
        cells=cells,
        name=name,
    )


def _missing(cursor: Cursor | None, start: int, end: int) -> tuple[Interval, ...]:
    """The intervals of a range that are not fetched, in order; adjacent ones are joined."""
    if cursor is None:
        return ((start, end),)
    intervals = [*cursor.remaining]
    if cursor.pinned_end < end:
        intervals.append((cursor.pinned_end, end))
    joined: list[Interval] = []
    for low, high in intervals:
        low, high = max(low, start), min(high, end)
        if low >= high:
            continue
        if joined and joined[-1][1] >= low:
            joined[-1] = (joined[-1][0], max(high, joined[-1][1]))
        else:
            joined.append((low, high))
    return tuple(joined)


def _share_of(missing: Sequence[Interval], within: Interval) -> float:
    low, high = within
    length = sum(max(0, min(b, high) - max(a, low)) for a, b in missing)
    return length / (high - low)


@lru_cache(maxsize=4096)  # most cells of a large fleet are equal, and cost more than a look-up
def _complete_cell(rows: int) -> Cell:
    return Cell(rows, 0.0, State.FETCHED if rows else State.EMPTY)


def _cell(rows: int, missing: float, failed: str | None) -> Cell:
    if not missing:
        return _complete_cell(rows)
    return Cell(rows, missing, State.MISSING if failed is None else State.FAILED)
