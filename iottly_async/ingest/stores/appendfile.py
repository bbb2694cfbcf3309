"""A file that only grows, of which a known length counts; and a file replaced whole."""

from __future__ import annotations

import os
import sys
from typing import TypeAlias

from ...errors import ConfigurationError

Buffer: TypeAlias = bytes | memoryview


class AppendFile:
    """A file that is appended to, held by one process at a time.

    All methods raise `OSError`; nothing is buffered, so that a size is a size on disk.

    Attributes:
        path: of the file.
        size: its length; 0 before `open`.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self.size = 0
        self._fd: int | None = None
        self._unsynced = False

    @property
    def exists(self) -> bool:
        """Whether there is such a file."""
        return os.path.exists(self.path)

    def open(self) -> None:
        """Open the file, make it where there is none; nothing where it is open already.

        Raises:
            ConfigurationError: another process has it open.
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
            ConfigurationError: it is shorter than that.
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
        """Write `data` behind what counts; a part of it that failed before is written over."""
        if self._fd is None:
            raise OSError("the file is not open")
        os.lseek(self._fd, self.size, os.SEEK_SET)
        view = memoryview(data)
        while view:
            view = view[os.write(self._fd, view) :]
        self.size += len(data)
        self._unsynced = True

    def sync(self) -> None:
        """Return once all that was appended is on the disk."""
        if self._fd is not None and self._unsynced:
            os.fsync(self._fd)
            self._unsynced = False

    def close(self) -> None:
        """Close the file, which gives up the lock."""
        fd, self._fd = self._fd, None
        if fd is not None:
            os.close(fd)


def replace_file(path: str, data: bytes) -> None:
    """Put `data` in place of the file, whole or not at all, whenever the power fails."""
    aside = path + ".new"
    write_synced(aside, data)
    os.replace(aside, path)
    sync_directory(path)


def write_synced(path: str, data: Buffer) -> None:
    """Write a file whole; its data is on the disk on return, its name need not be."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, "O_BINARY", 0), 0o666)
    try:
        view = memoryview(data)
        while view:
            view = view[os.write(fd, view) :]
        os.fsync(fd)
    finally:
        os.close(fd)


def sync_directory(path: str) -> None:
    """Make the name of a file durable; Windows has no such call and needs none."""
    if sys.platform == "win32":
        return
    fd = os.open(os.path.dirname(path) or ".", os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _lock(fd: int, path: str) -> None:
    """Hold the file until it is closed, by whatever way the process ends."""
    try:
        if sys.platform == "win32":
            import msvcrt

            # Far behind the end: Windows forbids others to read a locked range.
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
