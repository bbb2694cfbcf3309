"""What coverage is, computed from a plan, cursors and counts of rows: pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any

from attrs import field, frozen

from ...models import Cursor
from ...models.cursor import Interval
from ..grid import TimeGrid
from ..plan import IngestPlan


class State(StrEnum):
    """What a store has of a device in a stretch of time."""

    FETCHED = "fetched"
    """All messages, and there are some."""
    EMPTY = "empty"
    """All messages: there are none."""
    MISSING = "missing"
    """Not all yet."""
    FAILED = "failed"
    """Not all, for the device's walk ended in an error."""


@frozen
class Cell:
    """A device in one stretch of time.

    Attributes:
        rows: messages of it in the store, rejected ones included.
        missing: how much of the stretch is still to be fetched, 0 to 1.
        state: what that makes it.
    """

    rows: int
    missing: float
    state: State


@frozen(kw_only=True)
class DeviceCoverage:
    """A device.

    Attributes:
        device_id: of the device.
        rows: messages of it in the store, rejected ones included.
        complete: how much of the range is fetched, 0 to 1.
        missing: what is not, as half-open intervals of milliseconds since the epoch.
        failed: the text of the error that the last run ended with for it; None for none.
        cells: one for each stretch of the range.
    """

    device_id: str
    rows: int
    complete: float
    missing: tuple[Interval, ...]
    failed: str | None
    cells: tuple[Cell, ...]


@frozen(kw_only=True)
class Coverage:
    """All devices of a store.

    Attributes:
        project_id, type: of what was asked for.
        grid: the range of the job's last plan.
        devices: by their ids.
    """

    project_id: str
    type: str
    grid: TimeGrid
    devices: tuple[DeviceCoverage, ...] = field(factory=tuple)

    @property
    def rows(self) -> int:
        """Messages of all devices."""
        return sum(device.rows for device in self.devices)

    @property
    def complete(self) -> float:
        """How much of all devices' time is fetched, 0 to 1; 1 where there is no device."""
        if not self.devices:
            return 1.0
        return sum(device.complete for device in self.devices) / len(self.devices)

    @property
    def whole(self) -> bool:
        """Whether nothing is missing of any device."""
        return not any(device.missing or device.failed for device in self.devices)

    def count(self, state: State) -> int:
        """Cells of a state."""
        return sum(cell.state is state for device in self.devices for cell in device.cells)

    def record(self, device: DeviceCoverage) -> dict[str, Any]:
        """A device as plain values."""
        return {
            "device_id": device.device_id,
            "rows": device.rows,
            "complete": round(device.complete, 6),
            "start": self.grid.start,
            "end": self.grid.end,
            "missing": device.missing,
            "failed": device.failed,
        }


def coverage_of(
    plan: IngestPlan,
    cursors: Mapping[str, Cursor],
    counts: Mapping[str, Sequence[int]],
    grid: TimeGrid,
) -> Coverage:
    """What a store covers of its plan.

    Args:
        plan: of the last run into it.
        cursors: by device.
        counts: rows by device, for each stretch of the grid.
        grid: from the plan's start, or the first message, to its end.
    """
    nothing = [0] * grid.bins
    ids = sorted({*cursors, *counts, *plan.failed, *plan.waiting})
    return Coverage(
        project_id=plan.query.project_id,
        type=plan.query.type,
        grid=grid,
        devices=tuple(
            _device(device_id, cursors.get(device_id), counts.get(device_id, nothing), plan, grid)
            for device_id in ids
        ),
    )


def _device(
    device_id: str, cursor: Cursor | None, counts: Sequence[int], plan: IngestPlan, grid: TimeGrid
) -> DeviceCoverage:
    missing = _missing(cursor, grid)
    failed = plan.failed.get(device_id)
    cells = tuple(
        _cell(rows, _share_of(missing, grid.interval(index)), failed)
        for index, rows in enumerate(counts)
    )
    return DeviceCoverage(
        device_id=device_id,
        rows=sum(counts),
        complete=1.0 - sum(b - a for a, b in missing) / (grid.end - grid.start),
        missing=missing,
        failed=failed,
        cells=cells,
    )


def _missing(cursor: Cursor | None, grid: TimeGrid) -> tuple[Interval, ...]:
    """What of the range is not fetched, in order."""
    if cursor is None:
        return ((grid.start, grid.end),)
    intervals = [*cursor.remaining]
    if cursor.pinned_end < grid.end:
        intervals.append((cursor.pinned_end, grid.end))
    joined: list[Interval] = []
    for low, high in intervals:
        low, high = max(low, grid.start), min(high, grid.end)
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


def _cell(rows: int, missing: float, failed: str | None) -> Cell:
    if not missing:
        return Cell(rows, 0.0, State.FETCHED if rows else State.EMPTY)
    return Cell(rows, missing, State.MISSING if failed is None else State.FAILED)
