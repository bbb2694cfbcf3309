"""Reads a PostgreSQL store, also while a job writes into it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from ....config import RetryPolicy
from ....errors import ConfigurationError
from ...grid import TimeGrid
from .. import Held
from . import connection as link
from .connection import Connection

T = TypeVar("T")

_PART = "main"
_ROWS = """
    (SELECT device_id, timestamp FROM {schema}.messages
     UNION ALL SELECT device_id, timestamp FROM {schema}.rejected) AS row
"""
_PLACE = "floor((extract(epoch FROM timestamp) * 1000 - $1) / $2)::bigint"


class PostgresReader:
    """Reads the tables of a store; its schema's name was checked by the store."""

    def __init__(self, url: str) -> None:
        plain, schema = link.split_url(url, "schema")
        self._schema = schema or "iottly"
        self._shown = repr(link.without_secrets(plain))
        self._link = link.PostgresConnection(
            plain, prepare=_as_it_is, retry=RetryPolicy(), shown=self._shown
        )

    async def held(self) -> Held:
        """Plan and cursors (`Reader.held`)."""

        async def read(db: Connection) -> tuple[Any, Any]:
            if await db.fetchval("SELECT to_regclass($1)", f"{self._schema}.ingest_plans") is None:
                raise ConfigurationError(f"there is no store in {self._shown}")
            plan = await db.fetchval(
                f"SELECT plan FROM {self._schema}.ingest_plans WHERE part = $1",  # noqa: S608
                _PART,
            )
            cursors = await db.fetch(
                f"SELECT device_id, cursor FROM {self._schema}.ingest_cursors WHERE part = $1",  # noqa: S608
                _PART,
            )
            return plan, cursors

        plan, cursors = await self._run(read)
        return Held(plan=plan, cursors=dict(cursors))

    async def first(self) -> int | None:
        """The oldest row (`Reader.first`)."""
        rows = _ROWS.format(schema=self._schema)
        statement = f"SELECT floor(extract(epoch FROM min(timestamp)) * 1000)::bigint FROM {rows}"  # noqa: S608

        async def read(db: Connection) -> int | None:
            found: int | None = await db.fetchval(statement)
            return found

        return await self._run(read)

    async def counts(self, axis: TimeGrid) -> dict[str, list[int]]:
        """Rows by device and stretch (`Reader.counts`)."""
        rows = _ROWS.format(schema=self._schema)
        statement = f"SELECT device_id, {_PLACE} AS place, count(*) FROM {rows} GROUP BY 1, 2"  # noqa: S608

        async def read(db: Connection) -> list[Any]:
            found: list[Any] = await db.fetch(statement, axis.start, axis.width)
            return found

        return axis.gathered(await self._run(read))

    async def _run(self, work: Callable[[Connection], Awaitable[T]]) -> T:
        try:
            return await self._link.run(work)
        finally:
            await self._link.close()


async def _as_it_is(db: Connection) -> None:
    """A connection that only reads needs nothing."""
