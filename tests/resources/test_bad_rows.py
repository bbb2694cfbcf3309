"""Rows that are no messages, over HTTP: walks, followers and jobs go on beside them (D8)."""

from __future__ import annotations

import base64
import json
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

from iottly_async import BadRow, ConfigurationError, DecodeError, FollowPace, Message
from iottly_async.emulator import Emulator
from iottly_async.ingest import IngestJob
from tests.resources.test_walks import session_on

BAD: list[Any] = [
    {"from": "a", "timestamp": "Invalid date", "payload": {"n": 1}},
    {"from": "a", "payload": {"n": 2}},
    {"from": 7, "timestamp": "2026-04-01T10:00:00", "payload": {"n": 3}},
    {"from": "a", "timestamp": "2026-04-01T10:00:61", "payload": {"n": 4}},
    "a text where a message belongs",
    None,
    [1, 2],
]


def fill(emulator: Emulator) -> str:
    """Give a device 250 messages, with a bad row after each thirtieth; its id."""
    emulator.clock.pin()
    device_id = emulator.device_ids[0]
    rows = iter(BAD)
    for number in range(250):
        emulator.append(device_id, [{"payload": number}])
        if number % 30 == 29 and (row := next(rows, ...)) is not ...:
            emulator.append_raw(device_id, [row])
        emulator.clock.advance(1)
    emulator.clock.advance(60)
    return device_id


def told(rows: list[BadRow]) -> list[str]:
    """What bad rows held, as sorted JSON."""
    return sorted(json.dumps(json.loads(row.raw)) for row in rows)


EXPECTED = sorted(map(json.dumps, BAD))


@pytest.mark.parametrize("order", ["asc", "desc"])
async def test_a_walk_raises_or_skips(order: Any) -> None:
    """By default a walk raises for a bad row, with its path; with `skip` all else comes, and the
    rows are in `MessageBatch.rejected`. The walk costs a request more for each page with one."""
    async with Emulator(devices=1, messages=0) as emulator, session_on(emulator) as session:
        device_id = fill(emulator)
        messages = session.project(emulator.project_id).messages
        with pytest.raises(DecodeError) as caught:
            _ = [one async for one in messages.walk(device_id, order=order)]
        assert caught.value.path.startswith("$.messages[")
        before = len(emulator.requests)
        found: list[Message] = []
        rejected: list[BadRow] = []
        async for batch in messages.batches(device_id, order=order, on_bad_row="skip"):
            found += batch.messages
            rejected += batch.rejected
        assert sorted(one.payload for one in found) == [*range(250)]
        assert told(rejected) == EXPECTED
        assert len(emulator.requests) - before <= 2 * 3 + 1
        walk = messages.walk_many(order=order, on_bad_row="skip")
        assert sorted([one.payload async for one in walk]) == [*range(250)]
        with pytest.raises(ConfigurationError, match="on_bad_row"):
            messages.batches(device_id, on_bad_row="ignore")  # type: ignore[arg-type]


async def test_a_follower_goes_on_beside_bad_rows() -> None:
    """A follower that skips tells each bad row once, although it reads the last seconds again,
    and also one that arrives alone."""
    async with Emulator(devices=1, messages=0) as emulator, session_on(emulator) as session:
        device_id = fill(emulator)
        messages = session.project(emulator.project_id).messages
        start = emulator.stored(device_id)[0]["timestamp"]
        following = messages.follow(
            device_id, start=start, pace=FollowPace(fastest=0.02, slowest=0.05), on_bad_row="skip"
        )
        found: list[Any] = []
        rejected: list[BadRow] = []
        async with aclosing(following):
            async for batch in following:
                found += [one.payload for one in batch.messages]
                rejected += batch.rejected
                if len(found) == 250:
                    emulator.append_raw(device_id, ["alone"])
                    emulator.clock.advance(30)
                if len(rejected) == len(BAD) + 1:
                    break
    assert found == [*range(250)]
    assert told(rejected) == sorted([*EXPECTED, '"alone"'])


async def test_a_job_rejects_them_with_their_bytes_and_goes_on(tmp_path: Path) -> None:
    """A job stores all messages; bad rows are in `rejected` once, with bytes, path and reason,
    also after a second run that meets them again."""
    async with Emulator(devices=1, messages=0) as emulator, session_on(emulator) as session:
        device_id = fill(emulator)
        path = tmp_path / "all.jsonl"
        job = IngestJob(session, project=emulator.project_id, store=path)
        report = await job.run()
        assert (report.rows, report.rejected, report.failed) == (250, len(BAD), 0)
        emulator.append(device_id, [{"payload": 250}])
        emulator.append_raw(device_id, [BAD[0], "new"])
        emulator.clock.advance(60)
        report = await IngestJob(session, project=emulator.project_id, store=path).run()
        assert (report.rows, report.rejected, report.failed) == (1, 1, 0)
    stored = [json.loads(line)["payload"] for line in path.read_text("utf-8").splitlines()]
    assert sorted(stored) == [*range(251)]
    aside = tmp_path / "all.jsonl.rejected"
    lines = [json.loads(line) for line in aside.read_text("utf-8").splitlines()]
    kept = sorted(json.dumps(json.loads(base64.b64decode(line["raw_base64"]))) for line in lines)
    assert kept == sorted([*EXPECTED, '"new"'])
    assert {line["path"] for line in lines} <= {"$", "$.timestamp", "$.from"}
    assert all(line["reason"] for line in lines)


@pytest.mark.parametrize("on_bad_row", ["raise", "skip"])
async def test_a_fault_that_passes_is_no_bad_row(on_bad_row: Any) -> None:
    """A row that is garbled in one answer alone comes as a message, whichever it is."""
    async with Emulator(devices=1, messages=0) as emulator, session_on(emulator) as session:
        emulator.clock.pin()
        emulator.append(emulator.device_ids[0], [{"payload": n} for n in range(80)])
        emulator.clock.advance(60)
        emulator.fault("row", body="garbled", row=40)
        messages = session.project(emulator.project_id).messages
        found = []
        async for batch in messages.batches(emulator.device_ids[0], on_bad_row=on_bad_row):
            assert not batch.rejected
            found += [one.payload for one in batch.messages]
        assert sorted(found) == [*range(80)]


async def test_a_page_without_a_message_is_an_error() -> None:
    """A device of which no row can be read is an error, whether bad rows are skipped or not."""
    async with Emulator(devices=1, messages=0) as emulator, session_on(emulator) as session:
        emulator.clock.pin()
        emulator.append_raw(emulator.device_ids[0], BAD)
        emulator.clock.advance(60)
        messages = session.project(emulator.project_id).messages
        with pytest.raises(DecodeError):
            await anext(messages.batches(emulator.device_ids[0], on_bad_row="skip"))
