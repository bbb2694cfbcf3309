"""One writer a store: a lock file, whose content says who holds it.

The lock is the operating system's. It ends with the process, however that ends, and also
excludes another job of the same process. A process that this one has forked does not keep it.
The file is deleted when the job ends. One that a killed job has left is not locked, and is in
nobody's way, even if it belongs to another user.
"""

from __future__ import annotations

import os
import socket
import sys
import time
from contextlib import suppress
from datetime import UTC, datetime
from threading import Lock
from typing import Final, Protocol
from weakref import WeakSet

import msgspec

from ...errors import ConfigurationError, StoreInUseError
from .aside import write_all

_NO_LINK: Final = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
_FLAGS: Final = os.O_RDWR | os.O_CREAT | _NO_LINK
_MOST: Final = 4096  # bytes of a lock file that are read
_BEGIN: Final = b'{"pid":'  # of a lock file
_NAMED_WITHIN: Final = 1.0  # seconds in which the holder has written its name

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
            StoreInUseError: another job holds it; the text says which.
            ConfigurationError: there is a file of something else with the lock file's name.
            OSError: the lock file cannot be created.
        """
        while self._fd is None:
            fd, writable = self._opened()
            try:
                if not try_lock(fd):
                    raise self._held(_content(fd, wait=True))
                # The holder deletes the file before it unlocks it: then there is a new one.
                if _is_at(fd, self._path):
                    self._check(_content(fd))
                    if writable:
                        self._fd, fd = fd, -1
                    else:
                        os.unlink(self._path)
            finally:
                if fd >= 0:
                    os.close(fd)
        not_in_forks(self)
        os.ftruncate(self._fd, 0)
        os.lseek(self._fd, 0, os.SEEK_SET)
        now = datetime.now(UTC).replace(microsecond=0)
        holder = _Holder(pid=os.getpid(), host=socket.gethostname(), since=now)
        write_all(self._fd, msgspec.json.encode(holder))

    def claim(self, path: str) -> None:
        """Claim a file of the store too, so that a second name of it (a hard link) is refused.

        This is for files that this process must not open twice, and that it cannot lock.

        Raises:
            StoreInUseError: another job of this process has claimed the file.
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

    def forget(self) -> None:
        """Release the lock in a forked process. The process that holds it keeps it."""
        self._inode = None
        fd, self._fd = self._fd, None
        if fd is not None:
            os.close(fd)

    def _opened(self) -> tuple[int, bool]:
        """The descriptor of the lock file, and whether it can be written."""
        try:
            return os.open(self._path, _FLAGS, 0o666), True
        except PermissionError:
            # Another user's job was killed, or holds the lock.
            return os.open(self._path, os.O_RDONLY | _NO_LINK), False

    def _check(self, content: bytes) -> None:
        # A machine that lost its power may have left the file's length and not its content.
        if content.strip(b"\0") and not content.startswith(_BEGIN):
            raise ConfigurationError(
                f"store {self._shown} needs the name {self._path!r} for its lock file, and there "
                "is a file of something else; move that file, or name another store"
            )

    def _held(self, content: bytes) -> StoreInUseError:
        try:
            holder = msgspec.json.decode(content, type=_Holder)
        except ValueError:
            who = "another job"
        else:
            who = (
                f"another job, process {holder.pid} on {holder.host}, since "
                f"{holder.since:%Y-%m-%d %H:%M:%S} UTC"
            )
        return StoreInUseError(f"store {self._shown} is being written by {who}: wait for its end")


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


class _Forgetful(Protocol):
    """Has a lock that a forked process must not keep."""

    def forget(self) -> None: ...


_forgetful: Final[WeakSet[_Forgetful]] = WeakSet()


def not_in_forks(holder: _Forgetful) -> None:
    """Call `holder.forget` in each process that this one forks from now on.

    A forked process shares the locks of its parent. If the parent is killed, they would last
    as long as the forked process does.
    """
    _forgetful.add(holder)


def _forget_all() -> None:
    _claimed.clear()
    for holder in list(_forgetful):
        holder.forget()


if sys.platform != "win32":
    os.register_at_fork(after_in_child=_forget_all)


def _content(fd: int, *, wait: bool = False) -> bytes:
    """The content of a lock file; with `wait`, the holder's, which it may be about to write."""
    if sys.platform == "win32":
        return b""  # a locked file is not read
    until = time.monotonic() + (_NAMED_WITHIN if wait else 0)
    while not (content := os.pread(fd, _MOST, 0)) and time.monotonic() < until:
        time.sleep(0.01)
    return content


def _is_at(fd: int, path: str) -> bool:
    try:
        return os.path.samestat(os.fstat(fd), os.lstat(path))
    except FileNotFoundError:
        return False
