"""Prints data to stdout as a table or JSON, everything else to stderr.

A text from outside, such as a device's name, may hold characters that steer a terminal. Every
text is escaped here: before it is laid out, so that its width is right, and once more where
consoles render, for texts that come another way, such as cyclopts' errors.
"""

from __future__ import annotations

import json
import sys
from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from contextlib import aclosing
from datetime import datetime
from enum import Enum
from functools import cache
from typing import Annotated, Any, Final, Literal

from attrs import asdict, has
from cyclopts import Parameter
from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from ..texts import escaped

Format = Literal["table", "jsonl", "json"]

FormatOption = Annotated[
    Format | None,
    Parameter(help="How data is printed: a table on a terminal, JSON lines in a pipe."),
]

_WIDE: Final = 10_000  # columns of a table that is not on a terminal: nothing is cut off

Record = Mapping[str, Any]


class Output:
    """Prints records.

    Args:
        form: The format; None is a table on a terminal and JSON lines elsewhere.
    """

    def __init__(self, form: Format | None) -> None:
        self.form: Format = form or ("table" if sys.stdout.isatty() else "jsonl")

    def one(self, record: Record) -> None:
        """Print one record; a table has a line for each name and value."""
        if self.form != "table":
            _write(json_of(record))
            return
        table = Table.grid(padding=(0, 2))
        for name, value in record.items():
            table.add_row(plain(name, "bold"), Text(shown(value), overflow="fold"))
        stdout().print(table)

    def many(self, records: Sequence[Record], columns: Sequence[str]) -> None:
        """Print records; a table shows only `columns`, JSON all names."""
        if self.form == "json":
            _write(json_of(records))
        elif self.form == "jsonl":
            for record in records:
                _write(json_of(record))
        else:
            _print_table(records, columns)

    async def stream(self, records: AsyncGenerator[Record, None], columns: Sequence[str]) -> int:
        """Print records as they arrive, or after the last one for a table or a JSON array.

        Returns:
            The number of records.
        """
        async with aclosing(records):
            if self.form != "jsonl":
                all_of_them = [record async for record in records]
                self.many(all_of_them, columns)
                return len(all_of_them)
            count = 0
            async for record in records:
                _write(json_of(record))
                count += 1
            return count


def record_of(value: Any) -> dict[str, Any]:
    """Convert a model into a record: its fields, with times as text."""
    return {name: _plain(item) for name, item in asdict(value, recurse=False).items()}


def shown(value: Any) -> str:
    """Format a value for a table, escaped."""
    if value is None:
        return ""
    if isinstance(value, str):
        return escaped(value)
    return json_of(value).decode()


def plain(text: str, style: str = "") -> Text:
    """A text from outside for a table or a chart, escaped."""
    return Text(escaped(text), style)


def json_of(value: Any) -> bytes:
    """Encode a value as JSON in one line, with what steers a terminal escaped."""
    from msgspec.json import encode  # here, so that `iottly --help` starts quickly

    try:
        return escaped(encode(value).decode()).encode()
    except UnicodeEncodeError:  # a lone surrogate, which msgspec does not encode
        return escaped(json.dumps(value, ensure_ascii=False, separators=(",", ":"))).encode()


def iso(time: datetime) -> str:
    """Format an aware UTC time as ISO text with milliseconds and a Z."""
    return time.replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"


def iso_ms(ms: int) -> str:
    """Format milliseconds since the epoch as ISO text in UTC."""
    from ..models._time import from_epoch_ms  # here, so that `iottly --help` loads no models

    return iso(from_epoch_ms(ms))


def say(text: str) -> None:
    """Print a line to stderr."""
    stderr().print(plain(f"iottly: {text}"), soft_wrap=True)


@cache
def stderr() -> Console:
    """The console for everything but data."""
    return _EscapingConsole(stderr=True, highlight=False)


@cache
def stdout() -> Console:
    """The console for tables."""
    width = None if sys.stdout.isatty() else _WIDE
    return _EscapingConsole(highlight=False, width=width)


class _EscapingConsole(Console):
    """A console whose texts hold no control character but the end of a line."""

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        for segment in super().render(renderable, options):
            if segment.control is None and not segment.text.isprintable():
                lines = map(escaped, segment.text.split("\n"))
                segment = segment._replace(text="\n".join(lines))
            yield segment


def _print_table(records: Sequence[Record], columns: Sequence[str]) -> None:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        # The last column is the widest, such as a payload: it is the one that is shortened.
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
