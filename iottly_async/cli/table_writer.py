"""Writes records to stdout as a table, as they come.

A table never folds or cuts an id. If its columns are wider than the terminal, each record takes
several lines instead; only the last column, such as a payload, is cut.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from rich.cells import cell_len, set_cell_size
from rich.text import Text

from .console import shown, stdout
from .record_writers import Record

_GAP: Final = "  "
_LEAST_LAST: Final = 12
"""Columns of the terminal that the last column of a table needs; values may be shorter."""


class TableWriter:
    """Writes a table.

    Args:
        columns: The names of the columns.
        titles: Headings that are not the column's name.
        width: Columns of the terminal; None cuts nothing.
    """

    def __init__(
        self, columns: Sequence[str], titles: Mapping[str, str], *, width: int | None
    ) -> None:
        self._columns = columns
        self._titles = [titles.get(column, column) for column in columns]
        self._width = width
        self._layout: TableLayout | None = None

    def write(self, records: Sequence[Record]) -> None:
        """Write records."""
        rows = [[shown(record.get(column)) for column in self._columns] for record in records]
        layout = self._begun(rows)
        if rows:
            _print("\n".join(line for row in rows for line in layout.lines(row)))

    def close(self) -> None:
        """Write the heading if there was no record."""
        self._begun([])

    def _begun(self, rows: Sequence[Sequence[str]]) -> TableLayout:
        if self._layout is None:
            self._layout = TableLayout(self._titles, rows, width=self._width)
            _print("\n".join(self._layout.heading()), "bold")
        return self._layout


class TableLayout:
    """Where the cells of a table go. Pure.

    Args:
        titles: The heading of each column.
        rows: The first rows, or all; they decide on the widths.
        width: Columns of the terminal; None cuts nothing.
    """

    def __init__(
        self, titles: Sequence[str], rows: Sequence[Sequence[str]], *, width: int | None
    ) -> None:
        self._titles = titles
        self._widths = [max(map(cell_len, column)) for column in zip(titles, *rows, strict=True)]
        self._width = width
        self._stacked = self._too_wide()

    def heading(self) -> list[str]:
        """The lines above the first row."""
        return list(self.lines(self._titles))

    def lines(self, cells: Sequence[str]) -> Iterator[str]:
        """The lines of one row."""
        # A later row may be wider than the first ones: the rows after it follow.
        if not self._stacked:
            self._widths = [
                max(each) for each in zip(self._widths, map(cell_len, cells), strict=True)
            ]
            self._stacked = self._too_wide()
        return self._stack(cells) if self._stacked else iter([self._side_by_side(cells)])

    def _too_wide(self) -> bool:
        *before, last = self._widths
        needed = sum(before) + len(_GAP) * len(before) + min(last, _LEAST_LAST)
        return self._width is not None and needed > self._width

    def _side_by_side(self, cells: Sequence[str]) -> str:
        line = ""
        for index, cell in enumerate(cells[:-1]):
            line += cell + " " * (self._widths[index] - cell_len(cell)) + _GAP
        return (line + self._cut(cells[-1], cell_len(line))).rstrip()

    def _stack(self, cells: Sequence[str]) -> Iterator[str]:
        """The first cell on a line of its own; below it the others, as many as fit a line."""
        line, *others = cells
        for index, cell in enumerate(others, 1):
            if not cell:
                continue
            text = self._cut(cell, len(_GAP)) if index == len(cells) - 1 else cell
            begun = index > 1 and line.startswith(_GAP)
            if begun and cell_len(line + _GAP + text) <= (self._width or 0):
                line += _GAP + text
            else:
                yield line
                line = _GAP + text
        yield line

    def _cut(self, text: str, used: int) -> str:
        if self._width is None or used + cell_len(text) <= self._width:
            return text
        return set_cell_size(text, max(1, self._width - used) - 1) + "…"


def _print(text: str, style: str = "") -> None:
    stdout().print(Text(text, style), soft_wrap=True)
