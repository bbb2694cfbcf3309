"""The PostgreSQL store: its schema and views, what it refuses, and lost connections."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest

from iottly_async import Config, IottlySession, RateLimiter
from iottly_async.config import RetryPolicy
from iottly_async.emulator import REFERENCE_END, Emulator
from iottly_async.errors import ConfigurationError, CursorMismatchError, StoreError
from iottly_async.ingest import Group, IngestJob, IngestReport, Progress, Rejected, StoredState
from iottly_async.ingest.stores import PostgresStore, open_store
from iottly_async.ingest.stores.postgres import schema as postgres_schema
from iottly_async.models import Cursor, Message, MessageType
from tests.support.postgres_server import PostgresServer, execute, fetch
from tests.support.stored_rows import assert_whole, rejected_of, rows_of
from tests.support.tcp_proxy import TcpProxy

SOON = RetryPolicy(max_attempts=6, initial_delay=0.005, max_delay=0.02)


def message(device_id: str, second: int, payload: str, **more: object) -> Message:
    """A message of a device."""
    return Message(
        device_id=device_id,
        project_id="p",
        timestamp=datetime(2026, 1, 1, 12, 0, second, 968000, tzinfo=UTC),
        type=MessageType.USERDEFINED,
        payload_json=payload.encode(),
        **more,  # type: ignore[arg-type]
    )


def group(*messages: Message, rejected: tuple[Rejected, ...] = ()) -> Group:
    """Messages with a cursor for each of their devices."""
    cursors = {
        one.device_id: Cursor(
            project_id="p",
            device_id=one.device_id,
            type="all",
            order="asc",
            start=None,
            end=None,
            remaining=((one.timestamp.second, 99),),
            pinned_end=99,
        )
        for one in messages
    }
    return Group(messages=list(messages), rejected=list(rejected), cursors=cursors)


@asynccontextmanager
async def opened(url: str, *, retry: RetryPolicy = SOON) -> AsyncIterator[PostgresStore]:
    """Open a store for the time of the block."""
    store = PostgresStore(url, retry=retry)
    try:
        await store.open()
        yield store
    finally:
        await store.close()


async def state_of(url: str) -> StoredState:
    """The state of a store."""
    store = PostgresStore(url, retry=SOON)
    try:
        return await store.open()
    finally:
        await store.close()


async def run(session: IottlySession, emulator: Emulator, url: str) -> IngestReport:
    """Run a job for all messages of the emulator."""
    return await IngestJob(session, project=emulator.project_id, store=url).run()


# --- jobs ------------------------------------------------------------------------------------


async def test_every_message_is_stored_once(
    session: IottlySession, emulator: Emulator, database: str
) -> None:
    """The store holds the emulator's messages. A second run adds what is new."""
    report = await run(session, emulator, database)
    assert_whole(database, emulator)
    emulator.clock.offset = 3600
    emulator.append(emulator.device_ids[0], 7)
    emulator.clock.offset = 7200
    again = await run(session, emulator, database)
    assert_whole(database, emulator)
    assert (report.rows, again.rows, again.total) == (600, 7, 607)


async def test_a_stopped_job_is_resumed(
    session: IottlySession, emulator: Emulator, database: str
) -> None:
    """What was fetched before the stop is stored. The next run adds the rest."""
    job = IngestJob(
        session, project=emulator.project_id, store=database, concurrency=1, flush_every=0.001
    )

    def stop_midway(progress: Progress) -> None:
        if progress.rows or progress.waiting:
            job.stop()

    emulator.fault("stall", route="paginated", skip=3, count=1)
    first = await job.run(stop_midway)
    emulator.clear_faults()
    second = await run(session, emulator, database)
    assert first.interrupted
    assert 0 < first.rows < 600
    assert first.rows + second.rows == 600
    assert_whole(database, emulator)


async def test_payloads_that_cannot_be_stored_are_rejected(
    session: IottlySession, emulator: Emulator, database: str
) -> None:
    """Invalid JSON, and what jsonb cannot hold, is stored as bytes with a reason, and counted."""
    device = emulator.device_ids[0]
    reasons = {
        '{"level":NaN}': "the message's payload is not valid JSON",
        '{"door":"a\\u0000b"}': "a text holds a NUL",
        '{"a\\u0000b":1}': "a text holds a NUL",
        '{"level":1E-20000}': "value overflows numeric format",
        "[0.%s1]" % ("0" * 20_000): "value overflows numeric format",
    }
    good = ['{"text":"no NUL: \\\\u0000"}', '{"level":1e-400}', '{"a":1,"a":2}']
    emulator.append(
        device,
        [
            {"payload_json": text, "timestamp": REFERENCE_END - timedelta(seconds=20 - n)}
            for n, text in enumerate([*reasons, *good])
        ],
    )
    report = await run(session, emulator, database)
    rejected = rejected_of(database)
    assert {owner for owner, _, _ in rejected} == {device}
    found = {payload.decode(): reason for _, payload, reason in rejected}
    assert found.keys() == reasons.keys()
    for payload, reason in found.items():
        assert reason.startswith(reasons[payload])
    assert (report.rows, report.rejected, report.total) == (603, 5, 608)
    assert report.devices[0].rejected == 5
    assert rows_of(database).total() == 603


async def test_another_projects_store_is_refused(
    session: IottlySession, emulator: Emulator, database: str
) -> None:
    """A store belongs to one project. Another project goes to another schema of the database."""
    await run(session, emulator, database)
    async with (
        Emulator(devices=1, messages=30, project_id="another") as other,
        IottlySession(
            other.api_key, config=Config(base_url=other.base_url), limiter=RateLimiter()
        ) as elsewhere,
    ):
        with pytest.raises(CursorMismatchError, match="of another query: project_id is"):
            await run(elsewhere, other, database)
    assert_whole(database, emulator)
    await run(session, emulator, f"{database}?schema=second")
    assert fetch(database, "SELECT count(*) FROM second.messages") == [(600,)]


# --- the schema ------------------------------------------------------------------------------


@pytest.fixture
async def filled(database: str) -> str:
    """A store with six messages of two devices."""
    async with opened(database) as store:
        await store.begin("a plan")
        await store.write(
            group(
                message("one", 1, '{"room":{"celsius":21.5,"ppm":400},"door":"open","ok":true}'),
                message("one", 2, '{"phases":[230.1,-1],"n":null}', channel="c"),
                message("two", 3, "7", extra={"seen": [1, None]}),
                message("two", 4, '{"a":{"b":{"c":1.10}},"key with.dot":2}'),
                message("two", 5, '{"text":"\\\\u0000 \\" è \\u001f","tiny":1e-400}'),
            )
        )
    return database


async def test_every_number_is_a_reading(filled: str) -> None:
    """`readings` has one row for each number, at any depth, named by its path."""
    query = (
        'SELECT device_id, name, value FROM iottly.readings ORDER BY device_id, name COLLATE "C"'
    )
    assert fetch(filled, query) == [
        ("one", "phases[0]", 230.1),
        ("one", "phases[1]", -1.0),
        ("one", "room.celsius", 21.5),
        ("one", "room.ppm", 400.0),
        ("two", '"key with.dot"', 2.0),
        ("two", "$", 7.0),
        ("two", "a.b.c", 1.1),
        ("two", "tiny", 0.0),
    ]


async def test_devices_are_counted(filled: str) -> None:
    """`devices` has one row a device, with its first and last time."""
    first = datetime(2026, 1, 1, 12, 0, 1, 968000, tzinfo=UTC)
    columns = "device_id, messages, first_seen, last_seen"
    rows = fetch(filled, f"SELECT {columns} FROM iottly.devices ORDER BY device_id")
    assert rows[0] == ("one", 2, first, first.replace(second=2))


async def test_the_latest_message_of_each_device(filled: str) -> None:
    """`latest` has one row a device."""
    rows = fetch(filled, "SELECT device_id, timestamp FROM iottly.latest ORDER BY device_id")
    assert [(device_id, time.second) for device_id, time in rows] == [("one", 2), ("two", 5)]


async def test_undocumented_fields_are_stored(filled: str) -> None:
    """They are in `extra`, which is NULL if there are none (D8)."""
    rows = fetch(filled, "SELECT extra::text FROM iottly.messages ORDER BY timestamp")
    assert [row[0] for row in rows] == [None, None, '{"seen": [1, null]}', None, None]


async def test_the_plan_and_the_cursors_are_read_back(filled: str) -> None:
    """The cursor of each device follows its last row."""
    state = await state_of(filled)
    assert state.plan == "a plan"
    assert {name: Cursor.from_json(text).remaining for name, text in state.cursors.items()} == {
        "one": ((2, 99),),
        "two": ((5, 99),),
    }


async def test_a_group_that_is_written_twice_is_stored_once(database: str) -> None:
    """This happens if the answer to a commit is lost."""
    async with opened(database) as store:
        bad = Rejected(message=message("one", 2, "NaN"), reason="because")
        for _ in range(2):
            await store.write(group(message("one", 1, "1"), rejected=(bad,)))
    counts = "SELECT (SELECT count(*) FROM iottly.messages), (SELECT count(*) FROM iottly.rejected)"
    assert fetch(database, counts) == [(1, 1)]


async def test_a_group_that_is_partly_stored_is_completed(database: str) -> None:
    """One write adds the new rows, and does not change the others."""
    first, *more = (message("one", second, f"{second}") for second in range(1, 5))
    async with opened(database) as store:
        await store.write(group(first))
        execute(database, "UPDATE iottly.messages SET payload = '\"mine\"'")
        assert await store.write(group(*more, first)) == {}
    payloads = fetch(database, "SELECT payload #>> '{}' FROM iottly.messages ORDER BY timestamp")
    assert payloads == [("mine",), ("2",), ("3",), ("4",)]


async def test_known_rows_fail_in_one_copy_and_not_in_each(database: str) -> None:
    """Each failure is an error in the server's log, so a job that meets known rows expects more.

    After a group without known rows it copies straight to the table again.
    """
    async with opened(database) as store:
        await store.begin("a plan")
        # What a sequence counts stays counted when a transaction fails.
        for statement in (
            "CREATE SEQUENCE copies",
            """CREATE FUNCTION tell() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                IF current_query() ILIKE 'COPY%' THEN PERFORM nextval('copies'); END IF;
                RETURN NULL;
            END $$""",
            "CREATE TRIGGER tell BEFORE INSERT ON iottly.messages EXECUTE FUNCTION tell()",
        ):
            execute(database, statement)
        copies = []
        for seconds in ([1], [1, 2], [2, 3], [3, 4], [5], [6]):
            await store.write(group(*(message("one", one, f"{one}") for one in seconds)))
            copies += fetch(database, "SELECT CASE WHEN is_called THEN last_value END FROM copies")
    assert copies == [(1,), (2,), (2,), (2,), (2,), (3,)]
    payloads = fetch(database, "SELECT payload::text FROM iottly.messages ORDER BY timestamp")
    assert payloads == [(f"{second}",) for second in range(1, 7)]


async def test_new_rows_are_copied_straight_to_the_table(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The temporary table, which takes twice as long, is only for groups with known rows."""
    monkeypatch.setattr(postgres_schema, "TAKE_IN", "SELECT 1 / 0")
    twins = [message("one", 5, "5"), message("one", 5, "5").numbered(1)]
    times = message("one", 6, "6", device_timestamp=datetime(1999, 1, 1, tzinfo=UTC), channel="é")
    extra = message("two", 7, '{"é": "\\n"}', extra={"note": [1, "ü"]})
    async with opened(database) as store:
        assert await store.write(group(*twins, times, extra)) == {}
    rows = fetch(
        database,
        "SELECT device_id, device_timestamp, type, channel, payload::text, extra::text, key "
        "FROM iottly.messages ORDER BY timestamp, length(key)",
    )
    assert rows == [
        ("one", None, "userdefined", None, "5", None, twins[0].key),
        ("one", None, "userdefined", None, "5", None, twins[1].key),
        ("one", times.device_timestamp, "userdefined", "é", "6", None, times.key),
        ("two", None, "userdefined", None, '{"é": "\\n"}', '{"note": [1, "ü"]}', extra.key),
    ]


async def test_a_nul_outside_the_payload_is_stored_too(database: str) -> None:
    """A message with a NUL in a channel or field is rejected. The text can be read there."""
    async with opened(database) as store:
        refused = await store.write(
            group(
                message("one", 1, "1", channel="a\0b"),
                message("one", 2, "2", extra={"note": "c\0d"}),
                message("one", 3, "3"),
            )
        )
    assert refused == {"one": 2}
    rows = fetch(database, "SELECT channel, extra::text FROM iottly.rejected ORDER BY timestamp")
    assert rows == [(None, '{"channel":"a\\u0000b"}'), (None, '{"note":"c\\u0000d"}')]


async def test_rows_that_a_users_constraint_refuses_are_rejected(filled: str) -> None:
    """The other rows of their group are stored, each of them once."""
    execute(filled, "ALTER TABLE iottly.messages ADD CHECK (payload <> '13'::jsonb)")
    async with opened(filled) as store:
        many = [message("one", 10 + n, str(n)) for n in range(40)]
        refused = await store.write(group(*many))
    assert refused == {"one": 1}
    assert fetch(filled, "SELECT count(*) FROM iottly.messages") == [(44,)]
    ((payload, reason),) = fetch(filled, "SELECT payload, reason FROM iottly.rejected")
    assert bytes(payload) == b"13"
    assert "violates check constraint" in reason


async def test_with_timescaledb_the_table_is_a_hypertable(database: str) -> None:
    """TimescaleDB's function is called as its documents say, in whichever schema it is."""
    for statement in (
        "CREATE SCHEMA elsewhere",
        """CREATE FUNCTION elsewhere.create_hypertable(
            relation regclass, time_column_name name, partitioning_column name = NULL,
            chunk_time_interval anyelement = NULL::bigint, create_default_indexes boolean = true
        ) RETURNS text LANGUAGE sql AS $$
            COMMENT ON SCHEMA elsewhere IS 'called';
            SELECT relation::text || time_column_name || chunk_time_interval::text
        $$""",
        """INSERT INTO pg_extension
            (oid, extname, extowner, extnamespace, extrelocatable, extversion)
        SELECT 99999, 'timescaledb', 10, oid, false, '2'
        FROM pg_namespace WHERE nspname = 'elsewhere'""",
    ):
        execute(database, statement)
    async with opened(database) as store:
        await store.begin("a plan")
    said = "SELECT obj_description('elsewhere'::regnamespace, 'pg_namespace')"
    assert fetch(database, said) == [("called",)]


# --- what is refused -------------------------------------------------------------------------


async def test_tables_of_something_else_are_refused(database: str) -> None:
    """A schema with other tables is not changed."""
    execute(database, "CREATE SCHEMA iottly CREATE TABLE mine (a integer)")
    with pytest.raises(ConfigurationError, match="has tables of something else"):
        await state_of(database)


async def test_another_version_of_the_schema_is_refused(filled: str) -> None:
    """The error names both versions."""
    execute(filled, "UPDATE iottly.ingest_store SET version = 99")
    with pytest.raises(ConfigurationError, match="has schema version 99, this library"):
        await state_of(filled)


async def test_a_database_of_another_encoding_is_refused(
    postgres: PostgresServer, database: str
) -> None:
    """The encoding must be UTF8, so that every text can be stored."""
    execute(
        database,
        "CREATE DATABASE iottly_latin ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0",
    )
    try:
        url = urlunsplit(urlsplit(postgres.url)._replace(path="/iottly_latin"))
        with pytest.raises(ConfigurationError, match="keeps texts as LATIN1"):
            await state_of(url)
    finally:
        execute(database, "DROP DATABASE iottly_latin WITH (FORCE)")


async def test_a_user_without_temporary_tables_is_refused(
    postgres: PostgresServer, database: str
) -> None:
    """A later group may need one. The error comes when the store is opened, and says the remedy."""
    parts = urlsplit(database)
    name = parts.path.lstrip("/")
    execute(database, f'REVOKE TEMPORARY ON DATABASE "{name}" FROM PUBLIC')
    execute(database, "CREATE ROLE without_temporary LOGIN PASSWORD 'known'")
    host = parts.netloc.rpartition("@")[2]
    try:
        with pytest.raises(ConfigurationError, match="GRANT TEMPORARY ON DATABASE"):
            await state_of(urlunsplit(parts._replace(netloc=f"without_temporary:known@{host}")))
    finally:
        execute(database, "DROP ROLE without_temporary")
        execute(database, f'GRANT TEMPORARY ON DATABASE "{name}" TO PUBLIC')


async def test_two_jobs_into_one_store_are_refused(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second job waits for a while, then raises an error that names the process which has
    the store. Another part is allowed."""
    monkeypatch.setattr("iottly_async.ingest.stores.postgres.store._LOCK_WITHIN", "10ms")
    async with opened(database):
        with pytest.raises(StoreError, match=f"is being written by .* process {os.getpid()} on "):
            await state_of(database)
        part = PostgresStore(database, part="second", retry=SOON)
        assert await part.open() == StoredState(plan=None, cursors={})
        await part.close()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"netloc": "postgres:wrong@{host}"}, "password authentication failed"),
        ({"path": "/no_such"}, 'database "no_such" does not exist'),
    ],
    ids=["password", "database"],
)
async def test_a_user_who_is_not_let_in_is_an_error(
    postgres: PostgresServer, change: dict[str, str], reason: str
) -> None:
    """The error has the server's reason, and not the password. There is no second attempt."""
    parts = urlsplit(postgres.url)
    host = parts.netloc.rpartition("@")[2]
    url = urlunsplit(
        parts._replace(**{name: text.format(host=host) for name, text in change.items()})
    )
    with pytest.raises(ConfigurationError, match=reason) as refused:
        await state_of(url)
    assert "wrong" not in str(refused.value)
    assert str(parts.password) not in str(refused.value)


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("postgresql://u:secret@host/db?schema=a-b", "schema must be a name of small letters"),
        ("postgresql://u:secret@host/db?schema=", "schema must be a name of small letters"),
    ],
)
def test_a_malformed_url_is_refused(url: str, reason: str) -> None:
    """Nothing is opened, and the error does not show the password."""
    with pytest.raises(ConfigurationError, match=reason) as refused:
        open_store(url)
    assert "secret" not in str(refused.value)
    assert "secret" not in repr(open_store("postgres://u:secret@host/db?sslmode=disable"))


# --- connections that are lost ---------------------------------------------------------------


@pytest.fixture
def proxied(postgres: PostgresServer, database: str) -> Iterator[tuple[TcpProxy, str]]:
    """A proxy in front of the server, and the URL through it."""
    with TcpProxy(postgres.address) as proxy:
        parts = urlsplit(database)
        host, port = proxy.address
        who = parts.netloc.rpartition("@")[0]
        yield proxy, urlunsplit(parts._replace(netloc=f"{who}@{host}:{port}"))


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("chunk", range(1, 10))
async def test_a_connection_that_is_lost_is_made_again(
    proxied: tuple[TcpProxy, str], database: str, chunk: int, after: bool
) -> None:
    """Rows are stored once, wherever in a group the connection is lost, before or after the
    server has received it."""
    proxy, url = proxied
    async with opened(url) as store:
        await store.write(group(message("one", 1, "1")))
        proxy.cut_at(chunk, after=after)
        for second in range(2, 6):
            await store.write(group(message("one", second, str(second))))
    assert fetch(database, "SELECT payload::text FROM iottly.messages ORDER BY timestamp") == [
        (str(second),) for second in range(1, 6)
    ]
    state = await state_of(database)
    assert Cursor.from_json(state.cursors["one"]).remaining == ((5, 99),)
    assert proxy.connections == 2


async def test_a_server_that_stays_unreachable_is_a_store_error(
    proxied: tuple[TcpProxy, str], database: str
) -> None:
    """The error comes after the policy's attempts. The store can be written to later."""
    proxy, url = proxied
    async with opened(url) as store:
        await store.write(group(message("one", 1, "1")))
        proxy.refusing = True
        proxy.cut()
        with pytest.raises(StoreError, match="was not reached in 6 attempts") as lost:
            await store.write(group(message("one", 2, "2")))
        assert lost.value.attempts == 6
        proxy.refusing = False
        await store.write(group(message("one", 2, "2")))
    assert fetch(database, "SELECT count(*) FROM iottly.messages") == [(2,)]


async def test_a_server_that_restarts_is_waited_for(filled: str) -> None:
    """A connection that the server closed is made again."""
    async with opened(filled) as store:
        execute(
            filled,
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()",
        )
        await store.write(group(message("one", 9, "9")))
    assert fetch(filled, "SELECT count(*) FROM iottly.messages") == [(6,)]


async def test_a_full_disk_is_a_store_error(
    session: IottlySession, emulator: Emulator, database: str
) -> None:
    """The job ends at once with the server's reason. With more room, the next run goes on."""
    async with opened(database) as store:
        await store.begin("")
    execute(database, "UPDATE iottly.ingest_plans SET plan = NULL")
    execute(
        database,
        "CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        "RAISE 'could not extend file: No space left' USING ERRCODE = 'disk_full'; END $$",
    )
    execute(
        database,
        "CREATE TRIGGER full_disk BEFORE INSERT ON iottly.messages EXECUTE FUNCTION full_disk()",
    )
    with pytest.raises(StoreError, match="No space left"):
        await run(session, emulator, database)
    assert rows_of(database).total() == 0
    execute(database, "DROP TRIGGER full_disk ON iottly.messages")
    await run(session, emulator, database)
    assert_whole(database, emulator)


async def test_a_cancelled_write_stores_nothing(filled: str) -> None:
    """The group is not stored, the connection is closed, and the store can be written to."""
    other = await asyncpg.connect(filled)
    async with opened(filled) as store:
        locked = other.transaction()
        await locked.start()
        await other.execute("LOCK TABLE iottly.messages IN EXCLUSIVE MODE")
        writing = asyncio.ensure_future(store.write(group(message("one", 9, "9"))))
        while not await other.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted"):
            assert not writing.done()
        writing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await writing
        await locked.rollback()
        await other.close()
        assert fetch(filled, "SELECT count(*) FROM iottly.messages") == [(5,)]
        await store.write(group(message("one", 9, "9")))
    assert fetch(filled, "SELECT count(*) FROM iottly.messages") == [(6,)]
