"""`iottly coverage`: a chart on a terminal, records in a pipe, a page in a file."""

from __future__ import annotations

from pathlib import Path

import pytest

from iottly_async.cli.console import stdout
from iottly_async.emulator import EmulatorThread

from .conftest import Run


@pytest.fixture
def store(iottly: Run, emulator: EmulatorThread, tmp_path: Path) -> Path:
    """A store in which the first device failed and the others are complete."""
    path = tmp_path / "telemetry.jsonl"
    bad = min(emulator.device_ids)
    emulator.fault("status", status=403, route=f"/v1.0/*/device/{bad}/*", count=None)
    assert iottly("ingest", "--to", path).code == 4
    emulator.clear_faults()
    return path


def names_of(iottly: Run) -> list[str]:
    """The names of the project's devices, in the order of their ids."""
    found = sorted(iottly("devices").records, key=lambda one: str(one["id"]))
    return [one["name"] for one in found]


def test_records_and_the_exit_code_show_what_is_missing(
    iottly: Run, emulator: EmulatorThread, store: Path
) -> None:
    """The exit code is 4 while something is missing, and 0 afterwards."""
    done = iottly("coverage", store)
    first, *others = done.records
    assert done.code == 4
    assert (first["device_id"], first["complete"]) == (min(emulator.device_ids), 0)
    assert [one["name"] for one in done.records] == names_of(iottly)
    assert first["failed"].startswith("ForbiddenError")
    assert all(one["complete"] == 1 and one["missing"] == [] for one in others)
    assert "4 of 5 devices complete, 1 failed" in done.err
    assert iottly("ingest", "--to", store).code == 0
    done = iottly("coverage", store)
    assert done.code == 0
    assert sum(one["rows"] for one in done.records) == 2000


def test_a_table_has_a_line_for_each_device(
    iottly: Run, emulator: EmulatorThread, store: Path
) -> None:
    """A line has the cells, the number of messages and the share; legend and errors follow."""
    done = iottly("coverage", store, "--format", "table")
    lines = done.out.splitlines()
    bad, good, *_ = sorted(emulator.device_ids)
    for name, line in zip(names_of(iottly), lines[1:], strict=False):
        assert line[len(bad) :].startswith(f"  {name} ")
    assert lines[1].startswith(bad)
    assert "x" * 100 in lines[1]
    assert lines[1].endswith("failed")
    assert lines[2].startswith(good)
    assert "█" in lines[2]
    assert lines[2].endswith("100 %")
    assert "█ fetched   · empty   ░ missing   x failed   ▒ partly" in lines
    assert lines[-1].startswith(f"{bad} ({names_of(iottly)[0]}): ForbiddenError")


@pytest.mark.parametrize("columns", [40, 80])
def test_a_chart_is_as_wide_as_watch_says(
    iottly: Run, store: Path, columns: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`watch` reads a pipe, and gives its width as COLUMNS. Only errors may be wider."""
    monkeypatch.setenv("COLUMNS", str(columns))
    stdout.cache_clear()
    try:
        done = iottly("coverage", store, "--format", "table")
    finally:
        stdout.cache_clear()
    *lines, error = done.out.splitlines()
    assert "ForbiddenError" in error
    assert max(map(len, lines)) <= columns
    assert sum("100 %" in line for line in lines) == 4


def test_a_page_is_written(iottly: Run, emulator: EmulatorThread, store: Path) -> None:
    """The page has all devices with their names, and stdout stays empty."""
    page = store.parent / "coverage.html"
    done = iottly("coverage", store, "--html", page)
    assert (done.code, done.out) == (4, "")
    text = page.read_text("utf-8")
    assert all(text.count(device) == 1 for device in [*emulator.device_ids, *names_of(iottly)])


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["none.jsonl"], "none.jsonl"),
        (["none.xml"], "store must be"),
    ],
)
def test_a_wrong_store_exits_with_2(iottly: Run, arguments: list[str], text: str) -> None:
    """A store that does not exist is not created."""
    done = iottly("coverage", *arguments)
    assert (done.code, done.out) == (2, "")
    assert text in done.err


def test_a_page_that_cannot_be_written_exits_with_2(iottly: Run, store: Path) -> None:
    """The error gives the system's reason."""
    done = iottly("coverage", store, "--html", store.parent / "none" / "x.html")
    assert done.code == 2
    assert "cannot be written" in done.err
