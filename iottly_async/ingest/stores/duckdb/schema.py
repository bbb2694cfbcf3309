"""The schema of a DuckDB store; a user's queries may rely on it.

The table ``messages`` has one row a message, in no particular order:

- ``device_id``, VARCHAR: the device that sent it.
- ``timestamp``, TIMESTAMP: the server's time of arrival, in UTC, with milliseconds.
- ``device_timestamp``, TIMESTAMP: the time that the device recorded, in UTC; NULL if absent.
- ``type``, VARCHAR: "userdefined", "iottlyagent" or another text; NULL if absent.
- ``channel``, VARCHAR: the channel that it was sent on; NULL if absent.
- ``payload``, JSON: as it arrived, byte for byte.
- ``extra``, JSON: fields that the API's documents do not name; mostly NULL.
- ``key``, VARCHAR: unique, and the same for the same message in every run. The database
  enforces it together with ``timestamp``, which needs a smaller index.

The table ``rejected`` has what cannot be such a row, with the ``reason`` and the ``path`` of
what is wrong. Its other columns are the same, and one more:

- ``payload``, BLOB: the bytes of a message's payload; NULL if the row is no message.
- ``raw``, BLOB: the bytes of a row that is no message, for example one without a timestamp.
  Its ``device_id`` is the device that it was fetched for, and its ``key`` comes from both.

There are three views:

- ``devices``: one row a device, with the number of its messages and its first and last
  ``timestamp``.
- ``latest``: the latest message of each device, of any type.
- ``readings``: one row for each number in a payload: ``device_id``, ``timestamp``, ``name``
  (its path, for example ``sensor_data_reading.temperature`` or ``phases[0]``), ``value``
  (DOUBLE), and the ``type`` and ``key`` of the message.

Times are in UTC, although their type has no zone. So ``date_trunc('hour', timestamp)`` means
the same on every machine. ``timestamp AT TIME ZONE 'UTC'`` has a zone, for pandas and others.
The schema ``ingest`` is the job's own: its plan and its cursors.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ....errors import ConfigurationError
from ..base import StoredState

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

VERSION: Final = 2

CREATE: Final = (
    """
    CREATE TABLE messages (
        device_id VARCHAR NOT NULL,
        timestamp TIMESTAMP NOT NULL,
        device_timestamp TIMESTAMP,
        type VARCHAR,
        channel VARCHAR,
        payload JSON NOT NULL,
        extra JSON,
        key VARCHAR NOT NULL,
        UNIQUE (timestamp, key)
    )
    """,
    """
    CREATE TABLE rejected (
        device_id VARCHAR NOT NULL,
        timestamp TIMESTAMP,
        device_timestamp TIMESTAMP,
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
    "COMMENT ON COLUMN messages.timestamp IS 'when the server got it, UTC'",
    "COMMENT ON COLUMN messages.device_timestamp IS 'the time the device recorded, UTC'",
    """
    CREATE VIEW devices AS
    SELECT device_id, count(*) AS messages, min(timestamp) AS first, max(timestamp) AS last
    FROM messages GROUP BY device_id
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
    "CREATE SCHEMA ingest",
    "CREATE TABLE ingest.job (version INTEGER NOT NULL, plan VARCHAR)",
    "CREATE TABLE ingest.cursors (device_id VARCHAR PRIMARY KEY, cursor VARCHAR NOT NULL)",
)

# One text holds a whole group, and the database divides it into rows. Measured on 20,000
# rows: 190,000 rows a second; executemany reaches 1,700, lists of parameters 120,000.
_ROWS: Final = """
    SELECT unnest(from_json($rows, '[{
        "key": "VARCHAR", "device_id": "VARCHAR", "timestamp": "BIGINT",
        "device_timestamp": "BIGINT", "type": "VARCHAR", "channel": "VARCHAR",
        "payload": "VARCHAR", "extra": "VARCHAR", "reason": "VARCHAR", "path": "VARCHAR",
        "raw": "VARCHAR"
    }]')) AS row
"""

INSERT_MESSAGES: Final = f"""
    INSERT INTO messages
    SELECT row.device_id, epoch_ms(row.timestamp), epoch_ms(row.device_timestamp), row.type,
           row.channel, row.payload, row.extra, row.key
    FROM ({_ROWS})
"""  # noqa: S608 - nothing of a caller's is in the text

INSERT_REJECTED: Final = f"""
    INSERT INTO rejected
    SELECT row.device_id, epoch_ms(row.timestamp), epoch_ms(row.device_timestamp), row.type,
           row.channel, from_base64(row.payload), row.extra, row.key, row.reason, row.path,
           from_base64(row.raw)
    FROM ({_ROWS})
    ON CONFLICT DO NOTHING
"""  # noqa: S608 - nothing of a caller's is in the text

INSERT_CURSORS: Final = """
    INSERT INTO ingest.cursors
    SELECT row.device_id, row.cursor
    FROM (SELECT unnest(from_json($rows, '[{"device_id": "VARCHAR", "cursor": "VARCHAR"}]')) AS row)
    ON CONFLICT (device_id) DO UPDATE SET cursor = excluded.cursor
"""


def read_state(db: DuckDBPyConnection, path: str) -> StoredState:
    """The plan and the cursors in a file.

    Raises:
        ConfigurationError: the file has another schema version.
    """
    job = db.execute("SELECT version, plan FROM ingest.job").fetchone()
    if job is None or job[0] != VERSION:
        found = "none" if job is None else job[0]
        raise ConfigurationError(
            f"store {path!r} has schema version {found}, this library reads and writes "
            f"version {VERSION}; name another file"
        )
    cursors = db.execute("SELECT device_id, cursor FROM ingest.cursors").fetchall()
    unreadable: dict[str, set[str]] = {}
    for device_id, key in db.execute(
        "SELECT device_id, key FROM rejected WHERE timestamp IS NULL"
    ).fetchall():
        unreadable.setdefault(device_id, set()).add(key)
    return StoredState(plan=job[1], cursors=dict(cursors), unreadable=unreadable)


def first_line(error: BaseException) -> str:
    """The first line of an error's text, at most 300 characters of it."""
    return str(error).partition("\n")[0][:300] or type(error).__name__


def is_locked(error: BaseException) -> bool:
    """Whether the error says that another process has the file open."""
    return "Could not set lock on file" in str(error)
