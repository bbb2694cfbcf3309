"""The schema of a PostgreSQL store; a user's queries may rely on it.

All of it is in one schema of the database. It is ``iottly`` unless the store's URL names
another. The table ``messages`` has one row a message. Its primary key is ``(timestamp, key)``,
and ``(device_id, timestamp)`` is indexed. If the database has TimescaleDB when the store is
created, the table is a hypertable in chunks of seven days. The columns are:

- ``device_id``, text: the device that sent it.
- ``timestamp``, timestamptz: the server's time of arrival, with milliseconds.
- ``device_timestamp``, timestamptz: the time that the device recorded; NULL if absent.
- ``type``, text: "userdefined", "iottlyagent" or another text; NULL if absent.
- ``channel``, text: the channel that it was sent on; NULL if absent.
- ``payload``, jsonb: numbers keep their digits; of a key that occurs twice, the last counts.
- ``extra``, jsonb: fields that the API's documents do not name; mostly NULL.
- ``key``, text: unique, and the same for the same message in every run.

The table ``rejected`` has what cannot be such a row, with the ``reason`` and the ``path`` of
what is wrong: a payload is not valid JSON, a text holds a NUL, a number is outside the range of
``numeric``, or the row is no message. Its other columns are the same, but for these:

- ``payload``, bytea: the bytes of a message's payload; NULL if the row is no message.
- ``extra``, json.
- ``raw``, bytea: the bytes of a row that is no message, for example one without a timestamp.
  Its ``device_id`` is the device that it was fetched for, and its ``key`` comes from both.

There are four views:

- ``devices``: one row a device: ``device_id``, the number of its ``messages``, ``first_seen`` and
  ``last_seen`` (the first and last ``timestamp`` of its messages), ``name``, ``status`` and
  ``agent_version``. Name and status are those of the last job that took all devices of the
  project; NULL before one did. ``SELECT name, max(timestamp) FROM messages JOIN devices USING
  (device_id) GROUP BY name`` gives names to ids.
- ``latest``: the latest message of each device, of any type; found by the index.
- ``readings``: one row for each number in a payload: ``device_id``, ``timestamp``, ``name``
  (its path, for example ``sensor_data_reading.temperature`` or ``phases[0]``), ``value``
  (double precision), and the ``type`` and ``key`` of the message.

- ``wide``: the messages with the typed columns that a job was asked for (``columns``): numbers are
  double precision, texts and JSON are text. A value of another type than the first one is NULL. A
  column is there once a value was found.

The tables whose names begin with ``ingest_`` are the job's own. A store of
version 2 has no names of devices; the next job adds them.
"""

from __future__ import annotations

from typing import Any, Final

from ....errors import ConfigurationError
from ..base import StoredState
from .wide import read_columns

VERSION: Final = 3
MIGRATED: Final = 2
"""The earlier version that is read as it is, and migrated when a job begins."""

# A subquery that a query does not read costs it nothing.
_ADDED: Final = (
    "CREATE TABLE {schema}.ingest_columns (place integer, name text, path text, kind text)",
    """
    CREATE TABLE {schema}.ingest_devices (
        device_id text PRIMARY KEY,
        name text,
        status text,
        agent_version text
    )
    """,
    """
    CREATE OR REPLACE VIEW {schema}.devices AS
    SELECT
        device_id,
        (SELECT count(*) FROM {schema}.messages AS message
         WHERE message.device_id = device.device_id) AS messages,
        (SELECT min(timestamp) FROM {schema}.messages AS message
         WHERE message.device_id = device.device_id) AS first_seen,
        (SELECT max(timestamp) FROM {schema}.messages AS message
         WHERE message.device_id = device.device_id) AS last_seen,
        listed.name,
        listed.status,
        listed.agent_version
    FROM (
        SELECT device_id FROM {schema}.ingest_devices
        UNION SELECT device_id FROM {schema}.ingest_cursors
    ) AS device LEFT JOIN {schema}.ingest_devices AS listed USING (device_id)
    """,
)
MIGRATE: Final = (
    # The views of others that read it go on with the new names.
    "ALTER VIEW {schema}.devices RENAME COLUMN first TO first_seen",
    "ALTER VIEW {schema}.devices RENAME COLUMN last TO last_seen",
    *_ADDED,
    "UPDATE {schema}.ingest_store SET version = 3",
)
"""Makes a store of version 2 one of the present version."""

CREATE: Final = (
    "CREATE SCHEMA IF NOT EXISTS {schema}",
    """
    CREATE TABLE {schema}.messages (
        device_id text NOT NULL,
        timestamp timestamptz NOT NULL,
        device_timestamp timestamptz,
        type text,
        channel text,
        payload jsonb NOT NULL,
        extra jsonb,
        key text NOT NULL,
        PRIMARY KEY (timestamp, key)
    )
    """,
    "CREATE INDEX messages_by_device ON {schema}.messages (device_id, timestamp)",
    """
    CREATE TABLE {schema}.rejected (
        device_id text NOT NULL,
        timestamp timestamptz,
        device_timestamp timestamptz,
        type text,
        channel text,
        payload bytea,
        extra json,
        key text PRIMARY KEY,
        reason text NOT NULL,
        path text NOT NULL,
        raw bytea
    )
    """,
    "COMMENT ON COLUMN {schema}.messages.timestamp IS 'when the server got it'",
    "COMMENT ON COLUMN {schema}.messages.device_timestamp IS 'the time the device recorded'",
    "CREATE TABLE {schema}.ingest_store (version integer NOT NULL)",
    "CREATE TABLE {schema}.ingest_plans (part text PRIMARY KEY, plan text)",
    """
    CREATE TABLE {schema}.ingest_cursors (
        part text,
        device_id text,
        cursor text NOT NULL,
        PRIMARY KEY (part, device_id)
    )
    """,
    *_ADDED,
    """
    CREATE VIEW {schema}.latest AS
    SELECT message.*
    FROM (SELECT DISTINCT device_id FROM {schema}.ingest_cursors) AS device
    CROSS JOIN LATERAL (
        SELECT * FROM {schema}.messages WHERE device_id = device.device_id
        ORDER BY timestamp DESC, key DESC LIMIT 1
    ) AS message
    """,
    r"""
    CREATE VIEW {schema}.readings AS
    SELECT
        message.device_id,
        message.timestamp,
        CASE node.path WHEN '' THEN '$' ELSE ltrim(node.path, '.') END AS name,
        -- The cast refuses a number that is too near to zero for a double.
        CASE WHEN abs(node.value::numeric) < 1e-300 THEN 0
             ELSE node.value::numeric::double precision END AS value,
        message.type,
        message.key
    FROM {schema}.messages AS message
    CROSS JOIN LATERAL (
        WITH RECURSIVE node(path, value) AS (
            SELECT '', message.payload
            UNION ALL
            SELECT node.path || child.step, child.value
            FROM node CROSS JOIN LATERAL (
                SELECT '.' || CASE WHEN member.key ~ '^[A-Za-z_][A-Za-z0-9_]*$' THEN member.key
                                   ELSE to_json(member.key)::text END AS step,
                       member.value
                FROM jsonb_each(CASE jsonb_typeof(node.value) WHEN 'object' THEN node.value END)
                    AS member
                UNION ALL
                SELECT '[' || element.place - 1 || ']', element.value
                FROM jsonb_array_elements(
                    CASE jsonb_typeof(node.value) WHEN 'array' THEN node.value END
                ) WITH ORDINALITY AS element(value, place)
            ) AS child
        )
        SELECT path, value FROM node WHERE jsonb_typeof(value) = 'number'
    ) AS node
    """,
)

KEEP_VERSION: Final = "INSERT INTO {schema}.ingest_store VALUES ($1)"

TIMESCALE: Final = """
    SELECT namespace.nspname FROM pg_extension AS extension
    JOIN pg_namespace AS namespace ON namespace.oid = extension.extnamespace
    WHERE extension.extname = 'timescaledb'
"""

HYPERTABLE: Final = """
    SELECT {timescale}.create_hypertable(
        '{schema}.messages'::regclass, 'timestamp'::name,
        chunk_time_interval => interval '7 days', create_default_indexes => false
    )
"""

FOUND: Final = """
    SELECT to_regclass('{schema}.ingest_store') IS NOT NULL AS ours,
           EXISTS (
               SELECT FROM pg_class AS class JOIN pg_namespace AS namespace
               ON namespace.oid = class.relnamespace WHERE namespace.nspname = $1
           ) AS occupied
"""

FOUND_VERSION: Final = "SELECT version FROM {schema}.ingest_store"

HOLDER: Final = """
    SELECT concat(coalesce(nullif(activity.application_name, ''), 'another job'),
                  ' (server process ', lock.pid, ')')
    FROM pg_locks AS lock LEFT JOIN pg_stat_activity AS activity ON activity.pid = lock.pid
    WHERE lock.locktype = 'advisory' AND lock.granted AND lock.objsubid = 1
      AND (lock.classid::bigint << 32) | lock.objid::bigint = hashtextextended($1, 0)
      AND lock.database = (SELECT oid FROM pg_database WHERE datname = current_database())
    LIMIT 1
"""

ALLOWED: Final = """
    SELECT current_setting('server_encoding'),
           has_database_privilege(current_database(), 'TEMPORARY')
"""

INCOMING: Final = """
    CREATE TEMPORARY TABLE IF NOT EXISTS iottly_incoming (
        device_id text, timestamp timestamptz, device_timestamp timestamptz, type text,
        channel text, payload jsonb, extra jsonb, key text
    ) ON COMMIT DELETE ROWS
"""
COLUMNS: Final = (
    *("device_id", "timestamp", "device_timestamp", "type"),
    *("channel", "payload", "extra", "key"),
)

TAKE_IN: Final = """
    INSERT INTO {schema}.messages SELECT * FROM iottly_incoming
    ON CONFLICT (key, timestamp) DO NOTHING
"""

REJECT: Final = """
    INSERT INTO {schema}.rejected VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
    ON CONFLICT (key) DO NOTHING
"""

KEEP_DEVICES: Final = """
    INSERT INTO {schema}.ingest_devices
    SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[])
    ON CONFLICT (device_id) DO UPDATE
    SET name = excluded.name, status = excluded.status, agent_version = excluded.agent_version
"""

KEEP_PLAN: Final = """
    INSERT INTO {schema}.ingest_plans VALUES ($1, $2)
    ON CONFLICT (part) DO UPDATE SET plan = excluded.plan
"""

KEEP_CURSORS: Final = """
    INSERT INTO {schema}.ingest_cursors
    SELECT $1, device_id, cursor FROM unnest($2::text[], $3::text[]) AS new(device_id, cursor)
    ON CONFLICT (part, device_id) DO UPDATE SET cursor = excluded.cursor
"""


_STATE: Final = """
    SELECT (SELECT version FROM {schema}.ingest_store) AS version,
           (SELECT plan FROM {schema}.ingest_plans WHERE part = $1) AS plan
"""
_CURSORS: Final = "SELECT device_id, cursor FROM {schema}.ingest_cursors WHERE part = $1"
_UNREADABLE: Final = "SELECT device_id, key FROM {schema}.rejected WHERE timestamp IS NULL"


async def read_state(db: Any, *, schema: str, part: str, shown: str) -> StoredState:
    """The plan and the cursors of a part of a store.

    Raises:
        ConfigurationError: the store has another schema version.
    """
    row = await db.fetchrow(_STATE.format(schema=schema), part)
    if row["version"] not in (VERSION, MIGRATED):
        raise ConfigurationError(
            f"store {shown} has schema version {row['version']}, this library reads and writes "
            f"version {VERSION}; name another, as in '?schema=telemetry'"
        )
    cursors = await db.fetch(_CURSORS.format(schema=schema), part)
    unreadable: dict[str, set[str]] = {}
    for device_id, key in await db.fetch(_UNREADABLE.format(schema=schema)):
        unreadable.setdefault(device_id, set()).add(key)
    return StoredState(
        plan=row["plan"],
        cursors=dict(cursors),
        unreadable=unreadable,
        columns={} if row["version"] == MIGRATED else await read_columns(db, schema),
    )


async def read_names(db: Any, *, schema: str) -> dict[str, str]:
    """The names of the devices in a store, by device id. A store of version 2 has none."""
    if await db.fetchval("SELECT to_regclass($1)", f"{schema}.ingest_devices") is None:
        return {}
    names = f"SELECT device_id, name FROM {schema}.ingest_devices WHERE name IS NOT NULL"  # noqa: S608
    return dict(await db.fetch(names))
