"""`iottly ingest`: fetches messages into a store."""

from __future__ import annotations

import json
import signal
import sys
from datetime import datetime
from functools import partial
from pathlib import Path

import duckdb
import pytest

import iottly_async.emulator
from iottly_async.emulator import Emulator, EmulatorSettings, EmulatorThread
from iottly_async.ingest.stores import JSONLinesStore
from tests.support.stored_rows import rows_of, truth_of

from .conftest import Run, process, read_until, terminal


@pytest.fixture(params=["duckdb", "jsonl"])
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """The path of a new store."""
    return tmp_path / f"telemetry.{request.param}"


def test_a_project_is_fetched_into_a_file(
    iottly: Run, emulator: EmulatorThread, path: Path
) -> None:
    """The report is one record on stdout and one line on stderr."""
    done = iottly("ingest", "--to", path)
    (report,) = done.records
    assert done.code == 0
    assert rows_of(path) == truth_of(emulator)
    assert (report["rows"], report["done"], report["failed"]) == (sum(rows_of(path).values()), 5, 0)
    assert "done: " in done.err


def test_devices_and_a_range_can_be_named(
    iottly: Run, emulator: EmulatorThread, path: Path
) -> None:
    """Only the named devices and times are fetched."""
    device = emulator.device_ids[1]
    done = iottly(
        *("ingest", device, "--to", path, "--type", "userdefined"),
        *("--start", "2026-04-05T02:00+02:00", "--end", "2026-04-06T00:00Z"),
    )
    assert done.code == 0
    rows = rows_of(path)
    assert {(row.device_id, row.type) for row in rows} == {(device, "userdefined")}
    assert all(1775347200000 <= row.timestamp < 1775433600000 for row in rows)


def test_some_failed_devices_exit_with_4(iottly: Run, emulator: EmulatorThread, path: Path) -> None:
    """stderr has each failed device and its error; a second run fetches the rest."""
    bad = emulator.device_ids[0]
    emulator.fault("status", status=403, route=f"/v1.0/*/device/{bad}/*", count=None)
    done = iottly("ingest", "--to", path)
    assert done.code == 4
    assert f"device {bad}: ForbiddenError" in done.err
    emulator.clear_faults()
    assert iottly("ingest", "--to", path).code == 0
    assert rows_of(path) == truth_of(emulator)


def test_all_devices_refused_exit_with_3(iottly: Run, emulator: EmulatorThread, path: Path) -> None:
    """If every device answers 403, the key is at fault."""
    emulator.fault("status", status=403, route="paginated", count=None)
    assert iottly("ingest", "--to", path).code == 3


def test_an_outage_longer_than_patience_exits_with_1(
    iottly: Run, emulator: EmulatorThread, path: Path
) -> None:
    """stderr says that the service is away, and each device has its error in the report. The
    next run fetches the rest."""
    emulator.fault("status", status=502, route="paginated", skip=4, count=None)
    done = iottly("ingest", "--to", path, "--patience", "1", "--concurrency", "2")
    (report,) = done.records
    assert done.code == 1
    assert 0 < report["rows"] < 2000
    assert {one["status"] for one in report["devices"] if one["outcome"] == "failed"} == {502}
    assert "warning: the service is away" in done.err
    assert "the job goes on without device" in done.err
    emulator.clear_faults()
    assert iottly("ingest", "--to", path).code == 0
    assert rows_of(path) == truth_of(emulator)


def test_another_query_into_the_same_store_exits_with_2(iottly: Run, path: Path) -> None:
    """The error names the setting that differs."""
    iottly("ingest", "--to", path)
    done = iottly("ingest", "--to", path, "--start", "2026-04-05T00:00Z")
    assert done.code == 2
    assert "start is open there" in done.err


@pytest.mark.parametrize("store", ["x.csv", "s3://bucket/x", "/no/such/folder/x.jsonl"])
def test_a_wrong_store_exits_with_2(iottly: Run, store: str) -> None:
    """The error names the store."""
    done = iottly("ingest", "--to", store)
    assert (done.code, done.out) == (2, "")
    assert store in done.err


def test_the_emulator_runs_in_the_process(
    iottly: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """`--emulator` needs no key and no project; a second run finds nothing new."""
    assert EmulatorSettings().messages == 100_000
    monkeypatch.setattr(iottly_async.emulator, "Emulator", partial(Emulator, messages=2_000))
    for name in ("IOTTLY_API_KEY", "IOTTLY_BASE_URL", "IOTTLY_PROJECT"):
        monkeypatch.delenv(name)
    path = tmp_path / "telemetry.duckdb"
    (report,) = iottly("ingest", "--emulator", "--to", path).records
    assert (report["rows"], report["done"], report["rejected"]) == (2_000, 20, 0)
    (again,) = iottly("ingest", "--emulator", "--to", path).records
    assert (again["rows"], again["total"]) == (0, 2_000)


def test_a_device_that_does_not_exist_counts_as_failed(
    iottly: Run, emulator: EmulatorThread, path: Path
) -> None:
    """stderr has the id that the project does not have, and no other."""
    unknown = "0b5bd5a5-8b5f-4d3a-9d0a-000000000000"
    done = iottly("ingest", emulator.device_ids[0], unknown, "--to", path)
    assert done.code == 4
    assert done.err.count("has no device") == 1
    assert f"project {emulator.project_id} has no device '{unknown}'" in done.err
    alone = iottly("ingest", unknown, "--to", path.with_name(f"alone{path.suffix}"))
    assert alone.code == 1


def test_the_report_is_a_json_file(iottly: Run, emulator: EmulatorThread, tmp_path: Path) -> None:
    """The report has the store, the devices, and the shares of time."""
    file = tmp_path / "report.json"
    done = iottly("ingest", "--to", tmp_path / "x.jsonl", "--report", file)
    report = json.loads(file.read_text())
    assert done.code == 0
    assert (report["store"], report["rows"]) == (str(tmp_path / "x.jsonl"), 2000)
    assert [one["device_id"] for one in report["devices"]] == emulator.device_ids
    shares = {name: share for name, share in report["shares"].items() if name != "bottleneck"}
    assert set(shares) == {"quota", "network", "decoding", "store", "idle"}
    assert sum(shares.values()) == pytest.approx(1, abs=0.01)
    assert f"limit {report['shares']['bottleneck']} (quota " in done.err
    assert {one.name for one in tmp_path.iterdir()} == {
        *("x.jsonl", "x.jsonl.cursor", "x.jsonl.devices", "report.json")
    }


@pytest.mark.parametrize("name", ["", "none/report.json"])
def test_a_report_that_cannot_be_written_exits_with_2(
    iottly: Run, tmp_path: Path, name: str
) -> None:
    """The error comes before anything is fetched."""
    done = iottly("ingest", "--to", tmp_path / "x.jsonl", "--report", tmp_path / name)
    assert (done.code, done.out) == (2, "")
    assert "--report" in done.err
    assert not list(tmp_path.iterdir())


def test_following_with_an_end_exits_with_2(iottly: Run, tmp_path: Path) -> None:
    """`--follow` has no end, so `--end` contradicts it."""
    done = iottly("ingest", "--to", tmp_path / "x.jsonl", "--follow", "--end", "2026-05-01T00:00Z")
    assert done.code == 2
    assert "has no end" in done.err


@pytest.mark.skipif(sys.platform == "win32", reason="signals and terminals of POSIX")
def test_a_signal_ends_following_with_exit_code_0(
    environment: dict[str, str], emulator: EmulatorThread, tmp_path: Path
) -> None:
    """The terminal shows that the job follows; a signal is its normal end."""
    path, file = tmp_path / "telemetry.jsonl", tmp_path / "report.json"
    settings = {**environment, "TERM": "xterm", "COLUMNS": "150"}
    arguments = ("ingest", "--follow", "--to", str(path), "--report", str(file))
    with (
        terminal() as (ours, theirs),
        process(settings, *arguments, stdout=theirs, stderr=theirs) as running,
    ):
        read_until(ours, b"following")
        running.send_signal(signal.SIGTERM)
        shown = read_until(ours, b"idle")
        assert running.wait(timeout=60) == 0
    assert b"stopped following" in shown
    assert json.loads(file.read_text())["followed"]
    assert rows_of(path) == truth_of(emulator)


@pytest.mark.parametrize(("every", "at_the_end_alone"), [("0.001", False), ("60", True)])
def test_flush_every_says_how_long_rows_may_be_volatile(
    iottly: Run,
    emulator: EmulatorThread,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    every: str,
    at_the_end_alone: bool,
) -> None:
    """The store flushes that often. A job that is shorter flushes at its end alone."""
    flush, stored = JSONLinesStore.flush, []

    async def noted(store: JSONLinesStore) -> None:
        await flush(store)
        stored.append(len((tmp_path / "x.jsonl").read_bytes().splitlines()))

    monkeypatch.setattr(JSONLinesStore, "flush", noted)
    done = iottly(
        *("ingest", "--to", tmp_path / "x.jsonl", "--concurrency", "1", "--flush-every", every)
    )
    assert done.code == 0
    assert stored[-1] == truth_of(emulator).total()
    assert (stored[0] == stored[-1]) == at_the_end_alone


@pytest.mark.parametrize("every", ["-1", "0", "nan", "soon"])
def test_a_wrong_flush_every_exits_with_2(
    iottly: Run, emulator: EmulatorThread, tmp_path: Path, every: str
) -> None:
    """The error names it, and nothing is sent or written."""
    seen = len(emulator.requests)
    done = iottly("ingest", "--to", tmp_path / "x.jsonl", f"--flush-every={every}")
    assert (done.code, done.out) == (2, "")
    assert "flush-every" in done.err.replace("_", "-")
    assert (len(emulator.requests), list(tmp_path.iterdir())) == (seen, [])


def test_quiet_prints_nothing_but_errors(
    iottly: Run, emulator: EmulatorThread, tmp_path: Path
) -> None:
    """So cron sends no mail; a device that fails is still named."""
    done = iottly("ingest", "--quiet", "--to", tmp_path / "x.jsonl")
    assert (done.code, done.out, done.err) == (0, "", "")
    bad = emulator.device_ids[0]
    emulator.fault("status", status=403, route=f"/v1.0/*/device/{bad}/*", count=None)
    done = iottly("ingest", "-q", "--to", tmp_path / "y.jsonl")
    assert (done.code, done.out) == (4, "")
    assert f"device {bad}: ForbiddenError" in done.err
    assert "done" not in done.err


def test_the_report_can_be_printed_as_json(
    iottly: Run, emulator: EmulatorThread, tmp_path: Path
) -> None:
    """`--json` is one object, also with `--quiet` and on a terminal; its times are ISO texts."""
    start = "2026-04-03T00:00:00.000Z"
    arguments = ("ingest", "--to", tmp_path / "x.jsonl", "--start", start)
    done = iottly(*arguments, "--quiet", "--json", "--format", "table")
    (report,) = done.records
    assert (done.code, done.err) == (0, "")
    assert (report["done"], report["start"]) == (5, start)
    assert (
        report["end"]
        == datetime.fromisoformat(report["end"]).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"
    )


def test_columns_are_typed(iottly: Run, emulator: EmulatorThread, tmp_path: Path) -> None:
    """`--columns` makes a view; values that do not fit are counted on stderr and in the report."""
    path = tmp_path / "telemetry.duckdb"
    device = emulator.device_ids[0]
    emulator.append(
        device,
        [
            {"payload": {"sensor_data_reading": {"temperature": "warm"}}, "timestamp": at}
            for at in ("2026-04-20T00:00:00Z", "2026-04-20T00:00:01Z")
        ],
    )
    columns = "temperature = sensor_data_reading.temperature,version=agent.version"
    done = iottly("ingest", device, "--to", path, "--columns", columns, "--columns", "cpu=cpu")
    assert done.code == 0, done.err
    assert done.records[0]["clashes"] == {"temperature": 2}
    assert "columns: values of another type are null there: temperature 2" in done.err
    with duckdb.connect(str(path), read_only=True) as db:
        types = dict(db.execute("SELECT name, kind FROM ingest.columns").fetchall())
        (count,) = db.execute("SELECT count(temperature) FROM wide").fetchall()[0]
    assert (types, count > 0) == ({"temperature": "number", "version": "text", "cpu": None}, True)
    refused = iottly("ingest", "--to", path, "--columns", "temperature")
    assert (refused.code, "is not NAME=PATH" in refused.err) == (2, True)
    refused = iottly("ingest", "--to", tmp_path / "x.jsonl", "--columns", "a=b")
    assert (refused.code, "take a DuckDB, PostgreSQL or Parquet store" in refused.err) == (2, True)
