"""`iottly coverage`: which devices and times a store holds, as a chart, records or a page."""

from __future__ import annotations

from itertools import groupby
from math import floor
from pathlib import Path
from typing import Any, Final

from rich.table import Table
from rich.text import Text

from ..errors import ConfigurationError
from ..ingest.coverage import Cell, Coverage, DeviceCoverage, State, page_of, survey
from ..ingest.stores.appendfile import os_errors_as
from ..ingest.stores.names import checked_path
from ..models._time import from_epoch_ms
from .exit_codes import ExitCode
from .output import FormatOption, Output, iso_ms, plain, say, stdout

_SYMBOLS: Final = {
    State.FETCHED: ("█", "blue"),
    State.EMPTY: ("·", "bright_black"),
    State.MISSING: ("░", "yellow"),
    State.FAILED: ("x", "red"),
}
_PARTLY: Final = "▒"  # an interval of which a part is missing
_OTHER_COLUMNS: Final = 28  # characters: the messages, their share, and the gaps between
_MIN_BINS: Final = 20
_MAX_BINS: Final = 120
_PAGE_BINS: Final = 160


async def coverage(
    store: str,
    /,
    *,
    html: Path | None = None,
    format: FormatOption = None,
) -> int:
    """Show which devices and times a store holds, and which are missing.

    A pipe gets one record a device; missing intervals are pairs of milliseconds
    since the epoch. The exit code is 0 if nothing is missing, else 4.

    Args:
        store: The store, named as for ingest, or a folder of partitions.
        html: Write the chart to this file instead, as one page without other files.

    Returns:
        The exit code.
    """
    output = Output(format)
    width = stdout().width
    name = min(36, width // 3)
    bins = (
        max(_MIN_BINS, min(_MAX_BINS, width - name - _OTHER_COLUMNS))
        if html is None
        else _PAGE_BINS
    )
    found = await survey(store, bins=bins)
    if html is not None:
        _write(html, page_of(found, store=store))
        say(f"{html}: {_summary(found)}")
    elif output.form == "table":
        _draw(found, name)
    else:
        output.many([_record(found, device) for device in found.devices], ["device_id"])
        say(_summary(found))
    return ExitCode.DONE if found.whole else ExitCode.PARTLY


def _draw(found: Coverage, name: int) -> None:
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
    stdout().print(Text(_summary(found)))
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


def _summary(found: Coverage) -> str:
    whole = sum(not device.missing and device.failed is None for device in found.devices)
    failed = sum(device.failed is not None for device in found.devices)
    failures = f", {failed:,} failed" if failed else ""
    rejected = f" ({found.rejected:,} rejected)" if found.rejected else ""
    return (
        f"{found.rows:,} messages{rejected}, "
        f"{whole:,} of {len(found.devices):,} devices complete{failures}, "
        f"{iso_ms(found.grid.start)} to {iso_ms(found.grid.end)}"
    )


def _record(found: Coverage, device: DeviceCoverage) -> dict[str, Any]:
    return {
        **found.record(device),
        "start": iso_ms(found.grid.start),
        "end": iso_ms(found.grid.end),
        "until": iso_ms(device.until),
    }


def _write(path: Path, text: str) -> None:
    name = checked_path(path, name="--html")
    with os_errors_as(ConfigurationError, f"--html {name!r} cannot be written"):
        path.write_text(text, "utf-8")


def _day(ms: int) -> str:
    return from_epoch_ms(ms).date().isoformat()
