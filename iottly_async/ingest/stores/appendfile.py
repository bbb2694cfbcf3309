"""Files that survive a crash: one that only grows, and one that is replaced as a whole."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeAlias

from ...errors import ConfigurationError, IottlyError

Buffer: TypeAlias = bytes | memoryview


class AppendFile:
    """A file that is only appended to. One process at a time has it open.

    Writes are not buffered, so `size` is the size on disk. All methods raise `OSError`.

    Attributes:
        path: the file's path.
        size: its length in bytes; 0 before `open`.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self.size = 0
        self._fd: int | None = None
        self._unsynced = False

    @property
    def exists(self) -> bool:
        """Whether the file exists."""
        return os.path.exists(self.path)

    def open(self) -> None:
        """Open the file, or create it. A second call does nothing.

        Raises:
            ConfigurationError: another process has the file open.
        """
        if self._fd is not None:
            return
        fresh = not self.exists
        fd = os.open(self.path, os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o666)
        _lock(fd, self.path)
        self._fd, self.size = fd, os.fstat(fd).st_size
        if fresh:
            sync_directory(self.path)

    def cut(self, size: int) -> None:
        """Cut the file to `size` bytes.

        Raises:
            ConfigurationError: the file is shorter than that.
        """
        if self.size < size:
            raise ConfigurationError(
                f"{self.path!r} has {self.size} bytes, and its cursor says that {size} were "
                "written: it was altered; name another file"
            )
        if self._fd is not None and self.size > size:
            os.ftruncate(self._fd, size)
            self._unsynced = True
            self.size = size

    def append(self, data: bytes) -> None:
        """Write `data` at `size`. This overwrites what an append that failed has left."""
        if self._fd is None:
            raise OSError("the file is not open")
        os.lseek(self._fd, self.size, os.SEEK_SET)
        _write_all(self._fd, data)
        self.size += len(data)
        self._unsynced = True

    def sync(self) -> None:
        """Return once everything that was appended is on the disk."""
        if self._fd is not None and self._unsynced:
            os.fsync(self._fd)
            self._unsynced = False

    def close(self) -> None:
        """Close the file and release its lock."""
        fd, self._fd = self._fd, None
        if fd is not None:
            os.close(fd)


@contextmanager
def os_errors_as(error: type[IottlyError], subject: str) -> Iterator[None]:
    """Raise an `OSError` of the block as `error`, with the system's reason after `subject`."""
    try:
        yield
    except OSError as cause:
        raise error(f"{subject}: {cause.strerror or cause}") from None


def replace_file(path: str, data: bytes) -> None:
    """Replace a file by `data`. After a crash, the file is the old one or the new one."""
    aside = path + ".new"
    write_synced(aside, data)
    os.replace(aside, path)
    sync_directory(path)


def write_synced(path: str, data: Buffer) -> None:
    """Write a whole file. On return its data is on the disk; its name need not be."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, "O_BINARY", 0), 0o666)
    try:
        _write_all(fd, data)
        os.fsync(fd)
    finally:
        os.close(fd)


def sync_directory(path: str) -> None:
    """Make a file's name durable. Windows has no such call, and needs none."""
    if sys.platform == "win32":
        return
    fd = os.open(os.path.dirname(path) or ".", os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _write_all(fd: int, data: Buffer) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def _lock(fd: int, path: str) -> None:
    """Lock the file until it is closed or the process ends, however it ends."""
    try:
        if sys.platform == "win32":
            import msvcrt

            # Far beyond the end: Windows does not let others read a locked range.
            os.lseek(fd, 1 << 40, os.SEEK_SET)
            msvcrt.locking(fd, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(fd)
    else:
        return
    raise ConfigurationError(f"{path!r} is being written by another process")
