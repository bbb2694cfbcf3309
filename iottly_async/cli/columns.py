"""Columns that a user chooses, such as `timestamp,payload.temperature`. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from ..errors import ConfigurationError


def columns_of(text: str | None, *, names: Collection[str]) -> list[str] | None:
    """Parse the names of columns.

    Args:
        text: Names with commas between them; None if the option is absent.
        names: Names that a record has.

    Returns:
        The columns, or None for None.

    Raises:
        ConfigurationError: A column is empty, named twice, or not in a record.
    """
    if text is None:
        return None
    columns = [column.strip() for column in text.split(",")]
    for column in columns:
        first = column.partition(".")[0]
        if first not in names:
            near = get_close_matches(first, names, n=1)
            advice = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(names)}"
            raise ConfigurationError(f"--columns has no column {column!r}; {advice}")
    if len(set(columns)) < len(columns):
        raise ConfigurationError(f"--columns names a column twice: {text!r}")
    return columns


def selected(record: Mapping[str, Any], columns: Sequence[str] | None) -> Mapping[str, Any]:
    """Choose columns of a record.

    Args:
        record: The record.
        columns: Names, with dots into objects; None chooses the record as it is.

    Returns:
        A value for each column; None where there is none.
    """
    if columns is None:
        return record
    return {column: _value(record, column) for column in columns}


def _value(item: Any, path: str) -> Any:
    """The value at a path. A name that itself has dots, as those of commands, is found, too."""
    if not isinstance(item, Mapping):
        return None
    if path in item:
        return item[path]
    for at in (index for index, character in enumerate(path) if character == "."):
        if path[:at] in item:
            found = _value(item[path[:at]], path[at + 1 :])
            if found is not None:
                return found
    return None
