"""The view ``wide`` of a DuckDB store: messages with typed columns from their payloads."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Final

from attrs import evolve

from ...payload_columns import ColumnKind, PayloadColumn

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

# Names of members hold no quotes (`checked_columns`), so that they can stand in a statement.
_TYPED: Final[Mapping[ColumnKind, str]] = {
    # The cast of a number that is out of the range of a double is infinite.
    "number": "CASE WHEN json_type({0}) IN ('BIGINT', 'UBIGINT', 'HUGEINT', 'UHUGEINT', 'DOUBLE') "
    "AND isfinite(TRY_CAST({0} ->> '$' AS DOUBLE)) THEN TRY_CAST({0} ->> '$' AS DOUBLE) END",
    "boolean": "CASE json_type({0}) WHEN 'BOOLEAN' THEN CAST({0} ->> '$' AS BOOLEAN) END",
    "text": "CASE json_type({0}) WHEN 'VARCHAR' THEN {0} ->> '$' END",
    "json": "CASE WHEN json_type({0}) IN ('OBJECT', 'ARRAY') THEN CAST({0} AS VARCHAR) END",
}

_KINDS: Final[Mapping[str, ColumnKind]] = {
    "VARCHAR": "text",
    "BOOLEAN": "boolean",
    "OBJECT": "json",
    "ARRAY": "json",
}


def read_columns(db: DuckDBPyConnection) -> dict[str, PayloadColumn]:
    """The columns of a file, by name."""
    found = db.execute("SELECT name, path, kind FROM ingest.columns ORDER BY place").fetchall()
    return {name: PayloadColumn(name, path, kind) for name, path, kind in found}


def keep_columns(db: DuckDBPyConnection, columns: Iterable[PayloadColumn]) -> list[PayloadColumn]:
    """Replace the columns of a file, and the view that has them, in the transaction under way.

    Returns:
        The columns. One without a type has that of a stored message, if there is a value.

    Raises:
        duckdb.Error: the file has a table or a view ``wide`` of its user's.
    """
    columns = [evolve(one, kind=one.kind or _stored_kind(db, one)) for one in columns]
    typed = [(one, one.kind) for one in columns if one.kind is not None]
    ours = any(column.kind is not None for column in read_columns(db).values())
    db.execute("DELETE FROM ingest.columns")
    for place, one in enumerate(columns):
        values = [place, one.name, one.path, one.kind]
        db.execute("INSERT INTO ingest.columns VALUES ($1, $2, $3, $4)", values)
    if typed:
        texts = [f'{_TYPED[kind].format(_value(one))} AS "{one.name}"' for one, kind in typed]
        selected = ", ".join(["messages.*", *texts])
        create = "CREATE OR REPLACE VIEW" if ours else "CREATE VIEW"
        db.execute(f"{create} wide AS SELECT {selected} FROM messages")  # noqa: S608 - as above
    return columns


def _stored_kind(db: DuckDBPyConnection, column: PayloadColumn) -> ColumnKind | None:
    kind = f"json_type({_value(column)})"
    query = f"SELECT {kind} FROM messages WHERE {kind} <> 'NULL' LIMIT 1"  # noqa: S608 - as above
    found: tuple[str] | None = db.execute(query).fetchone()
    return None if found is None else _KINDS.get(found[0], "number")


def _value(column: PayloadColumn) -> str:
    """The JSON at a column's path; its type is NULL if there is none."""
    first, *others = [f"'{_json_path(steps)}'" for steps in column.candidates]
    value = f"(payload -> {first})"
    if others:
        value = (
            f"(CASE WHEN json_type(payload, {first}) <> 'NULL' THEN payload -> {first} "
            f"ELSE payload -> {others[0]} END)"
        )
    return value


def _json_path(steps: Iterable[str | int]) -> str:
    return "$" + "".join(f"[{one}]" if isinstance(one, int) else f'."{one}"' for one in steps)
