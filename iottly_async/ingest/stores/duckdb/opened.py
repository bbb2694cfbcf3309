"""The DuckDB files that jobs of this process write, for readers in the same process."""

from __future__ import annotations

from threading import Lock
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_lock: Final = Lock()
_opened: Final[dict[str, DuckDBPyConnection]] = {}


def opened(path: str, connection: DuckDBPyConnection) -> None:
    """Note that a job has opened a file.

    Args:
        path: of the file, without links.
        connection: the job's.
    """
    with _lock:
        _opened[path] = connection


def closed(path: str) -> None:
    """Note that a job closes its file. To be called before."""
    with _lock:
        _opened.pop(path, None)


def shared(path: str) -> DuckDBPyConnection | None:
    """A second connection to a file that a job of this process writes; None for any other.

    DuckDB opens a file once in a process. A copy of the file would not do: a process that
    closes a file loses all its locks on it.
    """
    with _lock:
        connection = _opened.get(path)
        return None if connection is None else connection.cursor()
