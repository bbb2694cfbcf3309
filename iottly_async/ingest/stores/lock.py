"""One writer a store: a lock file, whose content says who holds it.

The lock is the operating system's. It ends with the process, however that ends, and also
excludes another job of the same process. The file is deleted when the job ends. One that a
killed job has left is not locked, and is in nobody's way.
"""

from __future__ import annotations

import os
import socket
import sys
from contextlib import suppress
from datetime import UTC, datetime
from threading import Lock
from typing import Final

import msgspec

from ...errors import StoreError
from .aside import write_all

_FLAGS: Final = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
_MOST: Final = 4096  # bytes of a lock file that are read

_Inode = tuple[int, int]
_claimed: Final[set[_Inode]] = set()
_claiming: Final = Lock()


class _Holder(msgspec.Struct):
    """The content of a lock file."""

    pid: int
    host: str
    since: datetime


class StoreLock:
    """The right to write a store. One job has it at a time.

    Args:
        path: of the lock file.
        shown: the store's name in errors.
    """

    def __init__(self, path: str, shown: str) -> None:
        self._path = path
        self._shown = shown
        self._fd: int | None = None
        self._inode: _Inode | None = None

    def hold(self) -> None:
        """Take the lock, and keep it until `release`.

        Raises:
            StoreError: another job holds it; the text says which.
            OSError: the lock file cannot be created.
        """
        while self._fd is None:
            fd = os.open(self._path, _FLAGS, 0o666)
            try:
                if not try_lock(fd):
                    raise self._held(os.pread(fd, _MOST, 0) if sys.platform != "win32" else b"")
                if _is_at(fd, self._path):
                    self._fd, fd = fd, -1
            finally:
                # The holder deletes the file before it unlocks it: then there is a new one.
                if fd >= 0:
                    os.close(fd)
        os.ftruncate(self._fd, 0)
        os.lseek(self._fd, 0, os.SEEK_SET)
        now = datetime.now(UTC).replace(microsecond=0)
        holder = _Holder(pid=os.getpid(), host=socket.gethostname(), since=now)
        write_all(self._fd, msgspec.json.encode(holder))

    def claim(self, path: str) -> None:
        """Claim a file of the store too, so that a second name of it (a hard link) is refused.

        This is for files that this process must not open twice, and that it cannot lock.

        Raises:
            StoreError: another job of this process has claimed the file.
            OSError: there is no such file.
        """
        found = os.stat(path)
        inode = (found.st_dev, found.st_ino)
        with _claiming:
            if inode in _claimed:
                raise self._held(b"")
            _claimed.add(inode)
        self._inode = inode

    def release(self) -> None:
        """Release the lock and what was claimed. Without the lock, do nothing."""
        with _claiming:
            if self._inode is not None:
                _claimed.discard(self._inode)
        self._inode = None
        fd, self._fd = self._fd, None
        if fd is None:
            return
        with suppress(OSError):  # Windows does not delete an open file
            os.unlink(self._path)
        os.close(fd)

    def _held(self, content: bytes) -> StoreError:
        try:
            holder = msgspec.json.decode(content, type=_Holder)
        except ValueError:
            who = "another job"
        else:
            who = (
                f"another job, process {holder.pid} on {holder.host}, since "
                f"{holder.since:%Y-%m-%d %H:%M:%S} UTC"
            )
        return StoreError(f"store {self._shown} is being written by {who}: wait for its end")


def try_lock(fd: int) -> bool:
    """Lock a file until it is closed or the process ends. False if it is locked elsewhere.

    Raises:
        OSError: the file system has no locks.
    """
    try:
        if sys.platform == "win32":
            import msvcrt

            # Far beyond the end: Windows does not let others read a locked range.
            os.lseek(fd, 1 << 40, os.SEEK_SET)
            msvcrt.locking(fd, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    return True


def _is_at(fd: int, path: str) -> bool:
    try:
        return os.path.samestat(os.fstat(fd), os.lstat(path))
    except FileNotFoundError:
        return False
