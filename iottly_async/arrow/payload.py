"""Columns made of paths of the payloads, with types that are found from the data.

Paths are written like ``sensor_data_reading.temperature`` or ``phases[0].volts``
(`models._payload_path`).

| the values are | the column is |
| --- | --- |
| true, false | bool |
| whole numbers of 64 bits | int64 |
| other numbers, or both | double |
| texts | string |
| objects, arrays | string, their JSON |

A path that is missing, a JSON null, a payload that cannot be read, and a number that is out of the
range of a double, such as 10**400, are null. Types that clash, such as a number in one message and
a text in another, are an error.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
import pyarrow as pa

from ..errors import ConfigurationError, DecodeError
from ..models._payload import as_double, decode_payload, decode_together
from ..models._payload_path import is_path, reader_of
from ..models.row import MessageRow
from .schema import SCHEMA

_KINDS: Final[Mapping[type, str]] = {
    bool: "true or false",
    int: "a number",
    float: "a number",
    str: "a text",
    dict: "an object or array",
    list: "an object or array",
}


class PayloadColumns:
    """Collects the values of some paths, one chunk after the other.

    Args:
        paths: the path of each column, by the column's name.

    Raises:
        ConfigurationError: it is no mapping, a path is malformed, or a name is one of the
            schema's.
    """

    def __init__(self, paths: Mapping[str, str]) -> None:
        if not isinstance(paths, Mapping):
            raise ConfigurationError(
                "payload must be a mapping of names to paths, such as "
                f"{{'temperature': 'room.celsius'}}, not {type(paths).__name__}"
            )
        self._columns = [_Column(name, path) for name, path in paths.items()]

    def add(self, rows: Sequence[MessageRow]) -> None:
        """Add a chunk with the values of these rows.

        Raises:
            DecodeError: the types of a column clash.
        """
        if not self._columns:
            return
        payloads = decode_together([row.payload for row in rows])
        if payloads is None:
            payloads = [_decoded(row) for row in rows]
        for column in self._columns:
            column.add(rows, payloads)

    def append_to(self, table: pa.Table) -> pa.Table:
        """Return a table with the columns behind its own; its chunks are those that were added."""
        for column in self._columns:
            table = table.append_column(column.name, column.array())
        return table


class _Column:
    def __init__(self, name: str, path: str) -> None:
        if not isinstance(name, str) or not name or name in SCHEMA.names:
            raise ConfigurationError(
                f"payload: {name!r} cannot name a column; name one that is not of the schema "
                f"({', '.join(SCHEMA.names)})"
            )
        if not is_path(path):
            raise ConfigurationError(
                f"payload: {path!r} is no path; write it like sensor_data_reading.temperature "
                "or phases[0].volts"
            )
        self.name = name
        self._path = path
        self._read = reader_of(path)
        self._first: tuple[str, MessageRow] | None = None
        self._chunks: list[pa.Array] = []

    def add(self, rows: Sequence[MessageRow], payloads: Sequence[Any]) -> None:
        values = [*map(self._read, payloads)]
        kinds = {type(value) for value in values} - {type(None)}
        for index, value in enumerate(values) if self._differ(kinds) else ():
            if value is not None:
                self._check(_KINDS[type(value)], rows[index])
        if kinds & {dict, list}:
            values = [None if value is None else _json(value) for value in values]
        self._chunks.append(_array(values))

    def _differ(self, kinds: set[type]) -> bool:
        names = {_KINDS[kind] for kind in kinds}
        return bool(names) and (self._first is None or names != {self._first[0]})

    def _check(self, kind: str, row: MessageRow) -> None:
        if self._first is None:
            self._first = kind, row
        elif kind != self._first[0]:
            known, first = self._first
            raise DecodeError(
                f"column {self.name!r} has values of two types: {self._path} is {known} in a "
                f"message of device {first.device_id} at {_time(first)}, and {kind} in one of "
                f"device {row.device_id} at {_time(row)}; leave the path out, and read it from "
                "the column payload, or name a part of it that has one type",
                path=f"$.payload.{self._path}",
            )

    def array(self) -> pa.ChunkedArray:
        """The column, of the type that holds all of its chunks."""
        types = {chunk.type for chunk in self._chunks} - {pa.null()}
        kind = pa.float64() if len(types) > 1 else next(iter(types), pa.null())
        return pa.chunked_array([chunk.cast(kind, safe=False) for chunk in self._chunks], kind)


def _decoded(row: MessageRow) -> Any:
    try:
        return decode_payload(row.payload)
    except DecodeError:
        return None


def _array(values: list[Any]) -> pa.Array:
    try:
        return pa.array(values)
    except (pa.ArrowInvalid, OverflowError):  # a whole number of more than 64 bits
        doubles = [None if value is None else as_double(value) for value in values]
        return pa.array(doubles, pa.float64())


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def _time(row: MessageRow) -> str:
    return row.timestamp.isoformat(timespec="milliseconds")
