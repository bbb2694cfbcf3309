"""The view ``wide`` of a PostgreSQL store: messages with typed columns from their payloads."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from attrs import evolve

from ...payload_columns import ColumnKind, PayloadColumn

# Names of members hold no quotes (`checked_columns`), so that they can stand in a statement.
_TYPED: Final[Mapping[ColumnKind, str]] = {
    # The cast refuses a number that is too near to zero for a double, or too far from it.
    "number": "CASE WHEN jsonb_typeof(@) <> 'number' THEN NULL "
    "WHEN abs((@)::numeric) < 1e-300 THEN 0 WHEN abs((@)::numeric) > 1.7976931348623157e308 "
    "THEN NULL ELSE (@)::numeric::double precision END",
    "boolean": "CASE jsonb_typeof(@) WHEN 'boolean' THEN (@)::boolean END",
    "text": "CASE jsonb_typeof(@) WHEN 'string' THEN @ #>> '{}' END",
    "json": "CASE WHEN jsonb_typeof(@) IN ('object', 'array') THEN (@)::text END",
}

_KINDS: Final[Mapping[str | None, ColumnKind]] = {
    "number": "number",
    "boolean": "boolean",
    "string": "text",
    "object": "json",
    "array": "json",
}


async def read_columns(db: Any, schema: str) -> dict[str, PayloadColumn]:
    """The columns of a store, by name."""
    query = f"SELECT name, path, kind FROM {schema}.ingest_columns ORDER BY place"  # noqa: S608
    return {row["name"]: PayloadColumn(*row) for row in await db.fetch(query)}


async def keep_columns(
    db: Any, schema: str, columns: Iterable[PayloadColumn]
) -> list[PayloadColumn]:
    """Replace the columns of a store, and the view that has them, in the transaction under way.

    Columns are added to the view without a change for other views that read it. If a column is
    replaced, the view is made anew, which the database refuses while others read it.

    Returns:
        The columns. One without a type has that of a stored message, if there is a value.
    """
    columns = [evolve(one, kind=one.kind or await _stored_kind(db, schema, one)) for one in columns]
    typed = [one for one in columns if one.kind is not None]
    before = [one for one in (await read_columns(db, schema)).values() if one.kind is not None]
    await db.execute(f"DELETE FROM {schema}.ingest_columns")  # noqa: S608
    for place, one in enumerate(columns):
        insert = f"INSERT INTO {schema}.ingest_columns VALUES ($1, $2, $3, $4)"  # noqa: S608
        await db.execute(insert, place, one.name, one.path, one.kind)
    if before != typed[: len(before)]:
        await db.execute(f"DROP VIEW IF EXISTS {schema}.wide")
    if typed:
        texts = [
            f'{_TYPED[one.kind or "json"].replace("@", _value(one))} AS "{one.name}"'
            for one in typed
        ]
        selected = ", ".join(["message.*", *texts])
        query = f"SELECT {selected} FROM {schema}.messages AS message"  # noqa: S608 - as above
        await db.execute(f"CREATE OR REPLACE VIEW {schema}.wide AS {query}")
    return columns


async def _stored_kind(db: Any, schema: str, column: PayloadColumn) -> ColumnKind | None:
    value = _value(column)
    query = f"SELECT jsonb_typeof({value}) FROM {schema}.messages WHERE {value} IS NOT NULL LIMIT 1"  # noqa: S608
    return _KINDS.get(await db.fetchval(query))


def _value(column: PayloadColumn) -> str:
    """The JSON at a column's path; NULL if there is none."""
    found = [f"payload #> ARRAY[{_texts(steps)}]" for steps in column.candidates]
    values = ", ".join(f"nullif({each}, 'null'::jsonb)" for each in found)
    return f"coalesce({values})"


def _texts(steps: Iterable[str | int]) -> str:
    return ", ".join(f"'{step}'" for step in steps)
