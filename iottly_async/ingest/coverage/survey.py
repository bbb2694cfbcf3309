"""Looking at a store: whose it is, what it says of itself, and how many rows it has where."""

from __future__ import annotations

import os
from typing import Protocol

from ...config import whole
from ...errors import ConfigurationError
from ...models import Cursor
from ..grid import TimeGrid
from ..partitions.reader import PartitionsReader
from ..plan import IngestPlan
from ..stores import (
    DuckDBStore,
    Held,
    JSONLinesStore,
    ParquetStore,
    PostgresStore,
    open_store,
)
from .model import Coverage, coverage_of


class Reader(Protocol):
    """Reads a store, and changes nothing."""

    async def held(self) -> Held:
        """Its plan and cursors.

        Raises:
            ConfigurationError: there is no such store, or it cannot be read.
        """
        ...

    async def first(self) -> int | None:
        """The time of its oldest row, in milliseconds; None where it has none."""
        ...

    async def counts(self, axis: TimeGrid) -> dict[str, list[int]]:
        """Rows by device, rejected ones included, for each stretch of the axis."""
        ...


async def survey(store: str | os.PathLike[str], *, bins: int = 120) -> Coverage:
    """What a store has of which device and time.

    Args:
        store: as in `open_store`, but not an object of one's own; or the folder that
            partitions were run into, of which the range is what their manifests cover.
        bins: into how many stretches the range is cut, at most, 1 to 2,000. Default 120.

    Raises:
        ConfigurationError: there is no such store, or no job has begun in it, or an
            argument is not as above.
        StoreError: a database failed.
    """
    whole(bins, name="bins", least=1, most=2000)
    reader = reader_of(store)
    held = await reader.held()
    if held.plan is None:
        raise ConfigurationError(f"store {os.fspath(store)!r} is empty: no job has begun in it")
    plan = IngestPlan.from_json(held.plan)
    start = plan.query.start
    if start is None:
        first = await reader.first()
        start = plan.pinned_end - 1 if first is None else min(first, plan.pinned_end - 1)
    axis = TimeGrid.over(start, plan.pinned_end, bins)
    cursors = {device: Cursor.from_json(text) for device, text in held.cursors.items()}
    return coverage_of(plan, cursors, await reader.counts(axis), axis)


def reader_of(store: str | os.PathLike[str]) -> Reader:
    """What reads the store that a text names.

    Raises:
        ConfigurationError: no such kind of store, or its extra is not installed.
    """
    if PartitionsReader.reads(os.fspath(store)):
        return PartitionsReader(os.fspath(store))
    found = open_store(store)
    # Each is imported with its library, and only where its store is looked at.
    if isinstance(found, JSONLinesStore):
        from ..stores.jsonl.reader import JSONLinesReader

        return JSONLinesReader(found.path)
    if isinstance(found, DuckDBStore):
        from ..stores.duckdb.reader import DuckDBReader

        return DuckDBReader(found.path)
    if isinstance(found, ParquetStore):
        from ..stores.parquet.reader import ParquetReader

        return ParquetReader(found.path)
    if isinstance(found, PostgresStore):
        from ..stores.postgres.reader import PostgresReader

        return PostgresReader(os.fspath(store))
    raise ConfigurationError("coverage is of a store that a text names, not of an object")
