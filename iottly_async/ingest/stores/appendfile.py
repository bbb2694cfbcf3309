"""A file that only grows and survives a crash, and what the system's errors become."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from hashlib import blake2b
from typing import Final

from ...errors import ConfigurationError, IottlyError, StoreInUseError
from .aside import create_aside, new_mode, set_mode, sync_directory, write_all
from .lock import not_in_forks, try_lock

_BINARY: Final = getattr(os, "O_BINARY", 0)
_NO_LINK: Final = getattr(os, "O_NOFOLLOW", 0)
_HINTS: Final = {
    "ENOENT": "its folder does not exist: create it, or name another path",
    "ENOTDIR": "there is a file where a folder is needed: name another path",
    "EISDIR": "there is a folder where a file is needed: name another path",
    "EACCES": "this user may not do that: change the permissions, or name another path",
    "EPERM": "this user may not do that: change the permissions, or name another path",
    "EROFS": "name a path on another disk",
    "ENAMETOOLONG": "name a shorter path",
    "ELOOP": "there is a link where a file or a folder is needed: remove it",
    "ENOSPC": "free some space and run it again; what is stored is right",
    "EDQUOT": "free some space and run it again; what is stored is right",
}
_END: Final = 4096  # bytes before the end that `AppendFile.end` reads


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

    def open(self, *, follow: bool = True) -> None:
        """Open the file, or create it. A second call does nothing.

        Args:
            follow: whether `path` may be a link.

        Raises:
            StoreInUseError: another job has the file open.
        """
        if self._fd is not None:
            return
        fresh = not self.exists
        flags = os.O_RDWR | os.O_CREAT | _BINARY | (0 if follow else _NO_LINK)
        self._take(os.open(self.path, flags, 0o666))
        if fresh:
            sync_directory(self.path)

    def create(self) -> None:
        """Create the file, for its owner only, until `publish`. It must not exist."""
        self._take(create_aside(self.path, os.O_RDWR))

    def publish(self, path: str) -> None:
        """Sync the file, give it the permissions of any new file, and rename it to `path`."""
        if self._fd is None:
            raise OSError("the file is not open")
        set_mode(self._fd, new_mode())
        self.sync()
        if sys.platform == "win32":
            self.close()  # Windows does not rename an open file
        os.replace(self.path, path)

    def cut(self, size: int, end: str) -> None:
        """Cut the file to `size` bytes.

        Args:
            size: what counts of the file.
            end: what `end` returned at that size; "" if that is not known.

        Raises:
            ConfigurationError: the file is shorter than that, or has another content there.
        """
        if self.size < size:
            raise ConfigurationError(
                f"{self.path!r} has {self.size} bytes, and its cursor says that {size} were "
                "written: it was altered; restore it from a copy, or name another file"
            )
        if end and end != self.end(size):
            raise ConfigurationError(
                f"{self.path!r} has other lines than its cursor says: one of both was altered or "
                "belongs to another store; restore them from a copy, or name another file"
            )
        if self._fd is not None and self.size > size:
            os.ftruncate(self._fd, size)
            self._unsynced = True
            self.size = size

    def end(self, size: int | None = None) -> str:
        """A digest of the last 4 KB before `size`, the file's size by default; "" if empty."""
        size = self.size if size is None else size
        if self._fd is None or not size:
            return ""
        begin = max(0, size - _END)
        os.lseek(self._fd, begin, os.SEEK_SET)
        data = b""
        while len(data) < size - begin and (more := os.read(self._fd, size - begin - len(data))):
            data += more
        return blake2b(data, digest_size=8).hexdigest()

    def append(self, data: bytes) -> None:
        """Write `data` at `size`. This overwrites what an append that failed has left."""
        if self._fd is None:
            raise OSError("the file is not open")
        os.lseek(self._fd, self.size, os.SEEK_SET)
        write_all(self._fd, data)
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

    forget = close

    def delete(self) -> None:
        """Close and delete the file. Errors are ignored."""
        with suppress(OSError):
            os.unlink(self.path)
        self.close()

    def _take(self, fd: int) -> None:
        if not try_lock(fd):
            os.close(fd)
            raise StoreInUseError(f"{self.path!r} is being written by another job")
        self._fd, self.size = fd, os.fstat(fd).st_size
        not_in_forks(self)


@contextmanager
def os_errors_as(error: type[IottlyError], subject: str) -> Iterator[None]:
    """Raise an `OSError` of the block as `error`: `subject`, the system's reason, what to do."""
    try:
        yield
    except OSError as cause:
        raise error(f"{subject}: {_reason(cause)}") from None


def _reason(error: OSError) -> str:
    """The system's reason, and what to do about it."""
    reason = error.strerror or str(error)
    hint = _HINTS.get(errno.errorcode.get(error.errno or 0, ""))
    return reason if hint is None else f"{reason} ({hint})"


@contextmanager
def reading(path: str) -> Iterator[None]:
    """Raise what goes wrong while a file is read as `ConfigurationError`, which names the file."""
    try:
        yield
    except IottlyError:
        raise
    except OSError as cause:
        reason = _reason(cause)
    except (ValueError, RecursionError) as cause:
        reason = f"it was altered or is of something else ({str(cause).partition(chr(10))[0]})"
    else:
        return
    raise ConfigurationError(f"{path!r} cannot be read: {reason}")
