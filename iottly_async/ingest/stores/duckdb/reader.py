"""Reads a DuckDB store, also while a job writes to it.

A job of this process shares its database. DuckDB lets nobody else open a file that a job is
writing, so a copy of it is read.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from typing import Any, TypeVar

import duckdb

from ....errors import ConfigurationError
from ...grid import TimeGrid
from ..base import StoredState
from .copy import DatabaseCopy
from .opened import shared
from .schema import first_line, is_locked, read_names, read_state

T = TypeVar("T")

_ROWS = """
    (SELECT device_id, timestamp FROM messages UNION ALL SELECT device_id, timestamp FROM rejected)
"""


class DuckDBReader:
    """Reads the tables of a store."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._copy: DatabaseCopy | None = None

    async def state(self) -> StoredState:
        """The plan and the cursors (`StoreReader.state`)."""
        return await self._read(lambda db: read_state(db, self._path))

    async def first(self) -> int | None:
        """The time of the oldest row (`StoreReader.first`)."""
        statement = f"SELECT min(epoch_ms(timestamp)) FROM {_ROWS}"  # noqa: S608
        ((first,),) = await self._read(lambda db: db.execute(statement).fetchall())
        return None if first is None else int(first)

    async def counts(self, grid: TimeGrid) -> dict[str, list[int]]:
        """The number of rows in each bin, by device (`StoreReader.counts`)."""
        statement = (
            f"SELECT device_id, (epoch_ms(timestamp) - $start) // $width AS bin, count(*) "  # noqa: S608
            f"FROM {_ROWS} WHERE epoch_ms(timestamp) >= $start GROUP BY ALL"
        )
        values = {"start": grid.start, "width": grid.width}
        return grid.counts(await self._read(lambda db: db.execute(statement, values).fetchall()))

    async def rejected(self) -> dict[str, int]:
        """The number of rejected rows, by device (`StoreReader.rejected`)."""
        statement = "SELECT device_id, count(*) FROM rejected GROUP BY ALL"
        return dict(await self._read(lambda db: db.execute(statement).fetchall()))

    async def names(self) -> dict[str, str]:
        """The devices' names, by device id (`StoreReader.names`)."""
        return await self._read(lambda db: read_names(db, self._path))

    async def close(self) -> None:
        """Delete the copy, if one was made (`StoreReader.close`)."""
        copy, self._copy = self._copy, None
        if copy is not None:
            await asyncio.to_thread(copy.close)

    async def _read(self, query: Callable[[duckdb.DuckDBPyConnection], T]) -> T:
        return await asyncio.to_thread(self._run, query)

    def _run(self, query: Callable[[duckdb.DuckDBPyConnection], Any]) -> Any:
        if not os.path.exists(self._path):
            raise ConfigurationError(f"there is no store {self._path!r}")
        try:
            with self._connected() as db:
                return query(db)
        except (duckdb.Error, OSError) as error:
            reason = first_line(error)
        raise ConfigurationError(f"store {self._path!r} cannot be read: {reason}")

    def _connected(self) -> duckdb.DuckDBPyConnection:
        if self._copy is not None:
            return self._copy.connected()
        connection = shared(self._path)
        if connection is not None:
            return connection
        try:
            return _read_only(self._path)
        except duckdb.Error as error:
            if not is_locked(error):
                raise
        copy = DatabaseCopy(self._path, _read_only)
        connection = copy.connected()
        self._copy = copy
        return connection


def _read_only(path: str) -> duckdb.DuckDBPyConnection:
    return duckdb.connect(path, read_only=True, config={"autoinstall_known_extensions": False})
