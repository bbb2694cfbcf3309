"""`iottly messages`: the latest messages of a device, or a range."""

from __future__ import annotations

import pytest

from iottly_async.emulator import EmulatorThread

from .conftest import Run


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
        (["--start", "2026-04-03T00:00"], "--start needs a time zone"),
        (["--start", "yesterday"], "--start must be an ISO time with a time zone"),
        (["--end", "2026-13-01T00:00Z"], "--end must be an ISO time with a time zone"),
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
