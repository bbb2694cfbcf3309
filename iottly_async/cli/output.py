"""Where output goes: data to stdout as a table or as JSON, all else to stderr."""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from datetime import datetime
from enum import Enum
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import msgspec
from attrs import asdict, has
from cyclopts import Parameter
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..errors import ConfigurationError, StoreError
from ..models._time import from_epoch_ms

Format = Literal["table", "jsonl", "json"]

FormatOption = Annotated[
    Format | None,
    Parameter(help="How data is printed: a table on a terminal, JSON lines in a pipe."),
]

_WIDE: Final = 10_000  # columns of a table that no terminal shows: nothing is cut off

_encode: Final = msgspec.json.Encoder().encode

Record = Mapping[str, Any]


class Output:
    """Prints records.

    Args:
        form: as asked for; None is a table on a terminal and JSON lines elsewhere.
    """

    def __init__(self, form: Format | None) -> None:
        self.form: Format = form or ("table" if sys.stdout.isatty() else "jsonl")

    def one(self, record: Record) -> None:
        """Print one record: a name and a value a line in a table."""
        if self.form != "table":
            _write(_encode(record))
            return
        table = Table.grid(padding=(0, 2))
        for name, value in record.items():
            table.add_row(Text(name, style="bold"), Text(shown(value), overflow="fold"))
        stdout().print(table)

    def many(self, records: Sequence[Record], columns: Sequence[str]) -> None:
        """Print records; `columns` are those that a table shows, all are in the JSON."""
        if self.form == "json":
            _write(_encode(records))
        elif self.form == "jsonl":
            for record in records:
                _write(_encode(record))
        else:
            _print_table(records, columns)

    async def stream(self, records: AsyncGenerator[Record, None], columns: Sequence[str]) -> int:
        """Print records as they come, a table or JSON array after the last; says how many."""
        async with aclosing(records):
            if self.form != "jsonl":
                all_of_them = [record async for record in records]
                self.many(all_of_them, columns)
                return len(all_of_them)
            count = 0
            async for record in records:
                _write(_encode(record))
                count += 1
            return count


class ReportFile:
    """A file for a report in JSON, replaced whole.

    Args:
        path: of the file; its folder must be there.

    Raises:
        ConfigurationError: it cannot be written there.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._aside = path.with_name(path.name + ".new")
        if path.is_dir():
            raise ConfigurationError(f"--report {str(path)!r} is a folder; name a file in it")
        if reason := _fault(self._aside, b""):
            raise ConfigurationError(f"--report {str(path)!r} cannot be written: {reason}")
        self._aside.unlink()

    def write(self, report: Mapping[str, Any]) -> None:
        """Put a report in the file.

        Raises:
            StoreError: it cannot be written any more.
        """
        text = msgspec.json.format(msgspec.json.encode(report), indent=2) + b"\n"
        if reason := _fault(self._aside, text):
            raise StoreError(f"the report {str(self._path)!r} cannot be written: {reason}")
        os.replace(self._aside, self._path)


def record_of(value: Any) -> dict[str, Any]:
    """A model as a record: its fields, times as texts."""
    return {name: _plain(item) for name, item in asdict(value, recurse=False).items()}


def shown(value: Any) -> str:
    """A value as it stands in a table."""
    if value is None:
        return ""
    if isinstance(value, str):
        return str(value)
    return _encode(value).decode()


def iso(time: datetime) -> str:
    """An aware UTC time as text, in milliseconds, with a Z."""
    return time.replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"


def iso_ms(ms: int) -> str:
    """Milliseconds since the epoch as text, in UTC."""
    return iso(from_epoch_ms(ms))


def say(text: str) -> None:
    """A line for people, on stderr."""
    stderr().print(Text(f"iottly: {text}"), soft_wrap=True)


@cache
def stderr() -> Console:
    """The console of all that is not data."""
    return Console(stderr=True, highlight=False)


@cache
def stdout() -> Console:
    """The console of tables."""
    width = None if sys.stdout.isatty() else _WIDE
    return Console(highlight=False, width=width)


def _print_table(records: Sequence[Record], columns: Sequence[str]) -> None:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        # The last one is the widest, such as a payload: it gives way to the others.
        last = column == columns[-1]
        table.add_column(column, no_wrap=last, overflow="ellipsis" if last else "fold")
    for record in records:
        table.add_row(*(Text(shown(record.get(column))) for column in columns))
    stdout().print(table)


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return iso(value)
    if isinstance(value, Enum):
        return value.value
    return record_of(value) if has(type(value)) else value


def _write(line: bytes) -> None:
    sys.stdout.buffer.write(line + b"\n")


def _fault(path: Path, data: bytes) -> str | None:
    try:
        path.write_bytes(data)
    except OSError as error:
        return error.strerror or str(error)
    return None
