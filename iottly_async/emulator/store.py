"""The messages in SQLite: one table in the order of a walk.

The table is clustered by device, time and row number. So a page in either direction is one short
scan that reads no row outside it, except for ``OFFSET``, whose cost is that of deep pages in the
real service. Row numbers count insertions. Every value is a bound parameter.
"""

import json
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from os import PathLike
from typing import Any

from .rows import Row

_APPLICATION_ID = 0x696F7475
_MAX_TIME = 1 << 62
_SCHEMA = """
CREATE TABLE message (
    device INTEGER NOT NULL, timestamp INTEGER NOT NULL, id INTEGER NOT NULL, type TEXT NOT NULL,
    device_timestamp INTEGER NOT NULL, visible_at INTEGER NOT NULL, channel TEXT, oid TEXT,
    payload_at INTEGER NOT NULL, tail TEXT NOT NULL,
    PRIMARY KEY (device, timestamp, id)
) WITHOUT ROWID;
CREATE INDEX agent_message ON message (device, timestamp, id) WHERE type = 'iottlyagent';
CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
"""
_INSERT = "INSERT INTO message VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_COLUMNS = ", ".join(Row._fields)


class MessageStore:
    """The rows, in memory (``path`` None) or in a file.

    Raises ``ValueError`` if ``path`` is a file that no emulator made. Only one thread at a time may
    use it.
    """

    def __init__(self, path: str | PathLike[str] | None = None) -> None:
        self._path = path
        self._db = sqlite3.connect(
            ":memory:" if path is None else path, isolation_level=None, check_same_thread=False
        )
        try:
            self._prepare()
        except BaseException:
            self._db.close()
            raise

    def _prepare(self) -> None:
        """Check that the file is an emulator's, or make its tables.

        A start that was killed may leave a file without any table; it counts as new.
        """
        try:
            (owner,) = self._db.execute("PRAGMA application_id").fetchone()
            (tables,) = self._db.execute("SELECT count(*) FROM sqlite_master").fetchone()
        except sqlite3.DatabaseError:
            owner, tables = None, None
        if owner == _APPLICATION_ID and tables:
            self._db.execute("PRAGMA synchronous = NORMAL")
            return
        if tables != 0:
            raise ValueError(f"database={str(self._path)!r}: not a file that an emulator made")
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = NORMAL")
        self._db.executescript(
            f"BEGIN; {_SCHEMA} PRAGMA application_id = {_APPLICATION_ID}; COMMIT;"
        )

    def close(self) -> None:
        """Close the database; messages in memory are lost."""
        self._db.close()

    # -- writing --------------------------------------------------------------------------------

    def replace(self, rows: Iterable[Row]) -> None:
        """Delete every message and insert these, in one transaction."""
        self._write("DELETE FROM message", rows)

    def insert(self, rows: Iterable[Row]) -> None:
        """Insert rows, in one transaction."""
        self._write(None, rows)

    def _write(self, first: str | None, rows: Iterable[Row]) -> None:
        with self.transaction():
            if first is not None:
                self._db.execute(first)
            self._db.executemany(_INSERT, rows)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All that is written in the block, or nothing; a block within another belongs to it."""
        if self._db.in_transaction:
            yield
            return
        self._db.execute("BEGIN")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    def expire(self, before: int, device: int | None = None) -> int:
        """Delete rows older than ``before`` (ms), of one device or all (None); returns how many."""
        if device is None:
            return self._db.execute("DELETE FROM message WHERE timestamp < ?", (before,)).rowcount
        sql = "DELETE FROM message WHERE device = ? AND timestamp < ?"
        return self._db.execute(sql, (device, before)).rowcount

    def delete_after(self, last_id: int) -> None:
        """Delete the rows with a higher number than ``last_id``."""
        self._db.execute("DELETE FROM message WHERE id > ?", (last_id,))

    def set_meta(self, name: str, value: object) -> None:
        """Store a JSON value under a name, beside the messages."""
        self._db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (name, json.dumps(value)))

    # -- reading --------------------------------------------------------------------------------

    def get_meta(self, name: str) -> Any:
        """The value that is stored under a name; None if there is none."""
        found = self._db.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()
        return None if found is None else json.loads(found[0])

    def tails(
        self,
        device: int,
        *,
        start: int | None,
        end: int | None,
        type: str | None,  # noqa: A002 - the wire's name
        ascending: bool,
        limit: int,
        offset: int,
        now: int,
        salt: int | None = None,
    ) -> list[tuple[int, str]]:
        """``payload_at`` and ``tail`` of one page of the messages that are visible at ``now``.

        ``salt`` orders the rows of each millisecond in its own way (D6). None keeps them in the
        order of insertion, or reversed if the page descends.
        """
        order = "ASC" if ascending else "DESC"
        ties = f"id {order}" if salt is None else "(id * :salt) % 1000003, id"
        found = self._select(
            "payload_at, tail",
            f"ORDER BY timestamp {order}, {ties} LIMIT :limit OFFSET :offset",
            device=device,
            start=start,
            end=end,
            type=type,
            now=now,
            salt=salt,
            limit=limit,
            offset=offset,
        )
        return found.fetchall()

    def newest(
        self,
        device: int,
        *,
        before: tuple[int, int] | None,
        start: int | None,
        end: int | None,
        type: str | None,  # noqa: A002 - the wire's name
        now: int,
        limit: int,
    ) -> list[Row]:
        """Up to ``limit`` rows, newest first, that are older than (timestamp, id) ``before``."""
        last, last_id = before or (_MAX_TIME, _MAX_TIME)
        found = self._select(
            _COLUMNS,
            "AND (timestamp, id) < (:last, :last_id) ORDER BY timestamp DESC, id DESC LIMIT :limit",
            device=device,
            start=start,
            end=end,
            type=type,
            now=now,
            last=last,
            last_id=last_id,
            limit=limit,
        )
        return [Row(*values) for values in found]

    def rows(
        self,
        device: int,
        *,
        start: int | None,
        end: int | None,
        type: str | None,  # noqa: A002 - the wire's name
    ) -> list[Row]:
        """All rows of a device, visible yet or not, by time and then by row number."""
        found = self._select(
            _COLUMNS, "ORDER BY timestamp, id", device=device, start=start, end=end, type=type
        )
        return [Row(*values) for values in found]

    def _select(
        self,
        columns: str,
        clauses: str,
        *,
        start: int | None,
        end: int | None,
        type: str | None,  # noqa: A002 - the wire's name
        now: int = _MAX_TIME,
        **values: int | None,
    ) -> sqlite3.Cursor:
        """Select rows of one device: ``start`` inclusive, ``end`` exclusive, visible at ``now``."""
        return self._db.execute(
            f"SELECT {columns} FROM message WHERE device = :device {_of_type(type)}"  # noqa: S608
            f" AND timestamp >= :start AND timestamp < :end AND visible_at <= :now {clauses}",
            {
                "type": type,
                "start": -_MAX_TIME if start is None else start,
                "end": _MAX_TIME if end is None else end,
                "now": now,
                **values,
            },
        )

    def last_seen(self, device: int) -> int | None:
        """The timestamp (ms) of a device's newest message; None if it has none."""
        sql = "SELECT max(timestamp) FROM message WHERE device = ?"
        (found,) = self._db.execute(sql, (device,)).fetchone()
        return None if found is None else int(found)

    def counts(self) -> dict[int, int]:
        """How many messages each device number has; a device without messages is missing."""
        sql = "SELECT device, count(*) FROM message GROUP BY device"
        return dict(self._db.execute(sql).fetchall())

    def last_id(self) -> int:
        """The highest row number; 0 in an empty store."""
        return int(self._db.execute("SELECT coalesce(max(id), 0) FROM message").fetchone()[0])


def _of_type(type: str | None) -> str:  # noqa: A002 - the wire's name
    """The condition on the type; the rare type is a literal, so that its partial index is used."""
    if type in (None, "all"):
        return ""
    return "AND type = 'iottlyagent'" if type == "iottlyagent" else "AND type = :type"
