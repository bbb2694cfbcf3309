"""Checks the folder of rows, and puts the files of a cut into it."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable
from contextlib import suppress

from ....errors import ConfigurationError, StoreError
from ..aside import sync_directory
from .schema import Manifest, PendingCut, number_of, state_folder, state_path


def check_folder(folder: str, path: str) -> None:
    """Check a folder of rows that exists, before there is a row to write.

    Args:
        folder: of the rows.
        path: of the store, as the user gave it.

    Raises:
        ConfigurationError: it is a file system of its own.
        OSError: it is not there, or cannot be written to.
    """
    if os.stat(folder).st_dev != os.stat(state_folder(folder)).st_dev:
        raise ConfigurationError(
            f"store {path!r} is a file system of its own, and its files are written "
            f"beside it first; name a folder in it, such as "
            f"{os.path.join(path, 'telemetry.parquet')!r}"
        )
    if not os.access(folder, os.W_OK | os.X_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), folder)


def check_pending(folder: str, part: str, pending: PendingCut, manifest: Manifest) -> None:
    """Check that a manifest is the one that belongs to the folder's files.

    Args:
        folder: of the rows.
        part: the name of the part.
        pending: the last cut.
        manifest: of the part.

    Raises:
        ConfigurationError: it is another one.
    """
    older = pending.cut > manifest.cut and pending.change not in (None, manifest.change)
    if older or pending.cut > manifest.cut + 1 or pending.id != manifest.id:
        raise ConfigurationError(
            f"{state_path(folder, part)!r} is not the manifest that "
            f"{state_path(folder, part, 'pending')!r} belongs to: it is an old one, or of another "
            "folder; restore it from a copy, or name another folder"
        )


def check_new(folder: str, part: str, names: Iterable[str], *, last: int) -> None:
    """Check that new files have names that no other file has.

    Args:
        folder: of the rows.
        part: the name of the part.
        names: of the files of a cut, within the folder.
        last: the number of the last file that the manifest counts.

    Raises:
        StoreError: a file is there that the manifest does not count.
    """
    for name in names:
        path = os.path.join(folder, name)
        if _number(name, part) > last and os.path.lexists(path):
            raise StoreError(
                f"{path!r} exists already, and {state_path(folder, part)!r} does not count it: the "
                "manifest is of another folder, or an old one; restore it from a copy, or "
                "name another folder"
            )


def put_in_place(folder: str, part: str, pending: PendingCut) -> int:
    """Rename the files of a cut to their places. After a crash, this is done again.

    Args:
        folder: of the rows.
        part: the name of the part.
        pending: the cut.

    Returns:
        The highest number of its files.

    Raises:
        OSError: a file cannot be renamed.
    """
    changed: dict[str, None] = {}  # folders, each once, in order
    for aside, name in pending.files.items():
        path = os.path.join(folder, name)
        place = os.path.dirname(path)
        if make_folder(place):
            changed[folder] = None
        with suppress(FileNotFoundError):  # it was renamed before a crash
            os.replace(os.path.join(state_folder(folder), aside), path)
        changed[place] = None
    for each in changed:
        sync_directory(os.path.join(each, ""))
    return max((_number(name, part) for name in pending.files.values()), default=0)


def make_folder(folder: str) -> bool:
    """Make a folder; False if it is there."""
    try:
        os.mkdir(folder)
    except FileExistsError:
        return False
    sync_directory(folder)
    return True


def remove(path: str) -> None:
    """Delete a file, if there is one."""
    try:
        os.unlink(path)
    except FileNotFoundError:
        return
    sync_directory(path)


def _number(name: str, part: str) -> int:
    return number_of(os.path.basename(name), part) or 0
