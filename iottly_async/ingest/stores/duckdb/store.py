"""Stores messages in a DuckDB file, rows and cursors in one transaction (schema: `schema`)."""

from __future__ import annotations

import errno
import logging
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from typing import TYPE_CHECKING, Final, TypeVar

import msgspec

from ....errors import ConfigurationError, IottlyError, StoreError, StoreInUseError
from ....models.message_batch import rows_of
from ...payload_columns import PayloadColumn
from ..appendfile import os_errors_as
from ..aside import aside_path, check_aside, mode_of, remove_asides, sync_directory
from ..base import Group, StoredState, StoreReader
from ..devices import ListedDevice
from ..lock import StoreLock
from ..names import checked_path, real_path
from ..thread import StoreThread
from .migration import migrate
from .opened import closed, opened
from .rows import rejected_rows_of
from .schema import (
    CREATE,
    INCOMING,
    INSERT_CURSORS,
    INSERT_MESSAGES,
    INSERT_REJECTED,
    KEEP_DEVICES,
    VERSION,
    first_line,
    is_locked,
    read_state,
    read_version,
)
from .wide import keep_columns

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

T = TypeVar("T")

_log: Final = logging.getLogger("iottly_async.ingest")

# A checkpoint moves the log into the file. DuckDB's 16 MiB would be 80,000 rows, of which smaller
# row groups are made: they take a seventh more space and a quarter more time. A larger log saves
# no more. It is held in memory, too, and the next job reads it after a kill.
_LOG_SIZE: Final = "64 MiB"


class DuckDBStore:
    """A store that is a DuckDB file, with views over the messages.

    A group is one transaction, and durable when `write` returns. While a job has the file
    open, DuckDB does not let another process open it; ``iottly coverage`` reads a copy.
    ``telemetry.duckdb.lock`` beside it then says which job that is.

    Args:
        path: of the file; created if it does not exist.

    Raises:
        ConfigurationError: the extra ``duckdb`` is not installed.
    """

    uses_keys = True
    group_rows = 15_000  # a transaction costs as much as a thousand rows

    def __init__(self, path: str | os.PathLike[str]) -> None:
        try:
            import duckdb

            from . import columns
        except ModuleNotFoundError as missing:
            raise ConfigurationError(
                "the DuckDB store needs the extra duckdb: pip install 'iottly-async[duckdb]' "
                f"(there is no {missing.name})"
            ) from None
        self.path = checked_path(path, name="the store's path")
        self._real = real_path(self.path)
        self._lock = StoreLock(f"{self._real}.lock", repr(self.path))
        self._error = duckdb.Error
        self._connect = duckdb.connect
        self._table_of = columns.table_of
        self._connection: DuckDBPyConnection | None = None
        self._created = False
        self._is_old = False  # of a version before, which is rewritten by `begin`
        self._thread = StoreThread("iottly-duckdb")

    def __repr__(self) -> str:
        return f"DuckDBStore({self.path!r})"

    def reader(self) -> StoreReader:
        """What reads this store."""
        from .reader import DuckDBReader

        return DuckDBReader(self._real)

    async def open(self) -> StoredState:
        """Open the file, if there is one (`Store.open`)."""
        return await self._thread.run(self._open)

    async def begin(self, plan: str) -> None:
        """Replace the plan; create the file, if there is none (`Store.begin`)."""
        await self._run(lambda db: db.execute("UPDATE ingest.job SET plan = $1", [plan]))

    async def keep_devices(self, devices: Sequence[ListedDevice]) -> None:
        """Keep what the project lists, for the view ``devices`` (`Store`)."""
        rows = msgspec.json.encode(devices).decode()
        await self._run(lambda db: db.execute(KEEP_DEVICES, {"rows": rows}))

    async def keep_columns(self, columns: Sequence[PayloadColumn]) -> list[PayloadColumn]:
        """Make typed columns, in the view ``wide`` (`Store`)."""
        return await self._run(lambda db: keep_columns(db, columns))

    async def write(self, group: Group) -> Mapping[str, int]:
        """Write a group in one transaction (`Store.write`)."""
        await self._run(lambda db: self._write(db, group))
        return {}

    async def flush(self) -> None:
        """Do nothing: `write` has made everything durable (`Store.flush`)."""

    async def close(self) -> None:
        """Close the file (`Store.close`)."""
        await self._thread.close(self._close)

    def _open(self) -> StoredState:
        with os_errors_as(ConfigurationError, f"store {self.path!r} cannot be opened"):
            check_aside(self._real)
            if os.path.isdir(self._real):
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
            self._lock.hold()
            remove_asides(self._real)
            new = not os.path.exists(self._real) or not os.path.getsize(self._real)
            if new and os.path.exists(f"{self._real}.wal"):
                raise ConfigurationError(
                    f"store {self.path!r} has a log, {self._real + '.wal'!r}, and the file that "
                    "it belongs to is missing; restore the file, or delete the log"
                )
        if new:
            # An empty file is a new store too: a caller may have made its name.
            return StoredState(plan=None, cursors={})
        with self._errors_as(ConfigurationError, f"store {self.path!r} cannot be opened"):
            self._lock.claim(self._real)
            db = self._connection = self._opened()
            opened(self._real, db)
            tables = db.execute(
                "SELECT schema_name, table_name FROM duckdb_tables() WHERE NOT internal"
            ).fetchall()
            if not tables:
                return StoredState(plan=None, cursors={})
            self._created = True
            if ("ingest", "job") not in tables:
                raise ConfigurationError(
                    f"store {self.path!r} is a DuckDB file of something else: none of its "
                    "tables is a job's; name another file"
                )
            self._is_old = read_version(db, self.path) != VERSION
            return read_state(db, self.path)

    def _opened(self) -> DuckDBPyConnection:
        """A connection to the file.

        Raises:
            StoreError: another program has the file open, or a job by a second name of it.
        """
        try:
            return self._connected(self._real)
        except self._error as error:
            reason = first_line(error)
            if not is_locked(error):
                raise
        raise StoreInUseError(f"store {self.path!r} is open elsewhere; wait for its end: {reason}")

    def _create(self) -> None:
        """Create the file and its tables."""
        with self._errors_as(StoreError, f"store {self.path!r} cannot be created"):
            if self._connection is None:
                self._create_file()
                self._lock.claim(self._real)
                self._connection = self._connected(self._real)
                opened(self._real, self._connection)
            else:
                _in_transaction(self._connection, _create_tables)
        self._created = True

    def _create_file(self) -> None:
        # Written aside, so that a kill or a full disk leaves no half of a file.
        mode, aside = mode_of(self._real), aside_path(self._real)
        try:
            with closing(self._connected(aside)) as db:
                _in_transaction(db, _create_tables)
                # Closing would do the same, and hide an error: a part of the file would be
                # in its log, which is not renamed.
                db.execute("CHECKPOINT")
            os.chmod(aside, mode)
            os.replace(aside, self._real)
        finally:
            remove_asides(self._real)
        sync_directory(self._real)

    def _connected(self, path: str) -> DuckDBPyConnection:
        # The extensions needed are built in, so DuckDB need not download any. A group is too small
        # to be divided among threads: more of them take more CPU time, and no less time.
        config: dict[str, str | bool | int | float | list[str]] = {
            "autoinstall_known_extensions": False,
            "checkpoint_threshold": _LOG_SIZE,
            "threads": 1,
        }
        return self._connect(path, config=config)

    @contextmanager
    def _errors_as(self, error: type[IottlyError], subject: str) -> Iterator[None]:
        """Raise an error of DuckDB or the system as `error`, with its first line."""
        try:
            yield
        except (self._error, OSError) as cause:
            reason = first_line(cause)
        else:
            return
        raise error(f"{subject}: {reason}")

    async def _run(self, work: Callable[[DuckDBPyConnection], T]) -> T:
        return await self._thread.run(lambda: self._transact(work))

    def _transact(self, work: Callable[[DuckDBPyConnection], T]) -> T:
        if not self._created:
            self._create()
        if self._connection is None:
            raise StoreError(f"store {self.path!r} is not open")
        if self._is_old:
            self._migrate(self._connection)
        with self._errors_as(StoreError, f"store {self.path!r}"):
            return _in_transaction(self._connection, work)

    def _migrate(self, db: DuckDBPyConnection) -> None:
        _log.info("store %r is rewritten: its times get a time zone", self.path)
        subject = (
            f"store {self.path!r} is of an earlier version and could not be rewritten; it is as "
            "it was. Mend what the reason names, for example drop a view that no longer fits"
        )
        with self._errors_as(StoreError, subject):
            _in_transaction(db, migrate)
        self._is_old = False

    def _write(self, db: DuckDBPyConnection, group: Group) -> None:
        if rows := rows_of(group):
            db.register(INCOMING, self._table_of(rows))
            try:
                db.execute(INSERT_MESSAGES)
            finally:
                db.unregister(INCOMING)
        if group.rejected:
            db.execute(INSERT_REJECTED, {"rows": rejected_rows_of(group.rejected)})
        if group.cursors:
            cursors = [
                {"device_id": device_id, "cursor": cursor.to_json()}
                for device_id, cursor in group.cursors.items()
            ]
            db.execute(INSERT_CURSORS, {"rows": msgspec.json.encode(cursors).decode()})

    def _close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            closed(self._real)
            with suppress(self._error):
                connection.close()
        self._lock.release()


def _in_transaction(db: DuckDBPyConnection, work: Callable[[DuckDBPyConnection], T]) -> T:
    db.begin()
    try:
        done = work(db)
        db.commit()
    except BaseException as error:
        # After a full disk there may be no transaction any more. The first error counts.
        try:
            db.rollback()
        except Exception as second:  # noqa: BLE001
            error.add_note(f"and rolling back: {first_line(second)}")
        raise
    return done


def _create_tables(db: DuckDBPyConnection) -> None:
    for statement in CREATE:
        db.execute(statement)
    db.execute("INSERT INTO ingest.job VALUES ($1, NULL)", [VERSION])
