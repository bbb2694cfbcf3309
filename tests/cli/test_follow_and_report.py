"""`iottly ingest --follow` and `--report`: how it ends, and what the report says."""

from __future__ import annotations

import json
import signal
import sys
from pathlib import Path

import pytest

from iottly_async.emulator import EmulatorThread
from tests.cli.conftest import Run
from tests.cli.test_process import process, read_until, terminal
from tests.support.stored_rows import rows_of, truth_of


def test_the_report_is_a_file_of_json(
    iottly: Run, emulator: EmulatorThread, tmp_path: Path
) -> None:
    """It names the store, the devices, and what the time went by on."""
    file = tmp_path / "report.json"
    done = iottly("ingest", "--to", tmp_path / "x.jsonl", "--report", file)
    report = json.loads(file.read_text())
    assert done.code == 0
    assert (report["store"], report["rows"]) == (str(tmp_path / "x.jsonl"), 2000)
    assert [one["device_id"] for one in report["devices"]] == emulator.device_ids
    shares = {name: share for name, share in report["shares"].items() if name != "limit"}
    assert set(shares) == {"quota", "network", "decoding", "store", "idle"}
    assert sum(shares.values()) == pytest.approx(1, abs=0.01)
    assert f"limit {report['shares']['limit']} (quota " in done.err
    assert {one.name for one in tmp_path.iterdir()} == {"x.jsonl", "x.jsonl.cursor", "report.json"}


@pytest.mark.parametrize("name", ["", "none/report.json"])
def test_a_report_that_cannot_be_written_is_2(iottly: Run, tmp_path: Path, name: str) -> None:
    """It is told before anything is fetched."""
    done = iottly("ingest", "--to", tmp_path / "x.jsonl", "--report", tmp_path / name)
    assert (done.code, done.out) == (2, "")
    assert "--report" in done.err
    assert not list(tmp_path.iterdir())


def test_following_with_an_end_is_2(iottly: Run, tmp_path: Path) -> None:
    """They contradict each other."""
    done = iottly("ingest", "--to", tmp_path / "x.jsonl", "--follow", "--end", "2026-05-01T00:00Z")
    assert done.code == 2
    assert "has no end" in done.err


@pytest.mark.skipif(sys.platform == "win32", reason="signals and terminals of POSIX")
def test_a_signal_ends_following_with_0(
    environment: dict[str, str], emulator: EmulatorThread, tmp_path: Path
) -> None:
    """The terminal shows that it follows; a signal ends it, for it has no other end."""
    path, file = tmp_path / "telemetry.jsonl", tmp_path / "report.json"
    told = {**environment, "TERM": "xterm", "COLUMNS": "150"}
    arguments = ("ingest", "--follow", "--to", str(path), "--report", str(file))
    with (
        terminal() as (ours, theirs),
        process(told, *arguments, stdout=theirs, stderr=theirs) as running,
    ):
        read_until(ours, b"following")
        running.send_signal(signal.SIGTERM)
        shown = read_until(ours, b"idle")
        assert running.wait(timeout=60) == 0
    assert b"stopped following" in shown
    assert json.loads(file.read_text())["followed"]
    assert rows_of(path) == truth_of(emulator)
