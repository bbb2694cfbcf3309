"""`iottly messages`: the latest messages of a device, or a range."""

from __future__ import annotations

import csv
import json
import signal
import sys

import pytest

from iottly_async.emulator import EmulatorThread

from .conftest import Run, process


def test_the_latest_come_first(iottly: Run, emulator: EmulatorThread) -> None:
    """By default there are ten, newest first, with the service's ids."""
    device = emulator.device_ids[0]
    records = iottly("messages", device).records
    latest = [stored["timestamp"] for stored in emulator.stored(device)][-10:]
    shown = [f"{time:%Y-%m-%dT%H:%M:%S}.{time.microsecond // 1000:03}Z" for time in latest]
    assert [record["timestamp"] for record in records] == shown[::-1]
    assert all(record["id"] and record["key"] for record in records)


def test_the_latest_can_be_filtered(iottly: Run, emulator: EmulatorThread) -> None:
    """`--query` is passed to the service."""
    done = iottly(
        "messages", emulator.device_ids[0], "--limit", "3", "--query", '{"type":"iottlyagent"}'
    )
    assert [record["type"] for record in done.records] == ["iottlyagent"] * 3


def test_a_range_is_complete(iottly: Run, emulator: EmulatorThread) -> None:
    """`--start` prints all messages from that time, oldest first."""
    device = emulator.device_ids[0]
    records = iottly("messages", device, "--start", "2026-01-01T00:00Z").records
    assert len(records) == len(emulator.stored(device))
    assert [r["timestamp"] for r in records] == sorted(r["timestamp"] for r in records)


def test_a_range_can_be_limited(iottly: Run, emulator: EmulatorThread) -> None:
    """`--limit` and `--order` apply to a range."""
    device = emulator.device_ids[0]
    done = iottly(
        *("messages", device, "--start", "2026-01-01T00:00Z", "--limit", "2", "--order", "desc")
    )
    last = [stored["payload"] for stored in emulator.stored(device)][:-3:-1]
    assert [record["payload"] for record in done.records] == last


def test_rows_that_cannot_be_read_are_counted(iottly: Run, emulator: EmulatorThread) -> None:
    """The messages beside them are printed, and the exit code is 4."""
    device = emulator.device_ids[2]
    stored = emulator.stored(device)
    emulator.append_raw(device, [{"timestamp": "soon"}], timestamp=stored[1]["timestamp"])
    done = iottly("messages", device, "--start", "2026-01-01T00:00Z")
    assert done.code == 4
    assert len(done.records) == len(stored)
    assert "rows that cannot be read, and were left out: 1" in done.err


def test_a_payload_that_is_not_json_is_shown_as_bytes(
    iottly: Run, emulator: EmulatorThread
) -> None:
    """The payload is printed as base64, and the other lines stay valid."""
    device = emulator.device_ids[-1]
    emulator.append(device, [{"payload_json": "NaN"}])
    (record,) = iottly("messages", device, "--limit", "1").records
    assert (record["payload"], record["payload_base64"]) == (None, "TmFO")


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--start", "tomorrow"], "--start must be an ISO time"),
        (["--end", "2026-13-01T00:00Z"], "--end must be an ISO time"),
        (["--since", "a week"], "--since must be a number with"),
        (["--since", "7d", "--start", "2026-04-03"], "pass one of them"),
        (["--tz", "Rome"], "--tz must be UTC or the name of a time zone"),
        (["--columns", "time"], "--columns has no column 'time'"),
        (["--follow", "--end", "2026-04-03"], "--follow has no end"),
        (["--follow", "--order", "desc"], "goes forward"),
        (["--follow", "--query", "{}"], "--query filters the latest messages"),
        (["--start", "2026-04-03T00:00Z", "--end", "2026-04-03T00:00Z"], "must be before end"),
        (["--limit", "0"], "--limit must be 1 or more"),
        (["--limit", "101"], "101"),
        (["--query", "[1]"], "--query must be a JSON object"),
        (["--type", "others"], "--type"),
        (["--query", "{}", "--type", "userdefined"], "--query filters the latest"),
    ],
)
def test_a_wrong_argument_exits_with_2(
    iottly: Run, emulator: EmulatorThread, arguments: list[str], text: str
) -> None:
    """It is refused before anything is sent, and the error names it."""
    before = len(emulator.requests)
    done = iottly("messages", emulator.device_ids[0], *arguments)
    assert (done.code, done.out) == (2, "")
    assert text in " ".join(done.err.split())
    assert len(emulator.requests) == before


@pytest.mark.parametrize("options", [[], ["--start", "2026-01-01T00:00Z"]])
def test_a_device_that_does_not_exist_exits_with_1(
    iottly: Run, emulator: EmulatorThread, options: list[str]
) -> None:
    """A wrong id has no messages (D4), which looks like a quiet device; stderr says which it is."""
    right = emulator.device_ids[0]
    wrong = right[:-1] + ("0" if right[-1] != "0" else "1")
    done = iottly("messages", wrong, *options)
    assert (done.code, done.records) == (1, [])
    assert f"project {emulator.project_id} has no device '{wrong}'; did you mean" in done.err
    assert right in done.err
    quiet = iottly("messages", right, "--start", "2036-01-01T00:00Z")
    assert (quiet.code, quiet.records, quiet.err) == (0, [], "")


def test_times_and_columns_can_be_chosen(iottly: Run, emulator: EmulatorThread) -> None:
    """A date is a day of `--tz`, and so are the times printed; a path leads into payloads."""
    device = emulator.device_ids[0]
    options = ("--start", "2026-04-05", "--end", "2026-04-06", "--tz", "Europe/Rome")
    whole = iottly("messages", device, *options).records
    expected = [
        stored
        for stored in emulator.stored(device)
        if "2026-04-04T22" <= f"{stored['timestamp']:%Y-%m-%dT%H}" < "2026-04-05T22"
    ]
    assert [record["payload"] for record in whole] == [stored["payload"] for stored in expected]
    assert whole
    assert all(record["timestamp"].startswith("2026-04-05T") for record in whole)
    assert all(record["timestamp"].endswith("+02:00") for record in whole)
    name = next(iter(whole[0]["payload"]))
    columns = ("--columns", f"timestamp,payload.{name}")
    for record, chosen in zip(
        whole, iottly("messages", device, *options, *columns).records, strict=True
    ):
        assert chosen == {
            "timestamp": record["timestamp"],
            f"payload.{name}": record["payload"].get(name),
        }


def test_csv_and_a_table_have_the_chosen_columns(iottly: Run, emulator: EmulatorThread) -> None:
    """The table's heading has the time zone."""
    arguments = ("messages", emulator.device_ids[0], "-n", "3", "--columns", "timestamp,payload")
    records = iottly(*arguments).records
    rows = list(csv.reader(iottly(*arguments, "--format", "csv").out.splitlines()))
    assert rows[0] == ["timestamp", "payload"]
    assert [(time, json.loads(payload)) for time, payload in rows[1:]] == [
        (record["timestamp"], record["payload"]) for record in records
    ]
    table = iottly(*arguments, "--format", "table", "--tz", "Asia/Tokyo").out
    assert table.splitlines()[0].split("  ")[0] == "timestamp (Asia/Tokyo)"
    assert table.count("+09:00  {") == 3


def test_since_counts_back_from_the_present(iottly: Run, emulator: EmulatorThread) -> None:
    """`--since` is a duration."""
    device = emulator.device_ids[0]
    assert len(iottly("messages", device, "--since", "9999w").records) == len(
        emulator.stored(device)
    )
    assert iottly("messages", device, "--since", "1s").records == []


def test_following_prints_from_the_start_on(iottly: Run, emulator: EmulatorThread) -> None:
    """What there is comes first; `--limit` ends it."""
    device = emulator.device_ids[0]
    done = iottly("messages", device, "-f", "--start", "2026-01-01", "-n", "7")
    first = [stored["payload"] for stored in emulator.stored(device)][:7]
    assert [record["payload"] for record in done.records] == first
    assert f"following device {device}, from 2026-01-01T00:00:00.000Z on" in done.err


def test_following_a_device_that_does_not_exist_exits_with_1(iottly: Run) -> None:
    """It would wait for ever."""
    done = iottly("messages", "0b5bd5a5-8b5f-4d3a-9d0a-000000000000", "--follow")
    assert (done.code, done.out) == (1, "")
    assert "has no device" in done.err


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
@pytest.mark.parametrize("form", ["table", "csv", "json", "jsonl"])
def test_ctrl_c_keeps_what_was_printed(
    environment: dict[str, str], emulator: EmulatorThread, form: str
) -> None:
    """Messages are printed as they come, in every format; a JSON array is ended."""
    device = emulator.device_ids[0]
    emulator.fault("stall", route="paginated", skip=1, count=None)
    seen = len(emulator.requests)
    arguments = ("messages", device, "--start", "2026-01-01", "--format", form)
    with process(environment, *arguments) as running:
        emulator.until_requests(seen + 2, timeout=60)
        assert running.stdout is not None
        assert running.stderr is not None
        out = running.stdout.readline() + running.stdout.readline()
        running.send_signal(signal.SIGINT)
        out += running.stdout.read()
        err = running.stderr.read()
        running.wait(timeout=60)
    emulator.clear_faults()
    assert (running.returncode, err) == (130, "iottly: interrupted\n")
    match form:
        case "json":
            count = len(json.loads(out))
        case "jsonl":
            count = len([json.loads(line) for line in out.splitlines()])
        case _:
            count = len(out.splitlines()) - 1
    assert 90 <= count <= 100
