"""Typed columns that a store makes of paths of the payloads.

The type of a column is found from the data: the first value that is not null decides. A value of
another type is null in the column, and counted; the payload has it.

| the first value is | the column has |
| --- | --- |
| a number | doubles |
| true or false | booleans |
| a text | texts |
| an object or an array | texts, its JSON |
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Literal

from attrs import define, evolve, field, frozen

from ..errors import ConfigurationError
from ..models._payload_path import Steps, candidates_of, is_path, reader_of

ColumnKind = Literal["number", "boolean", "text", "json"]

_KINDS: Final[Mapping[type, ColumnKind]] = {
    int: "number",
    float: "number",
    bool: "boolean",
    str: "text",
    dict: "json",
    list: "json",
}
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,62}")
_TAKEN: Final = (
    *("project_id", "device_id", "timestamp", "device_timestamp"),
    *("type", "channel", "payload", "extra", "key"),
)


@frozen
class PayloadColumn:
    """A column of the values at a path of the payloads.

    Attributes:
        name: of the column.
        path: names of members, and places in arrays, such as ``phases[0].volts``.
        kind: of its values; None as long as none was found.
    """

    name: str
    path: str
    kind: ColumnKind | None = None

    @property
    def candidates(self) -> list[Steps]:
        """The paths to look at, in this order: one member's name may be all of the path."""
        return candidates_of(self.path)


@define
class ColumnTypes:
    """Finds the types of a job's columns, and counts the values that do not fit.

    Attributes:
        columns: by name, in the order in which their types were found.
        clashes: the number of values of another type than their column's, by its name.
        changed: whether a type was found that the store does not know.
    """

    columns: dict[str, PayloadColumn]
    clashes: dict[str, int] = field(factory=dict)
    changed: bool = False
    _readers: list[tuple[str, Callable[[Any], Any]]] = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._readers = [(name, reader_of(column.path)) for name, column in self.columns.items()]

    def note(self, payloads: Sequence[Any]) -> None:
        """Note the payloads of messages that are about to be stored."""
        for name, read in self._readers:
            column = self.columns[name]
            for kind in map(_KINDS.get, map(type, map(read, payloads))):
                if kind is None or kind == column.kind:
                    continue
                if column.kind is None:
                    column = evolve(column, kind=kind)
                    del self.columns[name]  # to the end, behind those whose types are known
                    self.columns[name] = column
                    self.changed = True
                else:
                    self.clashes[name] = self.clashes.get(name, 0) + 1


def checked_columns(columns: Mapping[str, str] | None) -> dict[str, PayloadColumn]:
    """The columns that an argument names.

    Args:
        columns: the path of each column, by its name; None is none.

    Returns:
        The columns by name, without types.

    Raises:
        ConfigurationError: a name or a path is not as `IngestJob` says.
    """
    if columns is not None and not isinstance(columns, Mapping):
        raise ConfigurationError(
            "columns must be a mapping of names to paths, such as "
            f"{{'temperature': 'room.celsius'}}, not {type(columns).__name__}"
        )
    checked: dict[str, PayloadColumn] = {}
    for name, path in (columns or {}).items():
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise ConfigurationError(
                f"columns: {name!r} cannot name a column; write up to 63 letters, digits and "
                "underscores, and a letter first"
            )
        if name.lower() in (*_TAKEN, *map(str.lower, checked)):
            raise ConfigurationError(f"columns: there is a column {name!r} already; name another")
        if not is_path(path):
            raise ConfigurationError(
                f"columns: {path!r} is no path in a payload; write it like "
                "sensor_data_reading.temperature or phases[0].volts, without quotes"
            )
        checked[name] = PayloadColumn(name, path)
    return checked


def merged_columns(
    asked: Mapping[str, PayloadColumn], stored: Mapping[str, PayloadColumn]
) -> dict[str, PayloadColumn]:
    """The columns of a run: those of earlier runs into the store, and those that are asked for.

    A column that has another path than before begins anew, without a type.
    """
    kept = {name: one for name, one in stored.items() if asked.get(name, one).path == one.path}
    return {**kept, **{name: one for name, one in asked.items() if name not in kept}}
