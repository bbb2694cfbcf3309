"""Files that are written aside and renamed into place: each is whole, or is not there.

A file that is written aside has a random name in the folder of the final one, and is created
exclusively, so that no link can lead the data elsewhere. Only its owner can read it until it
is renamed.
"""

from __future__ import annotations

import os
import stat
import sys
from contextlib import suppress
from secrets import token_hex
from threading import Lock
from typing import Final, TypeAlias

Buffer: TypeAlias = bytes | memoryview

SUFFIX: Final = ".aside"
_EXCLUSIVE: Final = os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
_PRIVATE: Final = 0o600
_umask_lock: Final = Lock()


def aside_path(path: str) -> str:
    """A new name beside `path`, for a file that is written before it is renamed to `path`."""
    return f"{path}.{token_hex(8)}{SUFFIX}"


def check_aside(path: str) -> None:
    """Check that a file can have a name beside `path`, before there is anything to write.

    Raises:
        OSError: the name would be too long.
    """
    with suppress(FileNotFoundError):
        os.lstat(f"{aside_path(path)}.wal")  # DuckDB adds this to it


def create_aside(path: str, flags: int) -> int:
    """Create a file that must not exist, for its owner only.

    Args:
        path: of the file.
        flags: `os.O_WRONLY` or `os.O_RDWR`.

    Returns:
        The file's descriptor.

    Raises:
        OSError: there is such a file or link, or it cannot be created.
    """
    return os.open(path, flags | _EXCLUSIVE, _PRIVATE)


def replace_file(path: str, data: Buffer) -> None:
    """Replace a file by `data`. After a crash, the file is the old one or the new one.

    The new file has the permissions of the old one. A link at `path` is replaced, and what it
    points to is not changed.
    """
    aside = aside_path(path)
    try:
        write_synced(aside, data, mode=mode_of(path))
        os.replace(aside, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(aside)
        raise
    sync_directory(path)


def write_synced(path: str, data: Buffer, *, mode: int) -> None:
    """Write a whole new file. On return its data is on the disk; its name need not be.

    Args:
        path: of the file, which must not exist.
        data: what it holds.
        mode: the permissions that it gets at the end.
    """
    fd = create_aside(path, os.O_WRONLY)
    try:
        write_all(fd, data)
        set_mode(fd, mode)
        os.fsync(fd)
    finally:
        os.close(fd)


def mode_of(path: str) -> int:
    """The permissions of the file at `path`, or those that a new file gets."""
    try:
        found = os.lstat(path)
    except FileNotFoundError:
        pass
    else:
        if stat.S_ISREG(found.st_mode):
            return stat.S_IMODE(found.st_mode)
    return new_mode()


def new_mode() -> int:
    """The permissions that a new file gets: all but those that the process's mask removes."""
    with _umask_lock:  # two threads at once could restore each other's mask
        mask = os.umask(0o077)
        os.umask(mask)
    return 0o666 & ~mask


def set_mode(fd: int, mode: int) -> None:
    """Set a file's permissions. Windows has none of these."""
    if sys.platform != "win32":
        os.fchmod(fd, mode)


def write_all(fd: int, data: Buffer) -> None:
    """Write all of `data`, however little each call takes."""
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def remove_asides(path: str) -> None:
    """Delete the files that a run which was killed has left aside of `path`."""
    folder, name = os.path.split(path)
    with suppress(FileNotFoundError):
        for found in os.listdir(folder or "."):
            rest = found.removeprefix(f"{name}.")
            if rest != found and SUFFIX in rest and _is_random(rest.partition(SUFFIX)[0]):
                with suppress(FileNotFoundError):
                    os.unlink(os.path.join(folder, found))


def _is_random(text: str) -> bool:
    return len(text) == 16 and all(each in "0123456789abcdef" for each in text)


def sync_directory(path: str) -> None:
    """Make a file's name durable. Windows has no such call, and needs none."""
    if sys.platform == "win32":
        return
    fd = os.open(os.path.dirname(path) or ".", os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
