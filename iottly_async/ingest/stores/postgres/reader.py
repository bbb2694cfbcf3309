"""Reads a PostgreSQL store, also while a job writes to it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from ....config import RetryPolicy
from ....errors import ConfigurationError
from ....texts import without_secrets
from ...grid import TimeGrid
from ..base import StoredState
from .connection import Connection, PostgresConnection
from .schema import read_names, read_state

T = TypeVar("T")

_ROWS = """
    (SELECT device_id, timestamp FROM {schema}.messages
     UNION ALL SELECT device_id, timestamp FROM {schema}.rejected) AS row
"""
_FIRST = f"SELECT floor(extract(epoch FROM min(timestamp)) * 1000)::bigint FROM {_ROWS}"  # noqa: S608
_COUNTS = f"""
    SELECT device_id, floor((extract(epoch FROM timestamp) * 1000 - $1) / $2)::bigint AS bin,
           count(*)
    FROM {_ROWS} GROUP BY 1, 2
"""  # noqa: S608


class PostgresReader:
    """Reads the tables of a part of a store. The schema's name was checked by the store."""

    def __init__(self, url: str, *, schema: str, part: str) -> None:
        self._schema = schema
        self._part = part
        self._shown = repr(without_secrets(url))
        self._link = PostgresConnection(
            url, prepare=_no_preparation, retry=RetryPolicy(), shown=self._shown
        )

    async def state(self) -> StoredState:
        """The plan and the cursors (`StoreReader.state`)."""

        async def read(db: Connection) -> StoredState:
            if await db.fetchval("SELECT to_regclass($1)", f"{self._schema}.ingest_store") is None:
                raise ConfigurationError(f"there is no store in {self._shown}")
            return await read_state(db, schema=self._schema, part=self._part, shown=self._shown)

        return await self._run(read)

    async def first(self) -> int | None:
        """The time of the oldest row (`StoreReader.first`)."""
        statement = _FIRST.format(schema=self._schema)

        async def read(db: Connection) -> int | None:
            found: int | None = await db.fetchval(statement)
            return found

        return await self._run(read)

    async def counts(self, grid: TimeGrid) -> dict[str, list[int]]:
        """The number of rows in each bin, by device (`StoreReader.counts`)."""
        statement = _COUNTS.format(schema=self._schema)

        async def read(db: Connection) -> list[Any]:
            found: list[Any] = await db.fetch(statement, grid.start, grid.width)
            return found

        return grid.counts(await self._run(read))

    async def rejected(self) -> dict[str, int]:
        """The number of rejected rows, by device (`StoreReader.rejected`)."""
        statement = f"SELECT device_id, count(*) FROM {self._schema}.rejected GROUP BY 1"  # noqa: S608

        async def read(db: Connection) -> dict[str, int]:
            return dict(await db.fetch(statement))

        return await self._run(read)

    async def names(self) -> dict[str, str]:
        """The devices' names, by device id (`StoreReader.names`)."""

        async def read(db: Connection) -> dict[str, str]:
            return await read_names(db, schema=self._schema)

        return await self._run(read)

    async def close(self) -> None:
        """Close the connection (`StoreReader.close`)."""
        await self._link.close()

    async def _run(self, work: Callable[[Connection], Awaitable[T]]) -> T:
        return await self._link.run(work)


async def _no_preparation(db: Connection) -> None:
    """A connection that only reads needs no preparation."""
