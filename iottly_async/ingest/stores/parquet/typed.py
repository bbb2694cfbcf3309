"""Typed columns of payloads in Parquet files, behind the columns of `SCHEMA`.

The metadata of such a column says which path it was made of. If a file has other columns than the
store, or none, its rows get theirs before they are written again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from ....arrow import SCHEMA
from ....errors import DecodeError
from ....models._payload import as_double, decode_payload, decode_together
from ....models._payload_path import reader_of
from ...payload_columns import ColumnKind, ColumnTypes, PayloadColumn
from ..appendfile import reading

_TYPES: Final[Mapping[ColumnKind, pa.DataType]] = {
    "number": pa.float64(),
    "boolean": pa.bool_(),
    "text": pa.string(),
    "json": pa.string(),
}
_MADE_OF: Final = b"iottly_async.made_of"
_CHUNK: Final = 2_000  # payloads that are decoded together


def schema_of(columns: Iterable[PayloadColumn]) -> pa.Schema:
    """The schema of files with these typed columns; those without a type are left out."""
    fields = [
        pa.field(one.name, _TYPES[one.kind], metadata={_MADE_OF: f"{one.kind} {one.path}"})
        for one in columns
        if one.kind is not None
    ]
    return pa.schema([*SCHEMA, *fields], metadata=SCHEMA.metadata)


def with_columns(rows: pa.Table, columns: Sequence[PayloadColumn]) -> pa.Table:
    """Give rows these typed columns, and no others.

    Args:
        rows: with any typed columns.
        columns: those to have; those without a type are left out.

    Returns:
        The rows. A value of another type than its column's is null.
    """
    schema = schema_of(columns)
    if _made_of(rows.schema) == _made_of(schema):
        return rows
    makers = [(reader_of(one.path), _MAKERS[one.kind]) for one in columns if one.kind is not None]
    chunks: list[list[pa.Array]] = [[] for _ in makers]
    kinds = [field.type for field in [*schema][len(SCHEMA) :]]
    for payloads in _decoded(rows) if makers else ():
        for (read, make), kind, made in zip(makers, kinds, chunks, strict=True):
            made.append(pa.array([make(read(payload)) for payload in payloads], kind))
    arrays = [pa.chunked_array(made, kind) for made, kind in zip(chunks, kinds, strict=True)]
    return pa.Table.from_arrays([*rows.select(SCHEMA.names).columns, *arrays], schema=schema)


def typed(
    columns: Sequence[PayloadColumn],
    tables: Iterable[pa.Table],
    *,
    known: Iterable[PayloadColumn],
) -> list[PayloadColumn]:
    """Find the types of new columns in stored rows.

    Args:
        columns: those that the store is to have.
        tables: the rows. No more of them are read than it takes.
        known: the columns that the store has. They had no value in any stored row if they have
            no type.

    Returns:
        The columns, in their order, with the types that were found.
    """
    before = {(one.name, one.path) for one in known}
    new = [one for one in columns if one.kind is None and (one.name, one.path) not in before]
    types = ColumnTypes({one.name: one for one in new})
    chunks = (payloads for table in tables for payloads in _decoded(table))
    while any(one.kind is None for one in types.columns.values()):
        payloads = next(chunks, None)
        if payloads is None:
            break
        types.note(payloads)
    return [types.columns.get(one.name, one) for one in columns]


def stored_payloads(paths: Iterable[str]) -> Iterator[pa.Table]:
    """Read the payloads of files.

    Raises:
        ConfigurationError: a file cannot be read, or was altered.
    """
    for path in paths:
        with reading(path), pq.ParquetFile(path) as file:
            for group in range(file.num_row_groups):
                yield file.read_row_group(group, columns=["payload"])


def _made_of(schema: pa.Schema) -> list[tuple[str, bytes | None]]:
    return [(field.name, (field.metadata or {}).get(_MADE_OF)) for field in schema]


def _decoded(rows: pa.Table) -> Iterator[list[Any]]:
    for begin in range(0, rows.num_rows, _CHUNK):
        texts = rows["payload"].slice(begin, _CHUNK).cast(pa.binary()).to_pylist()
        payloads = decode_together(texts)
        yield [*map(_value, texts)] if payloads is None else payloads


def _value(text: bytes) -> Any:
    try:
        return decode_payload(text)
    except DecodeError:
        return None


def _number(value: Any) -> float | None:
    return as_double(value) if type(value) in (int, float) else None


def _boolean(value: Any) -> bool | None:
    return value if type(value) is bool else None


def _text(value: Any) -> str | None:
    return value if type(value) is str else None


def _json(value: Any) -> str | None:
    return msgspec.json.encode(value).decode() if type(value) in (dict, list) else None


_MAKERS: Final[Mapping[ColumnKind, Callable[[Any], Any]]] = {
    "number": _number,
    "boolean": _boolean,
    "text": _text,
    "json": _json,
}
