"""Reads a DuckDB file; while a job writes into it, DuckDB lets nobody else have it open."""

from __future__ import annotations

import asyncio
import os
from typing import Any

import duckdb

from ....errors import ConfigurationError
from ...grid import TimeGrid
from .. import Held

_ROWS = """
    (SELECT device_id, timestamp FROM messages UNION ALL SELECT device_id, timestamp FROM rejected)
"""


class DuckDBReader:
    """Reads the tables of a store."""

    def __init__(self, path: str) -> None:
        self._path = path

    async def held(self) -> Held:
        """Plan and cursors (`Reader.held`)."""
        ((plan,),) = await self._query("SELECT plan FROM ingest.job")
        cursors = await self._query("SELECT device_id, cursor FROM ingest.cursors")
        return Held(plan=plan, cursors=dict(cursors))

    async def first(self) -> int | None:
        """The oldest row (`Reader.first`)."""
        ((first,),) = await self._query(f"SELECT min(epoch_ms(timestamp)) FROM {_ROWS}")  # noqa: S608
        return None if first is None else int(first)

    async def counts(self, axis: TimeGrid) -> dict[str, list[int]]:
        """Rows by device and stretch (`Reader.counts`)."""
        rows = await self._query(
            f"SELECT device_id, (epoch_ms(timestamp) - $start) // $width AS place, count(*) "  # noqa: S608
            f"FROM {_ROWS} WHERE epoch_ms(timestamp) >= $start GROUP BY ALL",
            {"start": axis.start, "width": axis.width},
        )
        return axis.gathered(rows)

    async def _query(self, statement: str, values: dict[str, int] | None = None) -> list[Any]:
        return await asyncio.to_thread(self._run, statement, values)

    def _run(self, statement: str, values: dict[str, int] | None) -> list[Any]:
        if not os.path.exists(self._path):
            raise ConfigurationError(f"there is no store {self._path!r}")
        try:
            with duckdb.connect(
                self._path, read_only=True, config={"autoinstall_known_extensions": False}
            ) as db:
                return db.execute(statement, values or {}).fetchall()
        except duckdb.Error as error:
            reason = str(error).partition("\n")[0][:300]
        raise ConfigurationError(f"store {self._path!r} cannot be read: {reason}")
