"""`iottly ingest`: the main job, by one command."""

from __future__ import annotations

from pathlib import Path

import pytest

from iottly_async.emulator import EmulatorThread
from tests.support.stored_rows import rows_of, truth_of

from .conftest import Run


@pytest.fixture(params=["duckdb", "jsonl"])
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Where the store is to be."""
    return tmp_path / f"telemetry.{request.param}"


def test_a_project_is_fetched_into_a_file(
    iottly: Run, emulator: EmulatorThread, path: Path
) -> None:
    """The report is one record on stdout, and a line for people on stderr."""
    done = iottly("ingest", "--to", path)
    (report,) = done.records
    assert done.code == 0
    assert rows_of(path) == truth_of(emulator)
    assert (report["rows"], report["done"], report["failed"]) == (sum(rows_of(path).values()), 5, 0)
    assert "done: " in done.err


def test_the_devices_named_and_a_range(iottly: Run, emulator: EmulatorThread, path: Path) -> None:
    """Arguments are devices; times say their zone."""
    device = emulator.device_ids[1]
    done = iottly(
        *("ingest", device, "--to", path, "--type", "userdefined"),
        *("--start", "2026-04-05T02:00+02:00", "--end", "2026-04-06T00:00Z"),
    )
    assert done.code == 0
    rows = rows_of(path)
    assert {(row.device_id, row.type) for row in rows} == {(device, "userdefined")}
    assert all(1775347200000 <= row.timestamp < 1775433600000 for row in rows)


def test_some_failed_devices_are_4(iottly: Run, emulator: EmulatorThread, path: Path) -> None:
    """Each is named on stderr with what the service said; a second run fetches the rest."""
    bad = emulator.device_ids[0]
    emulator.fault("status", status=403, route=f"/v1.0/*/device/{bad}/*", count=None)
    done = iottly("ingest", "--to", path)
    assert done.code == 4
    assert f"device {bad}: ForbiddenError" in done.err
    emulator.clear_faults()
    assert iottly("ingest", "--to", path).code == 0
    assert rows_of(path) == truth_of(emulator)


def test_devices_that_all_refuse_are_3(iottly: Run, emulator: EmulatorThread, path: Path) -> None:
    """Where nothing could be fetched for want of access, it is the key's matter."""
    emulator.fault("status", status=403, route="paginated", count=None)
    assert iottly("ingest", "--to", path).code == 3


def test_another_query_into_the_same_store_is_2(iottly: Run, path: Path) -> None:
    """The text says what differs."""
    iottly("ingest", "--to", path)
    done = iottly("ingest", "--to", path, "--start", "2026-04-05T00:00Z")
    assert done.code == 2
    assert "start is open there" in done.err


@pytest.mark.parametrize("store", ["x.csv", "s3://bucket/x", "/no/such/folder/x.jsonl"])
def test_a_store_that_cannot_be_is_2(iottly: Run, store: str) -> None:
    """The text names it and says what is accepted, or what the system said."""
    done = iottly("ingest", "--to", store)
    assert (done.code, done.out) == (2, "")
    assert store in done.err


def test_the_emulator_in_the_process(
    iottly: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """`--emulator` needs neither key nor project; all its messages are new only once."""
    for name in ("IOTTLY_API_KEY", "IOTTLY_BASE_URL", "IOTTLY_PROJECT"):
        monkeypatch.delenv(name)
    path = tmp_path / "telemetry.duckdb"
    (report,) = iottly("ingest", "--emulator", "--to", path).records
    assert (report["rows"], report["done"], report["rejected"]) == (100_000, 20, 0)
    (again,) = iottly("ingest", "--emulator", "--to", path).records
    assert (again["rows"], again["total"]) == (0, 100_000)


def test_a_device_that_is_none_of_the_projects_is_told(
    iottly: Run, emulator: EmulatorThread, path: Path
) -> None:
    """Of the devices named, one that the project does not have is asked about, no other."""
    stranger = "0b5bd5a5-8b5f-4d3a-9d0a-000000000000"
    done = iottly("ingest", emulator.device_ids[0], stranger, "--to", path)
    assert done.code == 0
    assert done.err.count("no such device") == 1
    assert f"device {stranger}: project {emulator.project_id} has no such device" in done.err
