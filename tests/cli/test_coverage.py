"""`iottly coverage`: a picture for people, records in a pipe, a page in a file."""

from __future__ import annotations

from pathlib import Path

import pytest

from iottly_async.emulator import EmulatorThread
from tests.cli.conftest import Run


@pytest.fixture
def store(iottly: Run, emulator: EmulatorThread, tmp_path: Path) -> Path:
    """A store in which the first device failed, and the others are complete."""
    path = tmp_path / "telemetry.jsonl"
    bad = min(emulator.device_ids)
    emulator.fault("status", status=403, route=f"/v1.0/*/device/{bad}/*", count=None)
    assert iottly("ingest", "--to", path).code == 4
    emulator.clear_faults()
    return path


def test_what_is_missing_is_told_by_records_and_the_code(
    iottly: Run, emulator: EmulatorThread, store: Path
) -> None:
    """4 where something is missing, 0 once nothing is."""
    done = iottly("coverage", store)
    first, *others = done.records
    assert done.code == 4
    assert (first["device_id"], first["complete"]) == (min(emulator.device_ids), 0)
    assert first["failed"].startswith("ForbiddenError")
    assert all(one["complete"] == 1 and one["missing"] == [] for one in others)
    assert "4 of 5 devices complete, 1 failed" in done.err
    assert iottly("ingest", "--to", store).code == 0
    done = iottly("coverage", store)
    assert done.code == 0
    assert sum(one["rows"] for one in done.records) == 2000


def test_a_table_has_a_line_a_device(iottly: Run, emulator: EmulatorThread, store: Path) -> None:
    """With a cell for each stretch, its messages, its share, the legend and the errors."""
    done = iottly("coverage", store, "--format", "table")
    lines = done.out.splitlines()
    bad, good, *_ = sorted(emulator.device_ids)
    assert lines[1].startswith(bad)
    assert "x" * 100 in lines[1]
    assert lines[1].endswith("failed")
    assert lines[2].startswith(good)
    assert "█" in lines[2]
    assert lines[2].endswith("100 %")
    assert "█ fetched   · empty   ░ missing   x failed   ▒ partly" in lines
    assert lines[-1].startswith(f"{bad}: ForbiddenError")


def test_a_page_is_written(iottly: Run, emulator: EmulatorThread, store: Path) -> None:
    """With all devices in it; stdout stays empty."""
    page = store.parent / "coverage.html"
    done = iottly("coverage", store, "--html", page)
    assert (done.code, done.out) == (4, "")
    text = page.read_text("utf-8")
    assert all(device in text for device in emulator.device_ids)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["none.jsonl"], "none.jsonl"),
        (["none.xml"], "store must be"),
    ],
)
def test_a_store_that_cannot_be_is_2(iottly: Run, arguments: list[str], told: str) -> None:
    """It is not made."""
    done = iottly("coverage", *arguments)
    assert (done.code, done.out) == (2, "")
    assert told in done.err


def test_a_page_that_cannot_be_written_is_2(iottly: Run, store: Path) -> None:
    """The text says what the system said."""
    done = iottly("coverage", store, "--html", store.parent / "none" / "x.html")
    assert done.code == 2
    assert "cannot be written" in done.err
