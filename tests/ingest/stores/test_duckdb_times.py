"""The times of a DuckDB store: moments, in any zone; and files of the version before them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import pytest

from iottly_async.errors import StoreError
from iottly_async.ingest import Group, Rejected
from iottly_async.ingest.grid import TimeGrid
from iottly_async.ingest.stores import DuckDBStore
from iottly_async.models import Message

ROOT = Path(__file__).parents[3]
NOON = datetime(2026, 7, 1, 12, tzinfo=UTC)
NOON_MS = round(NOON.timestamp() * 1000)

# What the version before wrote, as far as a migration reads it.
OLD_SCHEMA = """
    CREATE TABLE messages (
        device_id VARCHAR NOT NULL, timestamp TIMESTAMP NOT NULL, device_timestamp TIMESTAMP,
        type VARCHAR, channel VARCHAR, payload JSON NOT NULL, extra JSON, key VARCHAR NOT NULL,
        UNIQUE (timestamp, key)
    );
    CREATE TABLE rejected (
        device_id VARCHAR NOT NULL, timestamp TIMESTAMP, device_timestamp TIMESTAMP,
        type VARCHAR, channel VARCHAR, payload BLOB, extra JSON, key VARCHAR PRIMARY KEY,
        reason VARCHAR NOT NULL, path VARCHAR NOT NULL, raw BLOB
    );
    CREATE VIEW devices AS
    SELECT device_id, count(*) AS messages, min(timestamp) AS first, max(timestamp) AS last
    FROM messages GROUP BY device_id;
    CREATE VIEW latest AS SELECT DISTINCT ON (device_id) * FROM messages
    ORDER BY device_id, timestamp DESC, key DESC;
    CREATE VIEW readings AS SELECT device_id, timestamp FROM messages;
    CREATE SCHEMA ingest;
    CREATE TABLE ingest.job (version INTEGER NOT NULL, plan VARCHAR);
    CREATE TABLE ingest.cursors (device_id VARCHAR PRIMARY KEY, cursor VARCHAR NOT NULL);
    INSERT INTO ingest.job VALUES (2, '{"project_id": "p"}');
    INSERT INTO ingest.cursors VALUES ('one', 'a cursor');
    INSERT INTO messages
    SELECT 'one', TIMESTAMP '2026-07-01 12:00:00.968' + to_seconds(number),
           CASE WHEN number = 1 THEN TIMESTAMP '2026-07-01 11:59:59' END,
           'userdefined', NULL, '{"n": 1.10}', NULL, 'key ' || number
    FROM range(3) AS numbers(number);
    INSERT INTO rejected VALUES
        ('one', '2026-07-01 13:00:00', NULL, NULL, NULL, 'x', NULL, 'a', 'bad', '$', NULL),
        ('one', NULL, NULL, NULL, NULL, NULL, NULL, 'b', 'no time', '$.timestamp', 'y');
"""
ROWS = """
    SELECT device_id, epoch_ms(timestamp), epoch_ms(device_timestamp), type, payload::VARCHAR, key
    FROM messages ORDER BY key
"""


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """A file of the version before, with three messages and two rejected rows."""
    path = tmp_path / "telemetry.duckdb"
    with duckdb.connect(str(path)) as db:
        db.execute("SET TimeZone = 'Europe/Rome'")
        db.execute(OLD_SCHEMA)
    return path


@contextmanager
def reading(path: Path, zone: str = "Europe/Rome") -> Iterator[duckdb.DuckDBPyConnection]:
    """A user's session, in a time zone."""
    with duckdb.connect(str(path), read_only=True) as db:
        db.execute(f"SET TimeZone = '{zone}'")
        yield db


async def begun(path: Path) -> None:
    """Open a store as a job does, and begin."""
    store = DuckDBStore(path)
    try:
        await store.open()
        await store.begin("a plan")
    finally:
        await store.close()


async def test_the_last_hour_is_the_last_hour(tmp_path: Path) -> None:
    """`timestamp > now() - INTERVAL 1 HOUR` finds the same messages in every session's zone."""
    path = tmp_path / "telemetry.duckdb"
    now = datetime.now(UTC)
    store = DuckDBStore(path)
    await store.open()
    await store.begin("a plan")
    sent = [
        Message(device_id="d", timestamp=now - timedelta(minutes=age), device_timestamp=now)
        for age in (30, 90)
    ]
    await store.write(Group(messages=sent, rejected=[], cursors={}))
    await store.close()
    for zone in ("America/New_York", "Asia/Kolkata", "Europe/Rome", "UTC"):
        with reading(path, zone) as db:
            found = db.execute(
                "SELECT epoch_ms(timestamp), device_timestamp FROM messages "
                "WHERE timestamp > now() - INTERVAL 1 HOUR"
            ).fetchall()
        ((timestamp, device_timestamp),) = found
        assert timestamp == int(sent[0].timestamp.timestamp() * 1000)
        assert abs(device_timestamp - now) < timedelta(milliseconds=1)


async def test_a_rejected_row_has_its_moment_too(tmp_path: Path) -> None:
    """And none, if it is no message."""
    path = tmp_path / "telemetry.duckdb"
    store = DuckDBStore(path)
    await store.open()
    await store.begin("a plan")
    bad = Message(device_id="d", timestamp=NOON, payload_json=b"\xff")
    row = Rejected(raw=b"{}", reason="no time", device_id="d")
    rejected = [Rejected(message=bad, reason="bad"), row]
    await store.write(Group(messages=[], rejected=rejected, cursors={}))
    await store.close()
    with reading(path) as db:
        found = db.execute("SELECT timestamp::VARCHAR FROM rejected ORDER BY ALL").fetchall()
    assert found == [("2026-07-01 14:00:00+02",), (None,)]


async def test_a_file_of_the_version_before_is_rewritten(old: Path) -> None:
    """The next job gives its times their zone; no row, plan or cursor is lost or changed."""
    with reading(old) as db:
        before = db.execute(ROWS).fetchall()
    await begun(old)
    with reading(old) as db:
        assert db.execute(ROWS).fetchall() == before
        types = db.execute(
            "SELECT DISTINCT data_type FROM duckdb_columns() WHERE column_name LIKE '%timestamp' "
            "AND table_name IN ('messages', 'rejected', 'latest', 'readings')"
        ).fetchall()
        assert types == [("TIMESTAMP WITH TIME ZONE",)]
        ((latest,),) = db.execute("SELECT timestamp::VARCHAR FROM latest").fetchall()
        assert latest == "2026-07-01 14:00:02.968+02"
        rejected = db.execute("SELECT key, epoch_ms(timestamp) FROM rejected ORDER BY 1").fetchall()
        assert rejected == [("a", NOON_MS + 3_600_000), ("b", None)]
        assert db.execute("FROM ingest.job").fetchall() == [(3, "a plan")]
        assert db.execute("SELECT DISTINCT project_id FROM messages").fetchall() == [("p",)]
        assert db.execute("FROM ingest.cursors").fetchall() == [("one", "a cursor")]


async def test_a_file_of_the_version_before_can_be_read(old: Path) -> None:
    """Coverage needs no job to have run; it changes nothing."""
    reader = DuckDBStore(old).reader()
    assert (await reader.state()).cursors == {"one": "a cursor"}
    assert await reader.first() == NOON_MS + 968
    grid = TimeGrid.over(NOON_MS, NOON_MS + 4000, 4)
    assert (await reader.counts(grid))["one"][:3] == [1, 1, 1]
    assert await reader.names() == {}
    await reader.close()
    with reading(old) as db:
        assert db.execute("SELECT version FROM ingest.job").fetchall() == [(2,)]


async def test_a_job_that_is_refused_does_not_rewrite_a_file(old: Path) -> None:
    """A job that ends before it begins to write has opened the file, and changed nothing."""
    store = DuckDBStore(old)
    state = await store.open()
    await store.close()
    assert (state.plan, state.unreadable) == ('{"project_id": "p"}', {"one": {"b"}})
    with reading(old) as db:
        assert db.execute("SELECT version FROM ingest.job").fetchall() == [(2,)]


async def test_own_views_and_indexes_survive(old: Path) -> None:
    """What a user has added to the file is still there after it was rewritten."""
    with duckdb.connect(str(old)) as db:
        db.execute("CREATE SCHEMA mine")
        db.execute('CREATE VIEW mine."my ""view" AS SELECT * FROM messages')
        db.execute('CREATE VIEW newest AS SELECT max(timestamp) AS last FROM mine."my ""view"')
        db.execute("CREATE VIEW mine.newest AS SELECT last FROM main.newest")
        db.execute("CREATE INDEX by_device ON messages (device_id)")
        db.execute("CREATE TABLE notes AS SELECT 1 AS note")
    await begun(old)
    with reading(old) as db:
        assert db.execute("SELECT epoch_ms(last) FROM mine.newest").fetchall() == [
            (NOON_MS + 2968,)
        ]
        assert db.execute("SELECT index_name FROM duckdb_indexes()").fetchall() == [("by_device",)]
        assert db.execute("FROM notes").fetchall() == [(1,)]


async def test_a_view_that_no_longer_fits_is_named(old: Path) -> None:
    """Then the file stays as it was; the error says what to drop."""
    with duckdb.connect(str(old)) as db:
        db.execute("CREATE TABLE helper AS SELECT 1 AS a")
        db.execute("CREATE VIEW mine AS SELECT a FROM helper")
        db.execute("DROP TABLE helper")
    with pytest.raises(StoreError, match=r"could not be rewritten.*drop a view.*helper"):
        await begun(old)
    with duckdb.connect(str(old)) as db:
        assert db.execute("SELECT version FROM ingest.job").fetchall() == [(2,)]
        db.execute("DROP VIEW mine")
    await begun(old)


KILLED = """
import asyncio, os, shutil, sys
from tests.ingest.stores.test_duckdb_times import begun
from tests.support.killable_jobs import _die_at

old, folder = sys.argv[1:]
for step in range(1, 200, 6):
    path = os.path.join(folder, f"{step}.duckdb")
    shutil.copy(old, path)
    child = os.fork()
    if not child:
        _die_at(step)
        asyncio.run(begun(path))
        os._exit(0)
    if os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0:
        break
"""


@pytest.fixture
def killed(old: Path, tmp_path: Path) -> list[Path]:
    """Copies of the file; each was being rewritten when the job was killed, at another step."""
    folder = tmp_path / "killed"
    folder.mkdir()
    subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", KILLED, old, folder],
        cwd=ROOT,
        check=True,
    )
    return sorted(folder.glob("*.duckdb"))


@pytest.mark.skipif(sys.platform == "win32", reason="jobs are forked and killed")
async def test_a_kill_leaves_the_old_file_or_the_new_one(old: Path, killed: list[Path]) -> None:
    """At every step of the rewriting: each row is there once, and the next job goes on."""
    with reading(old) as db:
        truth = db.execute(ROWS).fetchall()
    assert len(killed) > 5
    versions: list[int] = []
    for path in killed:
        with duckdb.connect(str(path)) as db:
            assert db.execute(ROWS).fetchall() == truth
            versions += db.execute("SELECT version FROM ingest.job").fetchone() or ()
    assert set(versions) == {2, 3}
    again = killed[versions.index(2)]
    await begun(again)
    with reading(again) as db:
        assert db.execute(ROWS).fetchall() == truth
