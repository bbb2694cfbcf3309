"""Coverage of a store: reads its plan, its cursors and its rows."""

from __future__ import annotations

import os
from typing import Protocol, runtime_checkable

from ...config import whole
from ...errors import ConfigurationError
from ...texts import without_secrets
from ..grid import TimeGrid
from ..partitions.reader import PartitionsReader
from ..plan import stored_plan
from ..stores import StoreReader, open_store
from ..stores.names import checked_text
from .model import Coverage, coverage_of, range_end


@runtime_checkable
class _Readable(Protocol):
    """A store that can be read."""

    def reader(self) -> StoreReader: ...


async def survey(store: str | os.PathLike[str], *, bins: int = 120) -> Coverage:
    """The coverage of a store. The store is not changed.

    A job may write to the store meanwhile. The coverage is then that of the rows and cursors
    that are durable, and its range ends at the newest cursor. A DuckDB file that a job of
    another process holds is copied to the folder for temporary files (``TMPDIR``) and read
    there.

    Args:
        store: a text as `open_store` takes it; or the folder that partitions were run into.
            The range of such a folder is what its manifests cover.
        bins: into how many bins the range is divided, at most; 1 to 2,000. Default 120.

    Returns:
        The coverage of all devices.

    Raises:
        ConfigurationError: there is no such store, no job has begun in it, or an argument
            is not as above.
        CursorMismatchError: the store's plan or a cursor was altered.
        StoreError: a database failed.

    Example:
        ```python
        coverage = await survey("telemetry.duckdb")
        print(f"{coverage.complete:.1%}")
        ```
    """
    whole(bins, name="bins", least=1, most=2000)
    reader = reader_of(store)
    try:
        return await _read(reader, shown=without_secrets(os.fspath(store)), bins=bins)
    finally:
        await reader.close()


async def _read(reader: StoreReader, *, shown: str, bins: int) -> Coverage:
    state = await reader.state()
    plan, cursors = stored_plan(state, shown=f"store {shown!r}")
    if plan is None:
        raise ConfigurationError(f"store {shown!r} is empty: no job has begun in it")
    start, end = plan.query.start, range_end(plan, cursors)
    if start is None:
        first = await reader.first()
        start = end - 1 if first is None else min(first, end - 1)
    grid = TimeGrid.over(start, end, bins)
    counts = await reader.counts(grid)
    rejected, names = await reader.rejected(), await reader.names()
    return coverage_of(plan, cursors, counts, grid, rejected=rejected, names=names)


def reader_of(store: str | os.PathLike[str]) -> StoreReader:
    """What reads the store that a text names.

    Raises:
        ConfigurationError: there is no such kind of store, its extra is not installed, or the text
            is no path that the system can have.
    """
    text = checked_text(store, name="the store")
    if PartitionsReader.reads(text):
        return PartitionsReader(text)
    found = open_store(store)
    if isinstance(found, _Readable):
        return found.reader()
    raise ConfigurationError("coverage is of a store that a text names, not of an object")
