"""Prints data to stdout: as a table, CSV or JSON."""

from __future__ import annotations

import sys
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from datetime import datetime
from enum import Enum
from shutil import get_terminal_size
from typing import Annotated, Any, Literal

from attrs import asdict, has
from cyclopts import Parameter
from rich.table import Table
from rich.text import Text

from .console import iso, plain, shown, stdout
from .record_writers import (
    CsvWriter,
    JsonArrayWriter,
    JsonLinesWriter,
    Record,
    RecordWriter,
    TableWriter,
)

Format = Literal["table", "jsonl", "json", "csv"]

FormatOption = Annotated[
    Format | None,
    Parameter(help="How data is printed: a table on a terminal, JSON lines in a pipe."),
]


class Output:
    """Prints records.

    Args:
        form: The format; None is a table on a terminal and JSON lines elsewhere.
        wide: Whether a table may be wider than the terminal, so that nothing is cut.
    """

    def __init__(self, form: Format | None, *, wide: bool = False) -> None:
        self.form: Format = form or ("table" if sys.stdout.isatty() else "jsonl")
        self._wide = wide

    def one(self, record: Record) -> None:
        """Print one record; a table has a line for each name and value."""
        if self.form != "table":
            writer = JsonLinesWriter() if self.form == "json" else self._writer([], {})
            writer.write([record])
            return
        table = Table.grid(padding=(0, 2))
        for name, value in record.items():
            table.add_row(plain(name, "bold"), Text(shown(value), overflow="fold"))
        stdout().print(table)

    def many(
        self,
        records: Sequence[Record],
        columns: Sequence[str],
        titles: Mapping[str, str] | None = None,
    ) -> None:
        """Print records.

        Args:
            records: The records.
            columns: The names that a table and CSV show. JSON has all.
            titles: Headings of a table that are not the column's name.
        """
        writer = self._writer(columns, titles or {})
        writer.write(records)
        writer.close()

    async def stream(
        self,
        records: AsyncGenerator[Record, None],
        columns: Sequence[str],
        titles: Mapping[str, str] | None = None,
    ) -> int:
        """Print records as they arrive. What was printed stays if an error ends them.

        Args:
            records: The records.
            columns: The names that a table and CSV show. JSON has all.
            titles: Headings of a table that are not the column's name.

        Returns:
            The number of records.
        """
        writer = self._writer(columns, titles or {})
        count = 0
        try:
            async with aclosing(records):
                async for record in records:
                    writer.write([record])
                    sys.stdout.flush()
                    count += 1
        finally:
            writer.close()
        return count

    def _writer(self, columns: Sequence[str], titles: Mapping[str, str]) -> RecordWriter:
        match self.form:
            case "json":
                return JsonArrayWriter()
            case "jsonl":
                return JsonLinesWriter()
            case "csv":
                return CsvWriter(columns)
            case "table":
                cut = sys.stdout.isatty() and not self._wide
                width = get_terminal_size().columns if cut else None
                return TableWriter(columns, titles, width=width)


def record_of(value: Any) -> dict[str, Any]:
    """Convert a model into a record: its fields, with times as text."""
    return {name: _plain(item) for name, item in asdict(value, recurse=False).items()}


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return iso(value)
    if isinstance(value, Enum):
        return value.value
    return record_of(value) if has(type(value)) else value
