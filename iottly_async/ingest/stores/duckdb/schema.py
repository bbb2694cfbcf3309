"""The schema of a DuckDB store; a user's queries may rely on it.

The table ``messages`` has one row a message, in no particular order:

- ``project_id``, VARCHAR: the project of the job.
- ``device_id``, VARCHAR: the device that sent it.
- ``timestamp``, TIMESTAMPTZ: the server's time of arrival, with milliseconds.
- ``device_timestamp``, TIMESTAMPTZ: the time that the device recorded; NULL if absent.
- ``type``, VARCHAR: "userdefined", "iottlyagent" or another text; NULL if absent.
- ``channel``, VARCHAR: the channel that it was sent on; NULL if absent.
- ``payload``, JSON: as it arrived, byte for byte.
- ``extra``, JSON: fields that the API's documents do not name; mostly NULL.
- ``key``, VARCHAR: unique, and the same for the same message in every run. The database
  does not enforce it: an index takes twice the space of the rows. A row comes once because it is
  stored in one transaction with the cursor that follows it. A file that has an index of the keys,
  as earlier versions made, keeps it.

The table ``rejected`` has what cannot be such a row, with the ``reason`` and the ``path`` of
what is wrong. Its other columns are the same, and one more:

- ``payload``, BLOB: the bytes of a message's payload; NULL if the row is no message.
- ``raw``, BLOB: the bytes of a row that is no message, for example one without a timestamp.
  Its ``device_id`` is the device that it was fetched for, and its ``key`` comes from both.

There are four views:

- ``devices``: one row a device: ``device_id``, ``name``, ``status``, ``agent_version``,
  ``first_seen`` and ``last_seen`` (the first and last ``timestamp`` of its messages), and the
  number of its ``messages``. Name and status are those of the last job that took all devices of
  the project; NULL before one did. ``SELECT name, max(timestamp) FROM messages JOIN devices
  USING (device_id) GROUP BY name`` gives names to ids.
- ``latest``: the latest message of each device, of any type.
- ``readings``: one row for each number in a payload: ``device_id``, ``timestamp``, ``name``
  (its path, for example ``sensor_data_reading.temperature`` or ``phases[0]``), ``value``
  (DOUBLE), and the ``type`` and ``key`` of the message.

- ``wide``: the messages with the typed columns that a job was asked for (``columns``): numbers are
  DOUBLE, texts and JSON are VARCHAR. A value of another type than the first one is NULL. A column
  is there once a value was found.

A time is a moment, so ``timestamp > now() - INTERVAL 1 HOUR`` is right in every time zone. DuckDB
shows it, and cuts it by ``date_trunc``, in the zone of the session: the machine's, unless
``SET TimeZone = 'UTC'`` or another zone is set.
The schema ``ingest`` is the job's own: its plan, its cursors and what ``devices`` reads.

A file of version 2, whose times were UTC without a zone, is rewritten when the next job begins
(`migration`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ....errors import ConfigurationError
from ..base import StoredState
from .wide import read_columns

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

VERSION: Final = 3
MIGRATED: Final = 2
"""The earlier version that is read as it is, and rewritten when a job begins."""

TABLES: Final = (
    """
    CREATE TABLE messages (
        project_id VARCHAR,
        device_id VARCHAR NOT NULL,
        timestamp TIMESTAMPTZ NOT NULL,
        device_timestamp TIMESTAMPTZ,
        type VARCHAR,
        channel VARCHAR,
        payload JSON NOT NULL,
        extra JSON,
        key VARCHAR NOT NULL
    )
    """,
    """
    CREATE TABLE rejected (
        device_id VARCHAR NOT NULL,
        timestamp TIMESTAMPTZ,
        device_timestamp TIMESTAMPTZ,
        type VARCHAR,
        channel VARCHAR,
        payload BLOB,
        extra JSON,
        key VARCHAR PRIMARY KEY,
        reason VARCHAR NOT NULL,
        path VARCHAR NOT NULL,
        raw BLOB
    )
    """,
    "COMMENT ON COLUMN messages.timestamp IS 'when the server got it'",
    "COMMENT ON COLUMN messages.device_timestamp IS 'the time the device recorded'",
    "CREATE TABLE ingest.columns (place INTEGER, name VARCHAR, path VARCHAR, kind VARCHAR)",
    """
    CREATE TABLE ingest.devices (
        device_id VARCHAR PRIMARY KEY,
        name VARCHAR,
        status VARCHAR,
        agent_version VARCHAR
    )
    """,
)

VIEWS: Final = (
    """
    CREATE VIEW devices AS
    SELECT device_id, listed.name, listed.status, listed.agent_version, stored.first_seen,
           stored.last_seen, coalesce(stored.messages, 0) AS messages
    FROM ingest.devices AS listed FULL JOIN (
        SELECT device_id, count(*) AS messages, min(timestamp) AS first_seen,
               max(timestamp) AS last_seen
        FROM messages GROUP BY device_id
    ) AS stored USING (device_id)
    """,
    """
    CREATE VIEW latest AS
    SELECT DISTINCT ON (device_id) *
    FROM messages ORDER BY device_id, timestamp DESC, key DESC
    """,
    """
    CREATE VIEW readings AS
    SELECT
        message.device_id,
        message.timestamp,
        CASE node.fullkey WHEN '$' THEN '$' ELSE ltrim(substr(node.fullkey, 2), '.') END AS name,
        TRY_CAST(node.atom AS DOUBLE) AS value,
        message.type,
        message.key
    FROM messages AS message, json_tree(message.payload) AS node
    WHERE node.type IN ('BIGINT', 'UBIGINT', 'HUGEINT', 'UHUGEINT', 'DOUBLE')
    """,
)

OWN_TABLES: Final = (
    "CREATE SCHEMA ingest",
    "CREATE TABLE ingest.job (version INTEGER NOT NULL, plan VARCHAR)",
    "CREATE TABLE ingest.cursors (device_id VARCHAR PRIMARY KEY, cursor VARCHAR NOT NULL)",
)

CREATE: Final = (*OWN_TABLES, *TABLES, *VIEWS)

INCOMING: Final = "iottly_incoming"
"""The name of the Arrow table that a group is loaded from."""

INSERT_MESSAGES: Final = f"INSERT INTO messages BY NAME SELECT * FROM {INCOMING}"  # noqa: S608

# Rejected rows are few. One text holds a whole group, and the database divides it into rows.
INSERT_REJECTED: Final = """
    INSERT INTO rejected
    SELECT row.device_id, make_timestamptz(row.timestamp * 1000),
           make_timestamptz(row.device_timestamp * 1000), row.type, row.channel,
           from_base64(row.payload), row.extra, row.key, row.reason, row.path, from_base64(row.raw)
    FROM (
        SELECT unnest(from_json($rows, '[{
            "key": "VARCHAR", "device_id": "VARCHAR", "timestamp": "BIGINT",
            "device_timestamp": "BIGINT", "type": "VARCHAR", "channel": "VARCHAR",
            "payload": "VARCHAR", "extra": "VARCHAR", "reason": "VARCHAR", "path": "VARCHAR",
            "raw": "VARCHAR"
        }]')) AS row
    )
    ON CONFLICT DO NOTHING
"""

INSERT_CURSORS: Final = """
    INSERT INTO ingest.cursors
    SELECT row.device_id, row.cursor
    FROM (SELECT unnest(from_json($rows, '[{"device_id": "VARCHAR", "cursor": "VARCHAR"}]')) AS row)
    ON CONFLICT (device_id) DO UPDATE SET cursor = excluded.cursor
"""


KEEP_DEVICES: Final = """
    INSERT OR REPLACE INTO ingest.devices
    SELECT row.device_id, row.name, row.status, row.agent_version
    FROM (SELECT unnest(from_json($rows, '[{
        "device_id": "VARCHAR", "name": "VARCHAR", "status": "VARCHAR", "agent_version": "VARCHAR"
    }]')) AS row)
"""


def read_version(db: DuckDBPyConnection, path: str) -> int:
    """The schema version of a file: `VERSION`, or `MIGRATED`.

    Raises:
        ConfigurationError: the file has another one.
    """
    found: tuple[int] | None = db.execute("SELECT version FROM ingest.job").fetchone()
    if found is not None and found[0] in (VERSION, MIGRATED):
        return found[0]
    shown = "none" if found is None else found[0]
    raise ConfigurationError(
        f"store {path!r} has schema version {shown}, this library reads and writes "
        f"version {VERSION}; name another file"
    )


def read_state(db: DuckDBPyConnection, path: str) -> StoredState:
    """The plan and the cursors in a file.

    Raises:
        ConfigurationError: as `read_version`.
    """
    version = read_version(db, path)
    (plan,) = db.execute("SELECT plan FROM ingest.job").fetchall()[0]
    cursors = db.execute("SELECT device_id, cursor FROM ingest.cursors").fetchall()
    unreadable: dict[str, set[str]] = {}
    for device_id, key in db.execute(
        "SELECT device_id, key FROM rejected WHERE timestamp IS NULL"
    ).fetchall():
        unreadable.setdefault(device_id, set()).add(key)
    return StoredState(
        plan=plan,
        cursors=dict(cursors),
        unreadable=unreadable,
        columns={} if version == MIGRATED else read_columns(db),
    )


def read_names(db: DuckDBPyConnection, path: str) -> dict[str, str]:
    """The names of the devices in a file, by device id. A file of version 2 has none.

    Raises:
        ConfigurationError: as `read_version`.
    """
    if read_version(db, path) == MIGRATED:
        return {}
    names = "SELECT device_id, name FROM ingest.devices WHERE name IS NOT NULL"
    return dict(db.execute(names).fetchall())


def first_line(error: BaseException) -> str:
    """The first line of an error's text, at most 300 characters of it."""
    return str(error).partition("\n")[0][:300] or type(error).__name__


def is_locked(error: BaseException) -> bool:
    """Whether the error says that another process has the file open."""
    return "Could not set lock on file" in str(error)
