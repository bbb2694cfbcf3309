"""Jobs: afterwards the store holds the messages of the emulator."""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from iottly_async import Config, IottlySession, RateLimiter
from iottly_async.emulator import REFERENCE_END, Emulator
from iottly_async.errors import (
    ConfigurationError,
    CursorMismatchError,
    ForbiddenError,
    StoreError,
    UnauthorizedError,
)
from iottly_async.ingest import Group, IngestJob, IngestReport, Outcome, Progress, StoredState
from iottly_async.models import Message
from tests.support.stored_rows import keys_of, rejected_of, rows_of, truth_of


async def run(session: IottlySession, emulator: Emulator, path: Path) -> IngestReport:
    """Run a job for all messages of the emulator."""
    return await IngestJob(session, project=emulator.project_id, store=path).run()


async def test_every_message_is_stored_once(
    session: IottlySession, emulator: Emulator, path: Path
) -> None:
    """The store holds the emulator's messages, row for row. Each row has another key."""
    report = await run(session, emulator, path)
    assert rows_of(path) == truth_of(emulator)
    assert len(set(keys_of(path))) == len(keys_of(path)) == report.rows == report.total == 600
    assert (report.done, report.failed, report.interrupted) == (3, 0, False)


async def test_a_second_run_fetches_only_what_is_new(
    session: IottlySession, emulator: Emulator, path: Path
) -> None:
    """After a complete run, the next one goes on behind the newest message that is stored, to
    the present. So it also has messages whose time lies before the end of the last run (D11)."""
    await run(session, emulator, path)
    emulator.clock.offset = 2
    emulator.append(
        emulator.device_ids[1],
        [{"payload": {"n": n}, "timestamp": REFERENCE_END + timedelta(hours=n)} for n in range(5)],
    )
    before = (await run(session, emulator, path)).rows
    emulator.clock.offset = 3600
    emulator.append(emulator.device_ids[0], 7)
    emulator.clock.offset = 7200
    report = await run(session, emulator, path)
    assert (before, report.rows, report.total) == (5, 7, 612)
    assert rows_of(path) == truth_of(emulator)


async def test_a_stopped_job_is_resumed_to_the_same_end(
    session: IottlySession, emulator: Emulator, path: Path
) -> None:
    """What was fetched before the stop is stored. The next run adds the rest."""
    job = IngestJob(
        session, project=emulator.project_id, store=path, concurrency=1, flush_every=0.001
    )

    def stop_midway(progress: Progress) -> None:
        if progress.rows or progress.waiting:
            job.stop()

    emulator.fault("stall", route="paginated", skip=3, count=1)
    first = await job.run(stop_midway)
    emulator.clear_faults()
    emulator.clock.offset = 3600
    second = await run(session, emulator, path)
    assert first.interrupted
    assert 0 < first.rows < 600
    assert first.rows + second.rows == 600
    assert second.end == first.end
    assert rows_of(path) == truth_of(emulator)


async def test_a_cancelled_job_leaves_a_store_that_can_be_resumed(
    session: IottlySession, emulator: Emulator, path: Path
) -> None:
    """`run` raises `CancelledError`, and the next run completes the store."""
    emulator.fault("stall", route="paginated", skip=4, count=1)
    job = IngestJob(session, project=emulator.project_id, store=path, concurrency=1)
    running = asyncio.create_task(job.run())
    await emulator.until_requests(6)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    emulator.clear_faults()
    await run(session, emulator, path)
    assert rows_of(path) == truth_of(emulator)


async def test_an_error_of_one_device_does_not_stop_the_others(
    session: IottlySession, emulator: Emulator, path: Path
) -> None:
    """The report names the device and its error. The next run fetches the device."""
    bad, *good = emulator.device_ids
    emulator.fault("status", status=403, route=f"/v1.0/*/device/{bad}/*", count=None)
    report = await run(session, emulator, path)
    assert (report.done, report.failed) == (2, 1)
    outcome = report.devices[0]
    assert (outcome.outcome, outcome.error_type, outcome.status) == (
        Outcome.FAILED,
        "ForbiddenError",
        403,
    )
    assert rows_of(path) == truth_of(emulator, good)
    emulator.clear_faults()
    await run(session, emulator, path)
    assert rows_of(path) == truth_of(emulator)


async def test_a_refused_key_ends_the_job(
    session: IottlySession, emulator: Emulator, path: Path
) -> None:
    """An error that every device would meet is raised at once."""
    emulator.fault("status", status=401, route="paginated", skip=3, count=None)
    with pytest.raises(UnauthorizedError):
        await run(session, emulator, path)


async def test_a_job_ends_if_all_devices_are_refused(
    session: IottlySession, emulator: Emulator, path: Path
) -> None:
    """Without an answer the range cannot be pinned. The error of the first device is raised."""
    emulator.fault("status", status=403, route="paginated", count=None)
    with pytest.raises(ForbiddenError):
        await run(session, emulator, path)


async def test_invalid_payloads_are_rejected(
    session: IottlySession, emulator: Emulator, path: Path
) -> None:
    """A payload that is not valid JSON is stored as bytes, with a reason, and counted."""
    device = emulator.device_ids[0]
    deep = ["[" * levels + "]" * levels for levels in (201, 5000)]
    bad = ['{"level":NaN}', '{"level":1e999}', '"\\ud800"', *deep]
    emulator.append(
        device,
        [
            {"payload_json": text, "timestamp": REFERENCE_END - timedelta(seconds=9 - n)}
            for n, text in enumerate(bad)
        ],
    )
    report = await run(session, emulator, path)
    rejected = rejected_of(path)
    assert sorted(text for _, text, _ in rejected) == sorted(text.encode() for text in bad)
    assert {owner for owner, _, _ in rejected} == {device}
    assert all(reason.startswith("the message's payload is n") for _, _, reason in rejected)
    assert (report.rows, report.rejected, report.total) == (600, 5, 605)
    assert report.devices[0].rejected == 5
    truth = truth_of(emulator)
    assert rows_of(path) == {row: n for row, n in truth.items() if row.payload not in bad}


async def test_a_payload_in_many_lines_is_stored(
    session: IottlySession, emulator: Emulator, path: Path
) -> None:
    """JSON may have line ends between its tokens. One message is still one row."""
    emulator.append(
        emulator.device_ids[0],
        [{"payload_json": '{\n "a": 1.50\r\n}', "timestamp": REFERENCE_END - timedelta(seconds=1)}],
    )
    report = await run(session, emulator, path)
    assert report.rows == sum(rows_of(path).values()) == 601


async def test_only_the_devices_named_are_fetched(
    session: IottlySession, emulator: Emulator, path: Path
) -> None:
    """Other devices can be added to the same store later."""
    one, two, _ = emulator.device_ids
    for chosen in ([one], [two, two]):
        await IngestJob(session, project=emulator.project_id, devices=chosen, store=path).run()
    assert rows_of(path) == truth_of(emulator, [one, two])


async def test_a_range_and_a_type_are_respected(
    session: IottlySession, emulator: Emulator, path: Path
) -> None:
    """`start` is inclusive, `end` is exclusive, and other types are not stored."""
    start, end = datetime(2026, 4, 5, tzinfo=UTC), datetime(2026, 4, 6, tzinfo=UTC)
    await IngestJob(
        session, project=emulator.project_id, start=start, end=end, type="userdefined", store=path
    ).run()
    low, high = start.timestamp() * 1000, end.timestamp() * 1000
    expected = {
        row: count
        for row, count in truth_of(emulator).items()
        if low <= row.timestamp < high and row.type == "userdefined"
    }
    assert expected
    assert rows_of(path) == expected


async def test_a_store_of_another_query_is_refused(
    session: IottlySession, emulator: Emulator, path: Path
) -> None:
    """The error says what differs. The store is not changed."""
    await run(session, emulator, path)
    other = IngestJob(
        session, project=emulator.project_id, start=datetime(2026, 4, 1, tzinfo=UTC), store=path
    )
    with pytest.raises(CursorMismatchError, match="start is open there"):
        await other.run()
    assert rows_of(path) == truth_of(emulator)


async def test_a_job_into_an_open_store_is_refused(
    session: IottlySession, emulator: Emulator, tmp_path: Path
) -> None:
    """Two jobs do not write to one file at the same time."""
    path = tmp_path / "telemetry.jsonl"
    emulator.fault("stall", route="paginated", count=1)
    running = asyncio.create_task(run(session, emulator, path))
    await emulator.until_requests(2)
    with pytest.raises(StoreError, match=f"another job, process {os.getpid()} on "):
        await run(session, emulator, path)
    emulator.clear_faults()
    await running


async def test_the_last_progress_matches_the_report(
    session: IottlySession, emulator: Emulator, path: Path
) -> None:
    """The last snapshot has the report's numbers, and nothing remains."""
    seen: list[Progress] = []
    job = IngestJob(session, project=emulator.project_id, store=path)
    report = await job.run(seen.append)
    last = seen[-1]
    assert (last.rows, last.waiting, last.done, last.devices) == (600, 0, 3, 3)
    assert (last.share, last.seconds_left) == (1.0, 0.0)
    assert last.requests == report.requests


async def test_a_job_runs_once(session: IottlySession, emulator: Emulator, path: Path) -> None:
    """A second `run` of the same object raises an error."""
    job = IngestJob(session, project=emulator.project_id, store=path)
    await job.run()
    with pytest.raises(ConfigurationError, match="runs once"):
        await job.run()


async def test_a_job_makes_few_requests_beyond_the_full_pages(tmp_path: Path) -> None:
    """Dividing large devices costs at most 5 % of the requests. Two requests begin the job."""
    async with (
        Emulator(devices=4, messages=20_000) as emulator,
        IottlySession(
            emulator.api_key, config=Config(base_url=emulator.base_url), limiter=RateLimiter()
        ) as session,
    ):
        report = await run(session, emulator, tmp_path / "x.jsonl")
    assert report.requests <= 1.05 * 200 + 8 + 2


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({"devices": []}, "devices must name one"),
        ({"devices": "d"}, "devices must be several ids"),
        ({"devices": 5}, "devices must be several ids, such as a list, not int"),
        ({"follow": "no"}, "follow must be True or False"),
        ({"devices": ["a/b"]}, "devices must be an id"),
        ({"project": "a/b"}, "project_id must be an id"),
        ({"start": datetime(2026, 1, 1)}, "start must be an aware"),  # noqa: DTZ001
        ({"type": "others"}, "type must be"),
        ({"concurrency": 0}, "concurrency must be 1 to 1000"),
        ({"flush_every": 0}, "flush_every must be more than 0"),
        ({"store": "telemetry.xml"}, "store must be a file ending in .duckdb or .jsonl"),
        ({"store": "mongodb://user:secret@host/db"}, r"not 'mongodb://host/db'"),
        ({"store": 5}, "not int"),
    ],
)
async def test_a_wrong_argument_is_refused_at_once(
    session: IottlySession,
    emulator: Emulator,
    tmp_path: Path,
    arguments: dict[str, object],
    reason: str,
) -> None:
    """The error names the argument and what is accepted. Nothing was sent or created."""
    defaults = {"project": "p", "store": tmp_path / "x.jsonl"}
    with pytest.raises(ConfigurationError, match=reason) as refused:
        IngestJob(session, **{**defaults, **arguments})  # type: ignore[arg-type]
    assert "secret" not in str(refused.value)
    assert not emulator.requests
    assert not os.listdir(tmp_path)


class ListStore:
    """A user's own store, in memory. It rejects payloads with a 7."""

    def __init__(self) -> None:
        self.plan: str | None = None
        self.cursors: dict[str, str] = {}
        self.rows: list[Message] = []
        self.refused: list[Message] = []

    async def open(self) -> StoredState:
        """Return the plan and the cursors."""
        return StoredState(plan=self.plan, cursors=self.cursors)

    async def begin(self, plan: str) -> None:
        """Replace the plan."""
        self.plan = plan

    async def write(self, group: Group) -> Mapping[str, int]:
        """Store rows and cursors."""
        refused = [message for message in group.messages if b"7" in message.payload_json]
        self.refused += refused
        self.rows += [message for message in group.messages if message not in refused]
        self.cursors |= {name: cursor.to_json() for name, cursor in group.cursors.items()}
        return Counter(message.device_id for message in refused)

    async def flush(self) -> None:
        """Do nothing."""

    async def close(self) -> None:
        """Do nothing."""


async def test_a_users_own_store(session: IottlySession, emulator: Emulator) -> None:
    """An object with the methods of `Store` is a store. It may reject rows itself."""
    store = ListStore()
    report = await IngestJob(session, project=emulator.project_id, store=store).run()
    assert (report.rows, report.rejected) == (len(store.rows), len(store.refused))
    assert report.rejected == sum(device.rejected for device in report.devices) > 0
    assert report.rows + report.rejected == report.total == 600
    again = await IngestJob(session, project=emulator.project_id, store=store).run()
    assert again.rows == 0


class ColumnStore(ListStore):
    """A user's own store of columns."""

    def __init__(self) -> None:
        super().__init__()
        self.keys: list[str] = []

    async def write(self, group: Group) -> Mapping[str, int]:
        """Store keys and cursors."""
        self.keys += group.arrow().column("key").to_pylist()
        self.cursors |= {name: cursor.to_json() for name, cursor in group.cursors.items()}
        return {}


async def test_a_store_of_columns_makes_no_messages(
    session: IottlySession, emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A store that reads `Group.arrow` gets each row once, and no `Message` is made for it."""
    messages = session.project(emulator.project_id).messages
    expected = sorted([message.key async for message in messages.walk_many()])

    def made(_: object) -> None:
        raise AssertionError("a message was made")

    monkeypatch.setattr("iottly_async.models.message_batch.messages_of", made)
    store = ColumnStore()
    await IngestJob(session, project=emulator.project_id, store=store).run()
    assert sorted(store.keys) == expected
