"""Stores messages in a DuckDB file, rows and cursors in one transaction (schema: `schema`)."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, TypeVar

import msgspec

from ....errors import ConfigurationError, StoreError
from ..base import Group, StoredState, StoreReader
from ..thread import StoreThread
from .rows import rejected_rows_of, rows_of
from .schema import (
    CREATE,
    INSERT_CURSORS,
    INSERT_MESSAGES,
    INSERT_REJECTED,
    VERSION,
    first_line,
    read_state,
)

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

T = TypeVar("T")


class DuckDBStore:
    """A store that is a DuckDB file, with views over the messages.

    A group is one transaction, and durable when `write` returns. While a job has the file
    open, DuckDB does not let another process open it.

    Args:
        path: of the file; created if it does not exist.

    Raises:
        ConfigurationError: the extra ``duckdb`` is not installed.
    """

    group_rows = 8_000  # a transaction costs as much as a thousand rows

    def __init__(self, path: str | os.PathLike[str]) -> None:
        try:
            import duckdb
        except ModuleNotFoundError:
            raise ConfigurationError(
                "the DuckDB store needs the extra duckdb: pip install 'iottly-async[duckdb]'"
            ) from None
        self.path = os.fspath(path)
        self._error = duckdb.Error
        self._connect = duckdb.connect
        self._connection: DuckDBPyConnection | None = None
        self._thread = StoreThread("iottly-duckdb")

    def __repr__(self) -> str:
        return f"DuckDBStore({self.path!r})"

    def reader(self) -> StoreReader:
        """What reads this store."""
        from .reader import DuckDBReader

        return DuckDBReader(self.path)

    async def open(self) -> StoredState:
        """Open the file, or create it (`Store.open`)."""
        return await self._thread.run(self._open)

    async def begin(self, plan: str) -> None:
        """Replace the plan (`Store.begin`)."""
        await self._run(lambda db: db.execute("UPDATE ingest.job SET plan = $1", [plan]))

    async def write(self, group: Group) -> Mapping[str, int]:
        """Write a group in one transaction (`Store.write`)."""
        await self._run(lambda db: _write(db, group))
        return {}

    async def flush(self) -> None:
        """Do nothing: `write` has made everything durable (`Store.flush`)."""

    async def close(self) -> None:
        """Close the file (`Store.close`)."""
        await self._thread.close(self._close)

    def _open(self) -> StoredState:
        try:
            # The extensions needed are built in, so DuckDB need not download any.
            db = self._connect(self.path, config={"autoinstall_known_extensions": False})
            self._connection = db
            tables = {
                (schema, name)
                for schema, name in db.execute(
                    "SELECT schema_name, table_name FROM duckdb_tables() WHERE NOT internal"
                ).fetchall()
            }
            if not tables:
                _in_transaction(db, _create)
            elif ("ingest", "job") not in tables:
                raise ConfigurationError(
                    f"store {self.path!r} is a DuckDB file of something else: none of its "
                    "tables is a job's; name another file"
                )
            return read_state(db, self.path)
        except (self._error, OSError) as error:
            reason = first_line(error)
        raise ConfigurationError(f"store {self.path!r} cannot be opened: {reason}")

    async def _run(self, work: Callable[[DuckDBPyConnection], object]) -> None:
        await self._thread.run(lambda: self._transact(work))

    def _transact(self, work: Callable[[DuckDBPyConnection], object]) -> None:
        if self._connection is None:
            raise StoreError(f"store {self.path!r} is not open")
        try:
            _in_transaction(self._connection, work)
        except (self._error, OSError) as error:
            reason = first_line(error)
        else:
            return
        raise StoreError(f"store {self.path!r}: {reason}")

    def _close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(self._error):
                connection.close()


def _in_transaction(db: DuckDBPyConnection, work: Callable[[DuckDBPyConnection], object]) -> None:
    db.begin()
    try:
        work(db)
        db.commit()
    except BaseException as error:
        # After a full disk there may be no transaction any more. The first error counts.
        try:
            db.rollback()
        except Exception as second:  # noqa: BLE001
            error.add_note(f"and rolling back: {first_line(second)}")
        raise


def _create(db: DuckDBPyConnection) -> None:
    for statement in CREATE:
        db.execute(statement)
    db.execute("INSERT INTO ingest.job VALUES ($1, NULL)", [VERSION])


def _write(db: DuckDBPyConnection, group: Group) -> None:
    if group.messages:
        db.execute(INSERT_MESSAGES, {"rows": rows_of(group.messages)})
    if group.rejected:
        db.execute(INSERT_REJECTED, {"rows": rejected_rows_of(group.rejected)})
    if group.cursors:
        cursors = [
            {"device_id": device_id, "cursor": cursor.to_json()}
            for device_id, cursor in group.cursors.items()
        ]
        db.execute(INSERT_CURSORS, {"rows": msgspec.json.encode(cursors).decode()})
