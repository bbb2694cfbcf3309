"""Puts a new folder of rows in the place of the old one, while readers read.

Linux exchanges two folders in one step. Elsewhere the old folder is renamed away, and then the new
one to its place; between these steps there is no folder, which is an error for a reader.
"""

from __future__ import annotations

import ctypes
import errno
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Final

from ..aside import sync_directory
from ..lock import StoreLock
from .schema import parts_of, state_folder, state_path

_AT_FDCWD: Final = -100
_RENAME_EXCHANGE: Final = 2
_UNSUPPORTED: Final = (errno.ENOSYS, errno.EINVAL)


def new_folder(path: str) -> str:
    """The path of the new folder of rows, within the state folder."""
    return os.path.join(state_folder(path), "new")


def _old_folder(path: str) -> str:
    return os.path.join(state_folder(path), "old")


@contextmanager
def alone(path: str, *, but: str | None = None) -> Iterator[list[str]]:
    """Hold the locks of all parts of a store, and keep new parts away.

    Args:
        path: of the store.
        but: a part whose lock this job has.

    Yields:
        The names of the parts that have a manifest.

    Raises:
        StoreInUseError: a job has the store open.
        OSError: a lock cannot be made.
    """
    with ExitStack() as locks:
        # First this lock, then those of the parts: a job takes that of its part, then looks here.
        _hold(_lock_path(path), path, locks)
        _restore(path)
        for part in parts_of(path, suffix="lock") | parts_of(path):
            if part != but:
                _hold(state_path(path, part, "lock"), path, locks)
        yield sorted(parts_of(path))


def wait_for_none(path: str) -> None:
    """Check that no swap is under way, and undo or end one that was killed.

    Args:
        path: of a store, of which this job has a part's lock.

    Raises:
        StoreInUseError: a swap is under way.
        OSError: a folder cannot be renamed.
    """
    if os.path.lexists(_lock_path(path)):
        with ExitStack() as locks:
            _hold(_lock_path(path), path, locks)
            _restore(path)


def _lock_path(path: str) -> str:
    return os.path.join(state_folder(path), ".swap.lock")  # no part's name begins with a dot


def _hold(lock_path: str, path: str, locks: ExitStack) -> None:
    lock = StoreLock(lock_path, repr(path))
    lock.hold()
    locks.callback(lock.release)


def _restore(path: str) -> None:
    """Undo or end a swap that was killed: one whole folder of rows remains."""
    old = _old_folder(path)
    if not os.path.lexists(path) and os.path.isdir(old):
        os.rename(old, path)
        sync_directory(path)
    for left in (old, new_folder(path)):
        shutil.rmtree(left, ignore_errors=True)


def swap(path: str) -> None:
    """Put the new folder in the place of the old one, and delete the old one.

    Both hold the same rows, so that a crash at any step leaves the store as it was.

    Args:
        path: of the store. Its new folder is at `new_folder(path)`, with all files synced.

    Raises:
        OSError: a folder cannot be renamed.
    """
    new, old = new_folder(path), _old_folder(path)
    for folder, _, _ in os.walk(new):
        sync_directory(os.path.join(folder, ""))
    if not _exchanged(new, path):
        os.rename(path, old)
        os.rename(new, path)
    sync_directory(path)
    sync_directory(new)
    for left in (old, new):
        shutil.rmtree(left, ignore_errors=True)


def _exchanged(one: str, other: str) -> bool:
    """Exchange two folders in one step; False if this system cannot."""
    if sys.platform != "linux":
        return False
    with suppress(AttributeError):  # an old C library
        rename = ctypes.CDLL(None, use_errno=True).renameat2
        names = os.fsencode(one), os.fsencode(other)
        if not rename(_AT_FDCWD, names[0], _AT_FDCWD, names[1], _RENAME_EXCHANGE):
            return True
        number = ctypes.get_errno()
        if number not in _UNSUPPORTED:
            raise OSError(number, os.strerror(number), other)
    return False
