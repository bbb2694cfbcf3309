"""Tables: at any width of a terminal no id is folded or cut."""

from __future__ import annotations

import io
import sys

import pytest
from rich.cells import cell_len
from rich.console import Console

from iottly_async.cli import coverage_chart
from iottly_async.cli.console import stdout
from iottly_async.cli.coverage_chart import bins_of, draw
from iottly_async.cli.table_writer import TableLayout
from iottly_async.emulator import EmulatorThread
from iottly_async.ingest.coverage import Cell, Coverage, DeviceCoverage, State
from iottly_async.ingest.grid import TimeGrid

from .conftest import Run, shown_by

ID = "0b5bd5a5-8b5f-4d3a-9d0a-000000000000"
TITLES = ["id", "status", "name"]


def lines(width: int | None, *rows: list[str]) -> list[str]:
    """A table as lines."""
    layout = TableLayout(TITLES, rows, width=width)
    return [*layout.heading(), *(line for row in rows for line in layout.lines(row))]


def test_a_wide_terminal_has_a_line_for_each_record() -> None:
    """Columns are aligned, and the last is cut to the width."""
    assert lines(64, [ID, "on", "pump"], [ID, "disconnected", "a pump with a long name"]) == [
        f"id{' ' * 36}status        name",
        f"{ID}  on            pump",
        f"{ID}  disconnected  a pump with…",
    ]


def test_a_narrow_terminal_has_the_id_on_a_line_of_its_own() -> None:
    """The other values follow below it, as many as fit."""
    assert lines(40, [ID, "disconnected", "pump"], [ID, "", "p" * 60]) == [
        "id",
        "  status  name",
        ID,
        "  disconnected  pump",
        ID,
        f"  {'p' * 37}…",
    ]


def test_nothing_is_cut_where_no_terminal_reads() -> None:
    """Whatever its length."""
    assert lines(None, [ID, "on", "p" * 500])[1] == f"{ID}  on      {'p' * 500}"


def test_characters_that_are_two_columns_wide_are_aligned() -> None:
    """East Asian names take two columns a character."""
    layout = TableLayout(["name", "x"], [["ポンプ", "1"], ["pump", "2"]], width=80)
    assert [*layout.lines(["ポンプ", "1"]), *layout.lines(["pump", "2"])] == [
        "ポンプ  1",
        "pump    2",
    ]


@pytest.mark.skipif(sys.platform == "win32", reason="terminals of POSIX")
def test_ids_are_whole_on_a_terminal(environment: dict[str, str], emulator: EmulatorThread) -> None:
    """`devices` prints each id on one line; from 40 columns on, no line is longer than that."""
    terminals = [(width, term) for width in (20, 40, 80, 200) for term in ("dumb", "xterm")]
    trials = [
        ({**environment, "COLUMNS": str(width), "TERM": term, "NO_COLOR": "1"}, ["devices"])
        for width, term in terminals
    ]
    for (width, _), text in zip(
        terminals, shown_by(trials, on_terminal=True, stderr=False), strict=True
    ):
        shown = text.replace("\x1b[1m", "").replace("\x1b[0m", "")
        assert all(device in shown for device in emulator.device_ids), width
        assert width < 40 or max(map(len, shown.splitlines())) <= width


@pytest.mark.parametrize("width", [40, 80, 200])
def test_a_record_keeps_ids_and_addresses_whole(
    iottly: Run, emulator: EmulatorThread, monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    """What does not fit beside its name stands below it; a terminal breaks what is longer."""
    monkeypatch.setattr(stdout(), "width", width)
    device = emulator.device_ids[0]
    shown = iottly("rename", device, "a name of several words", "--format", "table").out
    lines = shown.splitlines()
    assert any(line.split()[-1:] == [device] for line in lines)
    assert max(map(len, lines)) <= width
    url = f"{emulator.base_url}/v1.0/project/{emulator.project_id}/device/{device}/command"
    assert url in iottly("send", device, "echo", "--dry-run", "--format", "table").out


def test_a_later_row_that_is_too_wide_has_lines_of_its_own() -> None:
    """The table goes on so; nothing is wider than the terminal."""
    layout = TableLayout(TITLES, [["a", "on", "pump"]], width=40)
    rows = [["a", "on", "pump"], [ID, "on", "pump"], ["b", "on", "fan"]]
    assert [line for row in rows for line in layout.lines(row)] == [
        "a   on      pump",
        ID,
        "  on  pump",
        "b",
        "  on  fan",
    ]


def test_the_coverage_chart_keeps_ids_whole() -> None:
    """With and without names, at any width; no line is wider than the terminal."""
    for width, name in ((40, "pump"), (80, "p" * 60), (200, "p" * 60), (120, None)):
        bins = bins_of(width)
        cell = Cell(rows=1, missing=0.0, state=State.FETCHED)
        device = DeviceCoverage(
            device_id=ID,
            name=name,
            rows=1,
            until=9,
            complete=1.0,
            missing=(),
            failed=None,
            cells=(cell,) * bins,
        )
        grid = TimeGrid(start=0, width=1, bins=bins, end=bins)
        text = io.StringIO()
        console = Console(file=text, width=width)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(coverage_chart, "stdout", lambda console=console: console)
            draw(Coverage(project_id="p", type="all", grid=grid, devices=(device,)))
        lines = text.getvalue().splitlines()
        assert sum(ID in line for line in lines) == 1
        assert max(map(cell_len, lines)) <= width
        assert name is None or any(name[:10] in line for line in lines)
