"""Draws coverage on a terminal: a line a device, a cell an interval.

Where the terminal is too narrow for an id beside a chart, each device takes two lines: the id and
the name, and below them the chart. An id is never cut.
"""

from __future__ import annotations

from itertools import groupby
from math import floor
from typing import Final

from rich.cells import cell_len, set_cell_size
from rich.text import Text

from ..ingest.coverage import Cell, Coverage, DeviceCoverage, State
from ..models._time import from_epoch_ms
from ..texts import escaped
from .console import BAD, FAINT, GOOD, MARKED, WARNING, iso_ms, plain, stdout

_SYMBOLS: Final = {
    State.FETCHED: ("█", MARKED),
    State.EMPTY: ("·", FAINT),
    State.MISSING: ("░", WARNING),
    State.FAILED: ("x", BAD),
}
_PARTLY: Final = "▒"  # an interval of which a part is missing
_ID: Final = 36  # characters of an id of the project API
_NAME: Final = 20  # characters of a name beside an id
_FIGURES: Final = 24  # characters: the messages, their share, and the gaps before them
_GAP: Final = "  "
_BESIDE: Final = 40  # bins that a chart beside an id has at least
_LEAST: Final = 12
_ENDS: Final = 22  # bins below which two days do not fit above a chart
_MOST: Final = 120


def bins_of(width: int) -> int:
    """Choose into how many intervals the range is divided, for a width of the terminal."""
    beside = width - _ID - _NAME - 2 * len(_GAP) - _FIGURES
    below = width - len(_GAP) - _FIGURES
    return max(_LEAST, min(_MOST, beside if beside >= _BESIDE else below))


def draw(found: Coverage) -> None:
    """Print the chart, a legend, a summary and the errors of failed devices."""
    console = stdout()
    ids = max((cell_len(escaped(device.device_id)) for device in found.devices), default=0)
    names = [escaped(device.name) for device in found.devices if device.name]
    name = min(_NAME, max(map(cell_len, names), default=0))
    label = max(ids + (len(_GAP) + name if name else 0), len("device"))
    beside = label + len(_GAP) + found.grid.bins + _FIGURES <= console.width
    head = Text("device", "bold")
    if found.grid.bins < _ENDS:
        first, last = _day(found.grid.start), _day(found.grid.end)
        console.print(Text(f"{first} to {last}"), soft_wrap=True)
    if beside:
        _print(_padded(head, label), Text(_ends(found), "bold"), _figures("messages", "complete"))
    else:
        _print(head)
        _print(Text(""), Text(_ends(found), "bold"), _figures("messages", "complete"))
    for device in found.devices:
        shown = plain(device.device_id)
        if beside:
            if device.name:
                shown = _padded(shown, ids).append(_GAP + _cut(escaped(device.name), name))
            shown = _padded(shown, label)
        else:
            if device.name:
                room = console.width - cell_len(shown.plain) - len(_GAP)
                if room >= len(device.name) or room >= _NAME:
                    shown.append(_GAP + _cut(escaped(device.name), room))
                else:
                    _print(shown)
                    shown = Text(_GAP + _cut(escaped(device.name), console.width - len(_GAP)))
            _print(shown)
            shown = Text("")
        _print(shown, _line(device), _figures(f"{device.rows:,}", _share(device)))
    legend = Text("\n")
    for state, (sign, style) in _SYMBOLS.items():
        legend.append(sign, style).append(f" {state}   ")
    legend.append(_PARTLY, _SYMBOLS[State.MISSING][1]).append(" partly")
    console.print(legend)
    console.print(Text(summary(found)))
    for device in found.devices:
        if device.failed is not None:
            named = f" ({device.name})" if device.name else ""
            console.print(plain(f"{device.device_id}{named}: {device.failed}", BAD), soft_wrap=True)


def _print(*cells: Text) -> None:
    stdout().print(Text(_GAP).join(cells), soft_wrap=True)


def _padded(text: Text, width: int) -> Text:
    text.pad_right(max(0, width - cell_len(text.plain)))
    return text


def _cut(text: str, width: int) -> str:
    return text if cell_len(text) <= width else set_cell_size(text, max(1, width) - 1) + "…"


def _figures(messages: str, share: str | Text) -> Text:
    shown = Text(share, "bold") if isinstance(share, str) else share
    style = "bold" if isinstance(share, str) else ""
    return Text(f"{messages:>10}", style).append(_GAP).append_text(_left_padded(shown, 8))


def _left_padded(text: Text, width: int) -> Text:
    text.pad_left(max(0, width - cell_len(text.plain)))
    return text


def _ends(found: Coverage) -> str:
    """The chart's heading: the first day at its left end, the last at its right."""
    if found.grid.bins < _ENDS:
        return " " * found.grid.bins
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
        return Text("failed", BAD)
    # Only a complete device shows 100 %: the share is rounded down.
    if not device.missing:
        return Text("100 %", GOOD)
    return Text(f"{floor(device.complete * 1000) / 10:.1f} %", WARNING)


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
