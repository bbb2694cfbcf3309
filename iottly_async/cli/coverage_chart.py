"""Draws coverage on a terminal: a line a device, a cell an interval."""

from __future__ import annotations

from itertools import groupby
from math import floor
from typing import Final

from rich.table import Table
from rich.text import Text

from ..ingest.coverage import Cell, Coverage, DeviceCoverage, State
from ..models._time import from_epoch_ms
from .console import iso_ms, plain, stdout

_SYMBOLS: Final = {
    State.FETCHED: ("█", "blue"),
    State.EMPTY: ("·", "bright_black"),
    State.MISSING: ("░", "yellow"),
    State.FAILED: ("x", "red"),
}
_PARTLY: Final = "▒"  # an interval of which a part is missing


def draw(found: Coverage, name: int) -> None:
    """Print the chart, a legend, a summary and the errors of failed devices.

    Args:
        found: The coverage.
        name: The most columns for a device's id.
    """
    grid = found.grid
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("device", max_width=name, no_wrap=True, overflow="ellipsis")
    table.add_column(_ends(found), no_wrap=True, min_width=grid.bins)
    table.add_column("messages", justify="right", no_wrap=True)
    table.add_column("complete", justify="right", no_wrap=True)
    for device in found.devices:
        table.add_row(plain(device.device_id), _line(device), f"{device.rows:,}", _share(device))
    stdout().print(table)
    legend = Text("\n")
    for state, (sign, style) in _SYMBOLS.items():
        legend.append(sign, style).append(f" {state}   ")
    legend.append(_PARTLY, _SYMBOLS[State.MISSING][1]).append(" partly")
    stdout().print(legend)
    stdout().print(Text(summary(found)))
    for device in found.devices:
        if device.failed is not None:
            stdout().print(plain(f"{device.device_id}: {device.failed}", "red"), soft_wrap=True)


def _ends(found: Coverage) -> str:
    """The column's heading: the first day at its left end, the last at its right."""
    first, last = _day(found.grid.start), _day(found.grid.end)
    return first + last.rjust(found.grid.bins - len(first))


def _line(device: DeviceCoverage) -> Text:
    line = Text(no_wrap=True)
    for (sign, style), cells in groupby(device.cells, _symbol):
        line.append(sign * len([*cells]), style)
    return line


def _symbol(cell: Cell) -> tuple[str, str]:
    sign, style = _SYMBOLS[cell.state]
    return (_PARTLY if cell.missing and cell.rows else sign), style


def _share(device: DeviceCoverage) -> Text:
    if device.failed is not None:
        return Text("failed", "red")
    # Only a complete device shows 100 %: the share is rounded down.
    if not device.missing:
        return Text("100 %", "green")
    return Text(f"{floor(device.complete * 1000) / 10:.1f} %", "yellow")


def summary(found: Coverage) -> str:
    """Say in one line how much the store holds."""
    whole = sum(not device.missing and device.failed is None for device in found.devices)
    failed = sum(device.failed is not None for device in found.devices)
    failures = f", {failed:,} failed" if failed else ""
    rejected = f" ({found.rejected:,} rejected)" if found.rejected else ""
    return (
        f"{found.rows:,} messages{rejected}, "
        f"{whole:,} of {len(found.devices):,} devices complete{failures}, "
        f"{iso_ms(found.grid.start)} to {iso_ms(found.grid.end)}"
    )


def _day(ms: int) -> str:
    return from_epoch_ms(ms).date().isoformat()
