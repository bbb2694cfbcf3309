"""Messages of a device: the latest, or a range."""

from __future__ import annotations

import pytest

from iottly_async.emulator import EmulatorThread

from .conftest import Run


def test_the_latest_come_first(iottly: Run, emulator: EmulatorThread) -> None:
    """Ten by default, newest first, with the service's ids."""
    device = emulator.device_ids[0]
    records = iottly("messages", device).records
    latest = [stored["timestamp"] for stored in emulator.stored(device)][-10:]
    shown = [f"{time:%Y-%m-%dT%H:%M:%S}.{time.microsecond // 1000:03}Z" for time in latest]
    assert [record["timestamp"] for record in records] == shown[::-1]
    assert all(record["id"] and record["key"] for record in records)


def test_the_latest_can_be_filtered(iottly: Run, emulator: EmulatorThread) -> None:
    """`--query` is a filter of the service's own."""
    done = iottly(
        "messages", emulator.device_ids[0], "--limit", "3", "--query", '{"type":"iottlyagent"}'
    )
    assert [record["type"] for record in done.records] == ["iottlyagent"] * 3


def test_a_range_is_walked_whole(iottly: Run, emulator: EmulatorThread) -> None:
    """`--start` prints everything from there on, oldest first."""
    device = emulator.device_ids[0]
    records = iottly("messages", device, "--start", "2026-01-01T00:00Z").records
    assert len(records) == len(emulator.stored(device))
    assert [r["timestamp"] for r in records] == sorted(r["timestamp"] for r in records)


def test_a_range_can_be_cut_short(iottly: Run, emulator: EmulatorThread) -> None:
    """`--limit` and `--order` apply to a range too."""
    device = emulator.device_ids[0]
    done = iottly(
        *("messages", device, "--start", "2026-01-01T00:00Z", "--limit", "2", "--order", "desc")
    )
    last = [stored["payload"] for stored in emulator.stored(device)][:-3:-1]
    assert [record["payload"] for record in done.records] == last


def test_a_payload_that_is_not_json_is_shown_as_bytes(
    iottly: Run, emulator: EmulatorThread
) -> None:
    """It is neither lost nor does it break the lines around it."""
    device = emulator.device_ids[-1]
    emulator.append(device, [{"payload_json": "NaN"}])
    (record,) = iottly("messages", device, "--limit", "1").records
    assert (record["payload"], record["payload_base64"]) == (None, "TmFO")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--start", "2026-04-03T00:00"], "--start must say its zone"),
        (["--start", "yesterday"], "--start must be an ISO time with a zone"),
        (["--end", "2026-13-01T00:00Z"], "--end must be an ISO time with a zone"),
        (["--start", "2026-04-03T00:00Z", "--end", "2026-04-03T00:00Z"], "must be before end"),
        (["--limit", "0"], "--limit must be 1 or more"),
        (["--limit", "101"], "101"),
        (["--query", "[1]"], "--query must be a JSON object"),
        (["--type", "others"], "--type"),
        (["--query", "{}", "--type", "userdefined"], "--query goes with the latest"),
    ],
)
def test_a_bad_argument_is_usage(
    iottly: Run, emulator: EmulatorThread, arguments: list[str], told: str
) -> None:
    """It is refused before anything is sent, by a text that names it."""
    before = len(emulator.requests)
    done = iottly("messages", emulator.device_ids[0], *arguments)
    assert (done.code, done.out) == (2, "")
    assert told in " ".join(done.err.split())
    assert len(emulator.requests) == before


def test_a_device_that_is_none_of_the_projects_is_told(
    iottly: Run, emulator: EmulatorThread
) -> None:
    """A mistyped id has no messages, which is no error; a line on stderr asks about it."""
    stranger = "0b5bd5a5-8b5f-4d3a-9d0a-000000000000"
    done = iottly("messages", stranger, "--start", "2026-01-01T00:00Z")
    assert (done.code, done.records) == (0, [])
    assert f"device {stranger}: project {emulator.project_id} has no such device" in done.err
    quiet = iottly("messages", emulator.device_ids[0], "--start", "2036-01-01T00:00Z")
    assert "no such device" not in quiet.err
