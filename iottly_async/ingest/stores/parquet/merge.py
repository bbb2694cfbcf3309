"""Orders rows by day, device and time, merges sources, and divides row groups. Pure."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from math import ceil
from typing import Final, TypeAlias

import pyarrow as pa
import pyarrow.compute as pc

ROW_GROUP: Final = 20_000
"""The most rows of a row group."""
LEAST_GROUP: Final = 5_000
"""Rows of a row group after which a new day begins a new one."""
_HELD: Final = 4 * ROW_GROUP  # rows that are divided into row groups together
_DAY_MS: Final = 86_400_000
_YEAR_ONE: Final = 719_163 * _DAY_MS  # milliseconds from the first time there is to 1970

Key: TypeAlias = tuple[int, str, int]
"""The day, the device and the time of a row, by which rows are in order."""


def in_order(rows: pa.Table) -> pa.Table:
    """The rows by day, then device, then time."""
    if rows.num_rows < 2:
        return rows
    columns = pa.table(
        {
            "day": _days(rows),
            "device": _ranks(rows["device_id"]),
            "time": rows["timestamp"].cast(pa.int64()),
        }
    )
    keys = [(name, "ascending") for name in columns.column_names]
    return rows.take(pc.sort_indices(columns, sort_keys=keys))


def by_device(rows: pa.Table) -> Iterator[tuple[str, pa.Table]]:
    """The rows of each device, in order of time."""
    columns = pa.table({"device": _ranks(rows["device_id"]), "time": rows["timestamp"]})
    keys = [("device", "ascending"), ("time", "ascending")]
    rows = rows.take(pc.sort_indices(columns, sort_keys=keys)).combine_chunks()
    for begin, end in _runs(rows["device_id"]):
        yield rows["device_id"][begin].as_py(), rows.slice(begin, end - begin)


def merged(sources: Iterable[Iterator[pa.Table]]) -> Iterator[pa.Table]:
    """Merge sources whose rows are in order.

    Args:
        sources: each yields tables. Memory holds one table of each.

    Yields:
        Tables whose rows are in order, from the first to the last.
    """
    waiting = [(source, table) for source in sources if (table := _next(source)) is not None]
    while waiting:
        bound = min(key_at(table, -1) for _, table in waiting)
        parts, rest = [], []
        for source, table in waiting:
            count = _count_to(bound, table)
            parts.append(table.slice(0, count))
            more = table.slice(count) if count < table.num_rows else _next(source)
            if more is not None:
                rest.append((source, more))
        waiting = rest
        parts = [part for part in parts if part.num_rows]
        yield parts[0] if len(parts) == 1 else in_order(pa.concat_tables(parts))


def row_groups(tables: Iterable[pa.Table]) -> Iterator[pa.Table]:
    """Divide rows, which are in order, into row groups.

    Args:
        tables: the rows.

    Yields:
        The row groups. Each has up to `ROW_GROUP` rows.
    """
    held: list[pa.Table] = []
    rows = 0
    for table in tables:
        held.append(table)
        rows += table.num_rows
        if rows >= _HELD:
            *groups, last = _divided(pa.concat_tables(held))
            yield from groups
            held, rows = [last], last.num_rows
    if rows:
        yield from _divided(pa.concat_tables(held))


def group_sizes(days: Iterable[int]) -> list[int]:
    """The sizes of row groups.

    Args:
        days: the number of rows of each day, in order.

    Returns:
        Sizes of at most `ROW_GROUP`. A group ends with a day unless the day is too long, or
        the group is small.
    """
    sizes: list[int] = []
    size = 0
    for rows in days:
        size += rows
        if size >= LEAST_GROUP:
            parts = ceil(size / ROW_GROUP)
            sizes += [size * (part + 1) // parts - size * part // parts for part in range(parts)]
            size = 0
    return [*sizes, size] if size else sizes


def key_at(rows: pa.Table, index: int) -> Key:
    """The key of a row. A negative index counts from the end."""
    row = rows.slice(index % rows.num_rows, 1)
    time = row["timestamp"].cast(pa.int64())[0].as_py()
    return (time + _YEAR_ONE) // _DAY_MS, row["device_id"][0].as_py(), time


def _count_to(bound: Key, rows: pa.Table) -> int:
    """How many of the rows, which are in order, are up to a key."""
    return bisect_right(range(rows.num_rows), bound, key=lambda index: key_at(rows, index))


def _next(source: Iterator[pa.Table]) -> pa.Table | None:
    return next((table for table in source if table.num_rows), None)


def _divided(rows: pa.Table) -> Iterator[pa.Table]:
    begin = 0
    for size in group_sizes(end - begin for begin, end in _runs(_days(rows))):
        yield rows.slice(begin, size)
        begin += size


def _runs(values: pa.ChunkedArray) -> Iterator[tuple[int, int]]:
    """The begin and the end of each run of equal values."""
    begin = 0
    for end in pc.run_end_encode(values.combine_chunks()).run_ends.to_pylist():
        yield begin, end
        begin = end


def _days(rows: pa.Table) -> pa.ChunkedArray:
    return pc.divide(pc.add(rows["timestamp"].cast(pa.int64()), _YEAR_ONE), _DAY_MS)


def _ranks(texts: pa.ChunkedArray) -> pa.Array:
    """Numbers in the order of the texts, which are faster to compare."""
    encoded = texts.combine_chunks().dictionary_encode()
    return pc.rank(encoded.dictionary).take(encoded.indices)
