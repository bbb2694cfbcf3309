"""The DuckDB store: its schema and views, and files that it refuses."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import attrs
import duckdb
import pytest

from iottly_async.errors import ConfigurationError, StoreError
from iottly_async.ingest import Group
from iottly_async.ingest.stores import DuckDBStore
from iottly_async.ingest.stores.duckdb import store as duckdb_store
from iottly_async.ingest.stores.duckdb.schema import CREATE
from iottly_async.models import Message, MessageType


def message(device_id: str, second: int, payload: str) -> Message:
    """A message of a device."""
    return Message(
        device_id=device_id,
        project_id="p",
        timestamp=datetime(2026, 1, 1, 12, 0, second, 968000, tzinfo=UTC),
        type=MessageType.USERDEFINED,
        payload_json=payload.encode(),
        extra={"seen": [1, None]} if second == 3 else {},
    )


@pytest.fixture
async def db(tmp_path: Path) -> Iterator[duckdb.DuckDBPyConnection]:  # type: ignore[misc]
    """A store's file with five messages of two devices, opened for reading."""
    path = tmp_path / "telemetry.duckdb"
    store = DuckDBStore(path)
    await store.open()
    await store.begin("a plan")
    messages = [
        message("one", 1, '{"room":{"celsius":21.5,"ppm":400},"door":"open","ok":true}'),
        message("one", 2, '{"phases":[230.1,-1],"n":null}'),
        message("two", 3, "7"),
        message("two", 4, '{"a":{"b":{"c":1.10}}}'),
        message("two", 5, '{"text":"\\u0000 \\" è \\u001f"}'),
    ]
    await store.write(Group(messages=messages, rejected=[], cursors={}))
    await store.close()
    with duckdb.connect(str(path), read_only=True) as connection:
        yield connection


async def test_every_number_is_a_reading(db: duckdb.DuckDBPyConnection) -> None:
    """`readings` has one row for each number, at any depth, named by its path."""
    found = db.execute("SELECT device_id, name, value FROM readings ORDER BY ALL").fetchall()
    assert found == [
        ("one", "phases[0]", 230.1),
        ("one", "phases[1]", -1.0),
        ("one", "room.celsius", 21.5),
        ("one", "room.ppm", 400.0),
        ("two", "$", 7.0),
        ("two", "a.b.c", 1.1),
    ]


async def test_devices_are_counted(db: duckdb.DuckDBPyConnection) -> None:
    """`devices` has one row a device, with its first and last time."""
    first = datetime(2026, 1, 1, 12, 0, 1, 968000, tzinfo=UTC)
    found = db.execute("SELECT device_id, messages, first_seen, last_seen FROM devices ORDER BY 1")
    assert found.fetchone() == ("one", 2, first, first.replace(second=2))


async def test_the_latest_message_of_each_device(db: duckdb.DuckDBPyConnection) -> None:
    """`latest` has one row a device."""
    found = db.execute("SELECT device_id, timestamp FROM latest ORDER BY device_id").fetchall()
    assert [(device_id, time.second) for device_id, time in found] == [("one", 2), ("two", 5)]


async def test_a_payload_is_stored_as_it_arrived(db: duckdb.DuckDBPyConnection) -> None:
    """Numbers and escapes keep their form."""
    found = db.execute("SELECT payload::VARCHAR FROM messages ORDER BY timestamp").fetchall()
    assert found[3:] == [('{"a":{"b":{"c":1.10}}}',), ('{"text":"\\u0000 \\" è \\u001f"}',)]


async def test_undocumented_fields_are_stored(db: duckdb.DuckDBPyConnection) -> None:
    """They are in `extra`, which is NULL if there are none (D8)."""
    found = db.execute("SELECT extra::VARCHAR FROM messages ORDER BY timestamp").fetchall()
    assert found[1:3] == [(None,), ('{"seen":[1,null]}',)]


async def test_texts_are_stored_as_they_arrived(tmp_path: Path) -> None:
    """Also with a NUL, quotes, a line end, or none; and the project is in each row."""
    path = tmp_path / "telemetry.duckdb"
    texts = ["a\0b", "\"'`\n\u2028", "", None, "x" * 70_000]
    sent = [
        attrs.evolve(message(text or "none", second, "null"), channel=text)
        for second, text in enumerate(texts)
    ]
    store = DuckDBStore(path)
    await store.open()
    await store.begin("a plan")
    await store.write(Group(messages=sent, rejected=[], cursors={}))
    await store.close()
    with duckdb.connect(str(path), read_only=True) as db:
        found = db.execute(
            "SELECT project_id, device_id, channel, key FROM messages ORDER BY timestamp"
        ).fetchall()
    assert found == [("p", one.device_id, one.channel, one.key) for one in sent]


async def test_the_table_of_messages_has_no_index(tmp_path: Path) -> None:
    """An index of all keys would take twice the space of the rows."""
    path = tmp_path / "telemetry.duckdb"
    store = DuckDBStore(path)
    await store.open()
    await store.begin("a plan")
    await store.close()
    with duckdb.connect(str(path), read_only=True) as db:
        found = db.execute(
            "SELECT DISTINCT constraint_type FROM duckdb_constraints() "
            "WHERE table_name = 'messages'"
        ).fetchall()
        assert found == [("NOT NULL",)]
        assert db.execute("FROM duckdb_indexes()").fetchall() == []


async def test_a_file_with_an_index_of_keys_is_continued(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Jobs of earlier versions made one. The file keeps it, and its rows."""
    path = tmp_path / "telemetry.duckdb"
    store = DuckDBStore(path)
    indexed = [
        statement.replace("key VARCHAR NOT NULL", "key VARCHAR NOT NULL, UNIQUE (timestamp, key)")
        for statement in CREATE
    ]
    monkeypatch.setattr(duckdb_store, "CREATE", indexed)
    sent = [message("d", second, "1") for second in range(4)]
    for part in (sent[:2], sent[2:]):
        await store.open()
        await store.begin("a plan")
        await store.write(Group(messages=part, rejected=[], cursors={}))
        await store.close()
    with duckdb.connect(str(path)) as db:
        keys = db.execute("SELECT key FROM messages ORDER BY timestamp").fetchall()
        assert keys == [(one.key,) for one in sent]
        with pytest.raises(duckdb.ConstraintException):
            db.execute("INSERT INTO messages SELECT * FROM messages")


async def test_a_duckdb_file_of_something_else_is_refused(tmp_path: Path) -> None:
    """A file with tables of something else is not changed."""
    path = tmp_path / "other.duckdb"
    with duckdb.connect(str(path)) as other:
        other.execute("CREATE TABLE mine (a INTEGER)")
    store = DuckDBStore(path)
    with pytest.raises(ConfigurationError, match="of something else"):
        await store.open()
    await store.close()


async def test_a_file_of_another_schema_is_refused(tmp_path: Path) -> None:
    """The error names both versions."""
    path = tmp_path / "telemetry.duckdb"
    store = DuckDBStore(path)
    await store.open()
    await store.begin("a plan")
    await store.close()
    with duckdb.connect(str(path)) as other:
        other.execute("UPDATE ingest.job SET version = 99")
    store = DuckDBStore(path)
    with pytest.raises(ConfigurationError, match="schema version 99, this library"):
        await store.open()
    await store.close()


async def test_a_file_of_another_format_is_refused(tmp_path: Path) -> None:
    """The file is not changed."""
    path = tmp_path / "telemetry.duckdb"
    path.write_text("not a database, but long enough to be read as the header of one" * 99)
    store = DuckDBStore(path)
    with pytest.raises(ConfigurationError, match="cannot be opened"):
        await store.open()
    await store.close()


@pytest.fixture
def open_elsewhere(tmp_path: Path) -> Iterator[Path]:
    """A DuckDB file that another process has open."""
    path = tmp_path / "telemetry.duckdb"
    code = "import duckdb, sys; db = duckdb.connect(sys.argv[1]); print('open'); input()"
    with subprocess.Popen(
        [sys.executable, "-c", code, path],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "open\n"
        yield path
        other.kill()


async def test_a_file_that_another_process_has_open_is_refused(open_elsewhere: Path) -> None:
    """DuckDB allows one writing process. The error names it."""
    store = DuckDBStore(open_elsewhere)
    with pytest.raises(StoreError, match=r"is open elsewhere.*\(PID \d+\)"):
        await store.open()
    await store.close()
