"""Tables: at any width of a terminal no id is folded or cut."""

from __future__ import annotations

import os
import sys

import pytest

from iottly_async.cli.record_writers import TableLayout
from iottly_async.emulator import EmulatorThread

from .conftest import process, read_until, terminal

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
@pytest.mark.parametrize("term", ["dumb", "xterm"])
@pytest.mark.parametrize("width", [20, 40, 80, 200])
def test_ids_are_whole_on_a_terminal(
    environment: dict[str, str], emulator: EmulatorThread, width: int, term: str
) -> None:
    """`devices` prints each id on one line; from 40 columns on, no line is longer than that."""
    settings = {**environment, "COLUMNS": str(width), "TERM": term, "NO_COLOR": "1"}
    with terminal() as (ours, theirs), process(settings, "devices", stdout=theirs) as running:
        assert running.wait(timeout=60) == 0
        os.write(theirs, b"end of test")
        shown = read_until(ours, b"end of test").decode().replace("\x1b[1m", "")
        shown = shown.replace("\x1b[0m", "").replace("end of test", "")
    assert all(device in shown for device in emulator.device_ids)
    if width >= 40:
        assert max(map(len, shown.splitlines())) <= width
