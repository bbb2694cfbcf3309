"""Rewrites a file of version 2, whose times had no zone, as one of the present version.

All of it is one transaction: a kill leaves the old file or the new one. A user's own views and
indexes are made again. Until the rewriting has ended, the file needs twice the space.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from .schema import TABLES, VERSION, VIEWS

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_COLUMNS: Final = """
    device_id, timestamp AT TIME ZONE 'UTC' AS timestamp,
    device_timestamp AT TIME ZONE 'UTC' AS device_timestamp, type, channel, payload, extra, key
"""
_COPIES: Final = {
    "messages": _COLUMNS + ", (SELECT plan ->> '$.project_id' FROM ingest.job) AS project_id",  # noqa: S608
    "rejected": _COLUMNS + ", reason, path, raw",
}
_OWN_VIEWS: Final = "('devices', 'latest', 'readings')"
_FOUND_VIEWS: Final = f"""
    SELECT schema_name, view_name, sql, schema_name = 'main' AND view_name IN {_OWN_VIEWS}
    FROM duckdb_views() WHERE NOT internal AND database_name = current_database()
"""  # noqa: S608 - nothing of a caller's is in the text
_FOUND_INDEXES: Final = """
    SELECT index_name, sql FROM duckdb_indexes()
    WHERE database_name = current_database() AND schema_name = 'main' AND sql IS NOT NULL
      AND table_name IN ('messages', 'rejected')
"""


def migrate(db: DuckDBPyConnection) -> None:
    """Rewrite a file of version 2 within the transaction that is under way.

    Raises:
        duckdb.Error: there is no space, or a user's own view or index does not fit any more.
    """
    views = db.execute(_FOUND_VIEWS).fetchall()
    indexes = db.execute(_FOUND_INDEXES).fetchall()
    for schema, name, _, _ in views:
        db.execute(f"DROP VIEW {_quoted(schema)}.{_quoted(name)}")
    for name, _ in indexes:
        db.execute(f"DROP INDEX {_quoted(name)}")
    for table in _COPIES:
        db.execute(f"ALTER TABLE {table} RENAME TO iottly_old_{table}")
    for statement in TABLES:
        db.execute(statement)
    for table, columns in _COPIES.items():
        db.execute(
            f"INSERT INTO {table} BY NAME SELECT {columns} FROM iottly_old_{table}"  # noqa: S608
        )
        db.execute(f"DROP TABLE iottly_old_{table}")
    others = _in_order([(name, sql) for _, name, sql, is_own in views if not is_own])
    for statement in (*VIEWS, *others, *(sql for _, sql in indexes)):
        db.execute(statement)
    db.execute("UPDATE ingest.job SET version = $1", [VERSION])


def _in_order(views: Sequence[tuple[str, str]]) -> list[str]:
    """The statements of named views; a view follows those that it may read from."""
    rest, ordered = list(views), list[str]()
    while rest:
        free = [
            view
            for view in rest
            if not any(_reads(view[1], other[0]) for other in rest if other is not view)
        ]
        ordered += [sql for _, sql in free or rest]
        rest = [view for view in rest if free and view not in free]
    return ordered


def _reads(sql: str, view: str) -> bool:
    name, query = re.escape(view.replace('"', '""')), sql.partition(" AS ")[2]
    return re.search(rf"(?<!\w){name}(?!\w)", query, re.IGNORECASE) is not None


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
