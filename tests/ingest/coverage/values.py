"""Plans, cursors and states, as short as tests of coverage need them."""

from __future__ import annotations

from iottly_async import Cursor
from iottly_async.ingest import IngestPlan, Query
from iottly_async.ingest.coverage import DeviceCoverage


def plan_to(end: int, **failed: str) -> IngestPlan:
    """A plan from 0 to `end`, with the errors of devices that failed."""
    query = Query(project_id="p", start=0)
    return IngestPlan(query=query, pinned_end=end, ended=True, failed=failed)


def cursor_of(device_id: str, *remaining: tuple[int, int], end: int) -> Cursor:
    """A cursor of a device, with the remaining intervals of its walk to `end`."""
    return Cursor(
        project_id="p",
        device_id=device_id,
        type="all",
        order="asc",
        start=0,
        end=end,
        remaining=remaining,
        pinned_end=end,
    )


def states(device: DeviceCoverage) -> list[str]:
    """The states of a device's cells."""
    return [str(cell.state) for cell in device.cells]
