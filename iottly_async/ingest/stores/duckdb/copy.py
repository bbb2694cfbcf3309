"""A copy of a DuckDB file that another process writes, as the last commit left it.

DuckDB lets nobody open such a file. It adds commits to a log beside the file. From time to time
it writes them into unused blocks of the file, then a new header, and empties the log. So a copy
of both is whole if the headers are the same before and after.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from contextlib import suppress
from tempfile import TemporaryDirectory
from typing import Final

import duckdb

from ....errors import ConfigurationError

_HEADERS: Final = 3 * 4096  # bytes
_ATTEMPTS: Final = 20
_PAUSE: Final = 0.05  # seconds between two attempts


class DatabaseCopy:
    """A copy in the folder for temporary files (``TMPDIR``), which only its owner can read.

    Args:
        path: of the file.
        connect: opens a file to read it.
    """

    def __init__(self, path: str, connect: Callable[[str], duckdb.DuckDBPyConnection]) -> None:
        self._path = path
        self._connect = connect
        self._folder: TemporaryDirectory[str] | None = None

    def connected(self) -> duckdb.DuckDBPyConnection:
        """A connection to the copy, which is made by the first call.

        Raises:
            ConfigurationError: the file changes faster than it can be copied.
            duckdb.Error: it is no file of DuckDB's.
            OSError: it cannot be copied.
        """
        if self._folder is not None:
            return self._connect(os.path.join(self._folder.name, "copy"))
        folder = TemporaryDirectory(prefix="iottly-")
        try:
            connection = self._copied(os.path.join(folder.name, "copy"))
        except BaseException:
            folder.cleanup()
            raise
        self._folder = folder
        return connection

    def close(self) -> None:
        """Delete the copy."""
        folder, self._folder = self._folder, None
        if folder is not None:
            folder.cleanup()

    def _copied(self, copy: str) -> duckdb.DuckDBPyConnection:
        for attempt in range(_ATTEMPTS):
            if attempt:
                time.sleep(_PAUSE)
            before = self._headers()
            with suppress(FileNotFoundError):
                os.unlink(f"{copy}.wal")
            shutil.copyfile(self._path, copy)
            with suppress(FileNotFoundError):
                shutil.copyfile(f"{self._path}.wal", f"{copy}.wal")
            if self._headers() != before:
                continue
            try:
                return self._connect(copy)
            except duckdb.Error:
                # A commit was being added to the log.
                if attempt == _ATTEMPTS - 1:
                    raise
        raise ConfigurationError(
            f"store {self._path!r} changes faster than it can be copied; try again"
        )

    def _headers(self) -> bytes:
        with open(self._path, "rb") as file:
            return file.read(_HEADERS)
