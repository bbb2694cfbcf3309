"""Stores messages in PostgreSQL, rows and cursors in one transaction (schema: `schema`).

A group is copied into ``messages`` by binary COPY. That fails if a row is there already. It
happens when the answer to a commit was lost and the group is written again. The group is then
copied to a temporary table, and from there inserted with ``ON CONFLICT DO NOTHING``, which
takes twice as long. So are the groups that follow, up to one whose rows were all new. A row that
the database refuses is found by halving the group.
"""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Final

import msgspec

from ....auth import RedactedStr
from ....config import RetryPolicy
from ....errors import ConfigurationError, StoreInUseError
from ....models.message import message_of
from ....models.message_batch import rows_of
from ....models.row import MessageRow
from ....texts import without_secrets
from ...payload_columns import PayloadColumn
from ..base import Group, Rejected, StoredState, StoreReader
from ..devices import ListedDevice
from . import schema as sql
from .copy import Refused, copy_rows, rejected_row, without_nul
from .wide import keep_columns

if TYPE_CHECKING:
    from .connection import Connection

_NAME: Final = re.compile(r"[a-z_][a-z0-9_]{0,62}")
_LOCK_WITHIN: Final = "10s"


class PostgresStore:
    """A store in a PostgreSQL database, with views over the messages.

    A group is one transaction, and durable when `write` returns. If the connection is lost,
    it is made again and the group is written again, as `retry` says.

    Args:
        url: ``postgresql://USER@HOST:PORT/DATABASE``, as libpq takes it. Parts that are left
            out come from libpq's environment variables. Give the password by ``PGPASSWORD`` or
            ``~/.pgpass``, not in the URL: command lines and configurations are seen by many.
            It is never shown. ``?schema=NAME`` names the
            schema of the store, ``iottly`` by default. A store belongs to one project; use
            another schema for another project. The connection must be direct, or go through
            a pooler in session mode.
        part: the name of this job within the store. It names the job's plan and cursors. Jobs
            with different parts can write to one store at the same time. Default "main".
        retry: how often and how soon a lost connection is made again. None is the default
            `RetryPolicy`.

    Raises:
        ConfigurationError: the URL is malformed, or the extra ``postgres`` is not installed.
    """

    uses_keys = True
    group_rows = 4_000  # more rows a commit, less CPU and fewer syncs; 8,000 are no faster

    def __init__(self, url: str, *, part: str = "main", retry: RetryPolicy | None = None) -> None:
        try:
            from . import connection as link
        except ModuleNotFoundError:
            raise ConfigurationError(
                "the PostgreSQL store needs the extra postgres: "
                "pip install 'iottly-async[postgres]'"
            ) from None
        plain_url, schema = link.split_url(url, "schema")
        self._url = RedactedStr(plain_url)
        self.schema = "iottly" if schema is None else schema
        if not _NAME.fullmatch(self.schema):
            raise ConfigurationError(
                "schema must be a name of small letters, digits and underscores, "
                f"not {self.schema!r}"
            )
        self._shown = repr(without_secrets(self._url))
        self._part = part
        self._row_errors = link.ROW
        self._held_elsewhere = link.HELD_ELSEWHERE
        self._text_of = link.text_of
        self._created = False
        self._repeats = False  # whether the last group had rows that were stored already
        self._link = link.PostgresConnection(
            self._url, prepare=self._prepare, retry=retry or RetryPolicy(), shown=self._shown
        )

    def __repr__(self) -> str:
        return f"PostgresStore({self._shown})"

    def reader(self) -> StoreReader:
        """What reads this store."""
        from .reader import PostgresReader

        return PostgresReader(self._url, schema=self.schema, part=self._part)

    async def open(self) -> StoredState:
        """Connect, and lock the store (`Store.open`)."""
        return await self._link.run(self._open)

    async def begin(self, plan: str) -> None:
        """Replace the plan; create the tables if there are none (`Store.begin`)."""

        async def keep(db: Connection) -> None:
            await self._create(db)
            await db.execute(self._sql(sql.KEEP_PLAN), self._part, plan)

        await self._link.run(keep)

    async def keep_devices(self, devices: Sequence[ListedDevice]) -> None:
        """Keep what the project lists, for the view ``devices`` (`Store`)."""
        rows = [msgspec.structs.astuple(device) for device in devices]
        columns = [[_without_nul(text) for text in column] for column in zip(*rows, strict=True)]
        if columns:
            await self._link.run(lambda db: db.execute(self._sql(sql.KEEP_DEVICES), *columns))

    async def keep_columns(self, columns: Sequence[PayloadColumn]) -> list[PayloadColumn]:
        """Make typed columns, in the view ``wide`` (`Store`)."""

        async def keep(db: Connection) -> list[PayloadColumn]:
            async with db.transaction():
                return await keep_columns(db, self.schema, columns)

        return await self._link.run(keep)

    async def write(self, group: Group) -> Mapping[str, int]:
        """Write a group in one transaction (`Store.write`)."""
        return await self._link.run(lambda db: self._write(db, group))

    async def flush(self) -> None:
        """Do nothing: `write` has made everything durable (`Store.flush`)."""

    async def close(self) -> None:
        """Close the connection (`Store.close`)."""
        await self._link.close()

    def _sql(self, statement: str, **more: str) -> str:
        return statement.format(schema=self.schema, **more)

    # --- open ----------------------------------------------------------------------------

    async def _prepare(self, db: Connection) -> None:
        """Prepare a new connection: check what the database allows, and lock the part."""
        encoding, temporary = await db.fetchrow(sql.ALLOWED)
        if encoding != "UTF8":
            raise ConfigurationError(
                f"store {self._shown} keeps texts as {encoding}, which cannot hold what devices "
                "send; name a database whose encoding is UTF8"
            )
        if not temporary:
            raise ConfigurationError(
                f"store {self._shown} cannot be used: its user may not create temporary tables; "
                "an administrator allows it with GRANT TEMPORARY ON DATABASE"
            )
        await self._lock(db)

    async def _lock(self, db: Connection) -> None:
        # The lock of a job that was killed lasts until the server notices.
        await db.execute(f"SET lock_timeout = '{_LOCK_WITHIN}'")
        try:
            await db.execute(
                "SELECT pg_advisory_lock(hashtextextended($1, 0))",
                f"iottly-async/{self.schema}/{self._part}",
            )
        except self._held_elsewhere:
            pass
        else:
            await db.execute("RESET lock_timeout")
            return
        holder = await db.fetchval(sql.HOLDER, f"iottly-async/{self.schema}/{self._part}")
        raise StoreInUseError(
            f"store {self._shown} is being written by {holder or 'another job'}: wait for its "
            "end, or name another schema, as in '?schema=other'"
        )

    async def _open(self, db: Connection) -> StoredState:
        if not await self._is_there(db):
            return StoredState(plan=None, cursors={})
        return await sql.read_state(db, schema=self.schema, part=self._part, shown=self._shown)

    async def _is_there(self, db: Connection) -> bool:
        found = await db.fetchrow(self._sql(sql.FOUND), self.schema)
        if found["occupied"] and not found["ours"]:
            raise ConfigurationError(
                f"store {self._shown}: its schema {self.schema} has tables of something "
                "else; name another, as in '?schema=telemetry'"
            )
        return bool(found["ours"])

    async def _create(self, db: Connection) -> None:
        if self._created:
            return
        async with db.transaction():
            # Two jobs with different parts must not both create the tables.
            await db.execute(
                "SELECT pg_advisory_xact_lock(hashtextextended($1, 1))",
                f"iottly-async/{self.schema}",
            )
            if not await self._is_there(db):
                await self._create_tables(db)
            elif await db.fetchval(self._sql(sql.FOUND_VERSION)) == sql.MIGRATED:
                for statement in sql.MIGRATE:
                    await db.execute(self._sql(statement))
        self._created = True

    async def _create_tables(self, db: Connection) -> None:
        await db.execute(self._sql(";".join(sql.CREATE)))
        await db.execute(self._sql(sql.KEEP_VERSION), sql.VERSION)
        timescale = await db.fetchval(sql.TIMESCALE)
        if timescale is not None:
            await db.execute(self._sql(sql.HYPERTABLE, timescale=timescale))

    # --- write ---------------------------------------------------------------------------

    async def _write(self, db: Connection, group: Group) -> Mapping[str, int]:
        await self._create(db)
        good, refused = without_nul(rows_of(group))
        if self._repeats or not await self._write_new(db, group, good, refused):
            # Some rows are there already, or the database refuses them.
            self._repeats = False
            async with db.transaction():
                await db.execute(sql.INCOMING)
                refused = refused + await self._insert_new(db, good)
                await self._keep(db, group, refused)
        return Counter(row.device_id for row, _ in refused)

    async def _write_new(
        self,
        db: Connection,
        group: Group,
        rows: Sequence[MessageRow],
        refused: Sequence[Refused],
    ) -> bool:
        """Write a group whose rows are all new; False, and nothing is written, if some are not.

        It takes half the time of `_insert_new`, but each failure is an error in the server's log.
        """
        try:
            async with db.transaction():
                if rows:
                    await self._copy(db, rows, "messages", self.schema)
                await self._keep(db, group, refused)
        except self._row_errors:
            return False
        return True

    async def _keep(self, db: Connection, group: Group, refused: Sequence[Refused]) -> None:
        """Write the rejected messages and the cursors."""
        rejected = [
            *group.rejected,
            *(Rejected(message=message_of(row), reason=why) for row, why in refused),
        ]
        if rejected:
            await db.executemany(self._sql(sql.REJECT), map(rejected_row, rejected))
        await db.execute(
            self._sql(sql.KEEP_CURSORS),
            self._part,
            list(group.cursors),
            [cursor.to_json() for cursor in group.cursors.values()],
        )

    async def _insert_new(self, db: Connection, rows: Sequence[MessageRow]) -> list[Refused]:
        """Insert the rows that are not there yet. Returns those that the database refuses."""
        if not rows:
            return []
        try:
            async with db.transaction():
                await self._copy(db, rows, "iottly_incoming", "pg_temp")
                inserted = await db.execute(self._sql(sql.TAKE_IN))
                self._repeats |= inserted != f"INSERT 0 {len(rows)}"
                return []
        except self._row_errors as error:
            reason = self._text_of(error)
        if len(rows) == 1:
            return [(rows[0], reason)]
        half = len(rows) // 2
        refused = []
        for part in (rows[:half], rows[half:]):
            await db.execute("TRUNCATE pg_temp.iottly_incoming")
            refused += await self._insert_new(db, part)
        return refused

    async def _copy(
        self, db: Connection, rows: Sequence[MessageRow], table: str, schema: str
    ) -> None:
        await db.copy_to_table(
            table,
            schema_name=schema,
            columns=sql.COLUMNS,
            source=_yielding(copy_rows(rows)),
            format="binary",
        )


def _without_nul(text: str | None) -> str | None:
    """The text without what PostgreSQL refuses."""
    return None if text is None else text.replace("\0", "")


async def _yielding(chunks: Iterator[bytes]) -> AsyncIterator[bytes]:
    """The chunks. Before each one, the event loop can run the walks."""
    for chunk in chunks:
        await asyncio.sleep(0)
        yield chunk
