"""The grid in which coverage counts rows."""

from __future__ import annotations

import pytest

from iottly_async.ingest.grid import TimeGrid


@pytest.mark.parametrize(
    ("start", "end", "bins", "expected"),
    [(0, 100, 4, (25, 4)), (0, 101, 4, (26, 4)), (0, 3, 10, (1, 3)), (5, 5, 10, (1, 1))],
)
def test_a_grid_reaches_the_end(start: int, end: int, bins: int, expected: tuple[int, int]) -> None:
    """Its bins have whole milliseconds, and the last one may be shorter."""
    grid = TimeGrid.over(start, end, bins)
    assert (grid.width, grid.bins) == expected
    assert grid.interval(grid.bins - 1)[1] == grid.end


def test_rows_outside_the_grid_are_not_counted() -> None:
    """Rows before the first bin and after the last one are ignored."""
    grid = TimeGrid.over(100, 200, 2)
    times = [99, 100, 149, 150, 199, 200]
    assert grid.counts(("d", grid.bin_of(time), 1) for time in times) == {"d": [2, 2]}
