"""Write records to stdout as they come: CSV, JSON lines or a JSON array."""

from __future__ import annotations

import csv
import io
import sys
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from .console import json_of, shown

Record = Mapping[str, Any]


class RecordWriter(Protocol):
    """Writes records in one format."""

    def write(self, records: Sequence[Record]) -> None:
        """Write records. The first call decides how a table is laid out."""
        ...

    def close(self) -> None:
        """Write what follows the last record."""
        ...


class JsonLinesWriter:
    """Writes a line of JSON a record."""

    def write(self, records: Sequence[Record]) -> None:
        """Write records."""
        for record in records:
            sys.stdout.buffer.write(json_of(record) + b"\n")

    def close(self) -> None:
        """Do nothing: each line is whole."""


class JsonArrayWriter:
    """Writes one JSON array. It is closed also after an interruption."""

    def __init__(self) -> None:
        self._before = b"["

    def write(self, records: Sequence[Record]) -> None:
        """Write records."""
        for record in records:
            sys.stdout.buffer.write(self._before + json_of(record))
            self._before = b",\n"

    def close(self) -> None:
        """End the array."""
        sys.stdout.buffer.write(b"[]\n" if self._before == b"[" else b"]\n")


class CsvWriter:
    """Writes CSV with a heading.

    A text is written as in a table: control characters are escaped as in JSON, and a value that
    is no text is JSON.

    Args:
        columns: The names of the columns; if there are none, those of the first record.
    """

    def __init__(self, columns: Sequence[str]) -> None:
        self._columns = list(columns)
        self._begun = False

    def write(self, records: Sequence[Record]) -> None:
        """Write records."""
        if records and not self._columns:
            self._columns = list(records[0])
        self._head()
        for record in records:
            self._row([shown(record.get(column)) for column in self._columns])

    def close(self) -> None:
        """Write the heading if there was no record."""
        self._head()

    def _head(self) -> None:
        if not self._begun and self._columns:
            self._begun = True
            self._row(self._columns)

    def _row(self, cells: Sequence[str]) -> None:
        line = io.StringIO()
        csv.writer(line, lineterminator="\n").writerow(cells)
        sys.stdout.buffer.write(line.getvalue().encode())
