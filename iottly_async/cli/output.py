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

from .console import iso, plain, shown, stdout
from .record_writers import (
    CsvWriter,
    JsonArrayWriter,
    JsonLinesWriter,
    Record,
    RecordWriter,
)

Format = Literal["table", "jsonl", "json", "csv"]

FormatOption = Annotated[
    Format | None,
    Parameter(help="How data is printed: a table on a terminal, JSON lines in a pipe."),
]


_GAP = "  "


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
        names = max(map(len, record))
        for name, value in record.items():
            _print_value(name, shown(value), names=names)

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
                from .table_writer import TableWriter  # here, as other formats need no rich

                cut = sys.stdout.isatty() and not self._wide
                width = get_terminal_size().columns if cut else None
                return TableWriter(columns, titles, width=width)


def _print_value(name: str, text: str, *, names: int) -> None:
    """Print a line of a table with one record. A word that fits no line beside the name is whole.

    Args:
        name: The value's name.
        text: The value, escaped.
        names: The length of the longest name.
    """
    from rich.cells import cell_len
    from rich.table import Column, Table
    from rich.text import Text

    room = stdout().width - names - len(_GAP)
    if max(map(cell_len, text.split()), default=0) > room:
        stdout().print(plain(name, "bold"))
        stdout().print(Text(f"{_GAP}{text}"), soft_wrap=True)
        return
    table = Table.grid(Column(min_width=names), Column(), padding=(0, len(_GAP), 0, 0))
    table.add_row(plain(name, "bold"), Text(text))
    stdout().print(table)


def record_of(value: Any) -> dict[str, Any]:
    """Convert a model into a record: its fields, with times as text."""
    return {name: _plain(item) for name, item in asdict(value, recurse=False).items()}


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return iso(value)
    if isinstance(value, Enum):
        return value.value
    return record_of(value) if has(type(value)) else value
