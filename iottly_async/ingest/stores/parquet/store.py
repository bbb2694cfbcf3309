"""Stores messages as Parquet files in one folder, with its state beside it (`schema`).

Rows are kept in memory, as columns, until a flush. A flush writes one file for each day of
each device. Its number is one more than the number in the manifest. The steps are:

1. all files are written to the state folder and synced;
2. ``part.pending`` names them, and is synced;
3. each file is renamed to its place, and the folders are synced;
4. a line with the new number and the new cursors is appended to the manifest, and synced.

After a kill before step 4, the manifest is the old one. The next `open` deletes the files that
``part.pending`` names. The rows are fetched again and get the same number.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from contextlib import suppress
from secrets import token_hex
from typing import TYPE_CHECKING, Final

import msgspec

from ....errors import ConfigurationError, StoreError
from ..aside import (
    SUFFIX,
    new_mode,
    remove_asides,
    replace_file,
    sync_directory,
    write_synced,
)
from ..base import Group, StoreReader
from ..devices import StoredDevice
from ..file_store import FileStore
from ..lock import StoreLock
from ..names import checked_path, real_path
from ..rejected_lines import rejected_lines_of, unreadable_of
from .schema import (
    DEFAULT_PART,
    REJECTED_FOLDER,
    Manifest,
    OldLayout,
    PendingFlush,
    checked_part,
    devices_path,
    file_path,
    flush_name,
    is_aside_of,
    is_file_of,
    names_in,
    new_manifest,
    read_manifest,
    rejected_marks,
    state_folder,
    state_path,
)

if TYPE_CHECKING:
    import pyarrow as pa

MOST_ROWS: Final = 250_000
"""Rows in memory at which a flush is due."""
MOST_BYTES: Final = 64 * 1024 * 1024
"""Bytes of rows in memory at which a flush is due."""

_MOST_RACES: Final = 10


class ParquetStore(FileStore[Manifest]):
    """A store that is a folder of Parquet files. Rows are durable after each `flush`.

    The files lie in folders by project, device and day. Each flush makes new files, and
    queries are faster on large files, so a job flushes every 30 seconds by default.

    Args:
        path: of the folder; created if it does not exist. The job's own files are in a folder
            beside it, ``<path>.ingest``.
        part: the name of this job within the folder. It names the job's files and its
            manifest. Jobs with different parts can write to one folder at the same time.
            Default "part".

    Raises:
        ConfigurationError: the extra ``parquet`` is not installed, or `part` cannot be a
            part of a file's name.
    """

    flush_every = 30.0
    group_rows = 4_000  # fewer rows are not worth the fixed cost of making columns

    def __init__(self, path: str | os.PathLike[str], *, part: str = DEFAULT_PART) -> None:
        try:
            from . import columns, devices
        except ModuleNotFoundError:
            raise ConfigurationError(
                "the Parquet store needs the extra parquet: pip install 'iottly-async[parquet]'"
            ) from None
        text = checked_path(path, name="the store's path")
        self._folder = folder = real_path(text)
        self._part = checked_part(part)
        super().__init__(
            text,
            state_path=state_path(folder, part),
            lock_path=state_path(folder, part, "lock"),
            state=new_manifest(),
            thread="iottly-parquet",
        )
        self._columns = columns
        self._devices = devices
        self._state_folder = state_folder(folder)
        self._old = OldLayout(folder)
        self._pending_path = state_path(folder, part, "pending")
        self._token = token_hex(8)  # in the names of files that are written aside
        self._made = False  # the state folder, by this store
        self._slices: dict[str, list[pa.RecordBatch]] = {}
        self._rejected: list[bytes] = []
        self._rows = self._bytes = 0

    def reader(self) -> StoreReader:
        """What reads this store."""
        from .reader import ParquetReader

        return ParquetReader(self._folder, self._part)

    @property
    def _devices_path(self) -> str:
        return devices_path(self._folder, self._part)

    def _encoded_devices(self, devices: Sequence[StoredDevice]) -> bytes:
        return self._devices.encode_devices(devices)

    def _decoded_devices(self, data: bytes) -> list[StoredDevice]:
        return self._devices.decode_devices(data)

    # --- open ----------------------------------------------------------------------------

    def _hold(self) -> None:
        for _ in range(_MOST_RACES):
            try:
                self._make_state_folder()
                super()._hold()
            except FileNotFoundError as error:
                # A job with another part, which was refused, has just deleted the folder.
                missing = error
            else:
                return self._move_old_state()
        raise missing

    def _load(self) -> Manifest:
        manifest = read_manifest(self._folder, self._part) or new_manifest()
        pending = self._read_pending()
        if pending is not None:
            self._check(pending, manifest)
            if pending.flush > manifest.flush:
                self._undo(pending)
        remove_asides(self._pending_path)
        for name in os.listdir(self._state_folder):
            if is_aside_of(name, self._part):
                _remove(os.path.join(self._state_folder, name))
        return manifest

    def _make_state_folder(self) -> None:
        """Make the state folder. Jobs with other parts may do the same at this moment."""
        found = names_in(self._folder)
        # A store's state folder is there before its first row is.
        if found and not any(map(os.path.isdir, (self._state_folder, self._old.state_folder))):
            raise ConfigurationError(
                f"store {self.path!r} is a folder with files of something else; name another "
                "folder, which need not exist. If it was a store elsewhere, the folder "
                f"{os.path.basename(self._state_folder)!r} must be moved with it"
            )
        self._made = _make_folder(self._state_folder) or self._made
        with suppress(FileNotFoundError):
            self._check_folder()

    def _check_folder(self) -> None:
        """Check a folder of rows that exists, before there is a row to write."""
        if os.stat(self._folder).st_dev != os.stat(self._state_folder).st_dev:
            raise ConfigurationError(
                f"store {self.path!r} is a file system of its own, and its files are written "
                f"beside it first; name a folder in it, such as "
                f"{os.path.join(self.path, 'telemetry.parquet')!r}"
            )
        if not os.access(self._folder, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), self._folder)

    def _move_old_state(self) -> None:
        """Move the files of this part from where earlier versions kept them."""
        if not os.path.isdir(self._old.state_folder):
            return
        lock = StoreLock(self._old.state_path(self._part, "lock"), repr(self.path))
        try:
            lock.hold()  # a job of an earlier version may be at work
        except FileNotFoundError:
            return  # a job with another part has just moved the last files
        try:
            self._old.move(self._part)
        finally:
            lock.release()
        self._old.remove()

    def _create(self) -> None:
        _make_folder(self._folder)

    def _check(self, pending: PendingFlush, manifest: Manifest) -> None:
        """Check that the manifest is the one that counts the folder's files."""
        if pending.flush > manifest.flush + 1 or pending.id not in ("", manifest.id):
            raise ConfigurationError(
                f"{self._state_path!r} is not the manifest that {self._pending_path!r} belongs "
                "to: it is an old one, or of another folder; restore it from a copy, or name "
                "another folder"
            )

    def _undo(self, pending: PendingFlush) -> None:
        """Delete the files of a flush that did not reach its end."""
        for name in pending.files:
            _remove(file_path(self._folder, name))
        self._keep(PendingFlush(pending.flush - 1, [], pending.id))

    def _keep(self, pending: PendingFlush) -> None:
        replace_file(self._pending_path, msgspec.json.encode(pending))

    def _read_pending(self) -> PendingFlush | None:
        try:
            with open(self._pending_path, "rb") as file:
                pending = msgspec.json.decode(file.read(), type=PendingFlush)
            if all(is_file_of(name, self._part, pending.flush) for name in pending.files):
                return pending
        except FileNotFoundError:
            return None
        except (ValueError, RecursionError):
            pass
        raise ConfigurationError(
            f"{self._pending_path!r} was not written by this library; name another folder"
        )

    def _unreadable(self) -> dict[str, set[str]]:
        return unreadable_of(rejected_marks(self._folder, self._part, self._state.flush))

    # --- write ---------------------------------------------------------------------------

    def _add(self, group: Group) -> None:
        for folder, rows in self._columns.slices_of(group.messages):
            self._slices.setdefault(folder, []).append(rows)
            self._rows += rows.num_rows
            self._bytes += rows.nbytes
        for one in group.rejected:
            line = rejected_lines_of([one])
            self._rejected.append(line)
            self._bytes += len(line)

    def _full(self) -> bool:
        return self._rows >= MOST_ROWS or self._bytes >= MOST_BYTES

    def _sync_rows(self) -> None:
        if not self._slices and not self._rejected:
            return
        number = self._state.flush + 1
        name = flush_name(self._part, number)
        files: list[str] = []
        mode = new_mode()
        for folder, slices in self._slices.items():
            data = self._columns.file_of(slices)
            write_synced(self._aside(name, len(files)), data, mode=mode)
            files.append(f"{folder}/{name}.parquet")
        if self._rejected:
            lines = b"".join(self._rejected)
            write_synced(self._aside(name, len(files)), lines, mode=mode)
            files.append(f"{REJECTED_FOLDER}/{name}.jsonl")
        self._keep(PendingFlush(number, files, self._state.id))
        self._put_in_place(name, files)
        self._state.flush = number
        self._state.rows += self._rows
        self._state.rejected += len(self._rejected)
        self._slices, self._rejected = {}, []
        self._rows = self._bytes = 0

    def _aside(self, name: str, index: int) -> str:
        return os.path.join(self._state_folder, f"{name}-{index}.{self._token}{SUFFIX}")

    def _put_in_place(self, name: str, files: list[str]) -> None:
        changed: dict[str, None] = {}  # folders, each once, in order
        for index, file in enumerate(files):
            path = file_path(self._folder, file)
            if os.path.lexists(path):
                raise StoreError(
                    f"{path!r} exists already, and {self._state_path!r} does not count it: the "
                    "manifest is of another folder, or an old one; restore it from a copy, or "
                    "name another folder"
                )
            self._make_folders(os.path.dirname(path), changed)
            os.replace(self._aside(name, index), path)
            changed[os.path.dirname(path)] = None
        for folder in changed:
            sync_directory(os.path.join(folder, ""))

    def _make_folders(self, folder: str, changed: dict[str, None]) -> None:
        if os.path.isdir(folder):
            return
        parent = os.path.dirname(folder)
        self._make_folders(parent, changed)
        with suppress(FileExistsError):  # a job with another part may have made it meanwhile
            os.mkdir(folder)
        changed[parent] = None

    def _close_files(self) -> None:
        """Nothing is open between two flushes."""

    def _close(self) -> None:
        super()._close()
        if self._made and not self._begun:
            # The job was refused before its first request. A folder in use is not empty.
            with suppress(OSError):
                os.rmdir(self._state_folder)


def _make_folder(folder: str) -> bool:
    """Make a folder; False if it is there."""
    try:
        os.mkdir(folder)
    except FileExistsError:
        return False
    sync_directory(folder)
    return True


def _remove(path: str) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        return
    sync_directory(path)
