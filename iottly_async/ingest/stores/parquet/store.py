"""Stores messages as Parquet files in one folder (its layout: `schema`).

Rows are kept in memory, as columns, until a flush. A flush writes one file for each day of
each device. Its number is one more than the number in the manifest. The steps are:

1. all files are written to the state folder and synced;
2. ``part.pending`` names them, and is synced;
3. each file is renamed to its place, and the folders are synced;
4. the new manifest, with the new number and cursors, replaces the old one.

After a kill before step 4, the old manifest is still there. The next `open` deletes the
files that ``part.pending`` names. The rows are fetched again and get the same number.
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING, Final

import msgspec

from ....errors import ConfigurationError
from ..appendfile import AppendFile, Buffer, replace_file, sync_directory, write_synced
from ..base import Group, StoreReader
from ..file_store import FileStore
from ..rejected_lines import rejected_lines_of, unreadable_of
from .schema import (
    REJECTED_FOLDER,
    Manifest,
    PendingFlush,
    flush_name,
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

_ASIDE: Final = ".aside"


class ParquetStore(FileStore[Manifest]):
    """A store that is a folder of Parquet files. Rows are durable after each `flush`.

    The files lie in folders by project, device and day. Each flush makes new files, and
    queries are faster on large files, so a job flushes every 30 seconds by default.

    Args:
        path: of the folder; created if it does not exist.
        part: the name of this job within the folder. It names the job's files and its
            manifest. Jobs with different parts can write to one folder at the same time.
            Default "part".

    Raises:
        ConfigurationError: the extra ``parquet`` is not installed.
    """

    flush_every = 30.0
    group_rows = 4_000  # fewer rows are not worth the fixed cost of making columns

    def __init__(self, path: str | os.PathLike[str], *, part: str = "part") -> None:
        try:
            from . import columns
        except ModuleNotFoundError:
            raise ConfigurationError(
                "the Parquet store needs the extra parquet: pip install 'iottly-async[parquet]'"
            ) from None
        text = os.fspath(path)
        super().__init__(text, state_path(text, part), new_manifest(), thread="iottly-parquet")
        self._columns = columns
        self._part = part
        self._state_folder = state_folder(text)
        self._lock = AppendFile(state_path(text, part, "lock"))
        self._pending_path = state_path(text, part, "pending")
        self._slices: dict[str, list[pa.RecordBatch]] = {}
        self._rejected: list[bytes] = []
        self._rows = self._bytes = 0

    def reader(self) -> StoreReader:
        """What reads this store."""
        from .reader import ParquetReader

        return ParquetReader(self.path, self._part)

    # --- open ----------------------------------------------------------------------------

    def _load(self) -> Manifest:
        self._make_state_folder()
        self._lock.open()
        manifest = read_manifest(self.path, self._part) or new_manifest()
        self._undo_after(manifest.flush)
        return manifest

    def _make_state_folder(self) -> None:
        if os.path.isdir(self._state_folder):
            return
        if not os.path.exists(self.path):
            os.mkdir(self.path)
            sync_directory(os.path.abspath(self.path))
        elif os.listdir(self.path):
            raise ConfigurationError(
                f"store {self.path!r} is a folder with files of something else; "
                "name another folder, which need not exist"
            )
        os.mkdir(self._state_folder)
        sync_directory(self._state_folder)

    def _undo_after(self, flush: int) -> None:
        """Delete the files of a flush that did not reach its end."""
        pending = self._read_pending()
        if pending is not None and pending.flush > flush:
            for name in pending.files:
                _remove(os.path.join(self.path, name))
        _remove(self._pending_path)
        for name in os.listdir(self._state_folder):
            if name.startswith(f"{self._part}-") and name.endswith(_ASIDE):
                _remove(os.path.join(self._state_folder, name))

    def _read_pending(self) -> PendingFlush | None:
        try:
            with open(self._pending_path, "rb") as file:
                return msgspec.json.decode(file.read(), type=PendingFlush)
        except FileNotFoundError:
            return None
        except (ValueError, RecursionError):
            pass
        raise ConfigurationError(
            f"{self._pending_path!r} was not written by this library; name another folder"
        )

    def _unreadable(self) -> dict[str, set[str]]:
        return unreadable_of(rejected_marks(self.path, self._part, self._state.flush))

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
        for folder, slices in self._slices.items():
            self._put_aside(name, len(files), self._columns.file_of(slices))
            files.append(f"{folder}/{name}.parquet")
        if self._rejected:
            self._put_aside(name, len(files), b"".join(self._rejected))
            files.append(f"{REJECTED_FOLDER}/{name}.jsonl")
        replace_file(self._pending_path, msgspec.json.encode(PendingFlush(number, files)))
        self._put_in_place(name, files)
        self._state.flush = number
        self._state.rows += self._rows
        self._state.rejected += len(self._rejected)
        self._slices, self._rejected = {}, []
        self._rows = self._bytes = 0

    def _aside(self, name: str, index: int) -> str:
        return os.path.join(self._state_folder, f"{name}-{index}{_ASIDE}")

    def _put_aside(self, name: str, index: int, data: Buffer) -> None:
        write_synced(self._aside(name, index), data)

    def _put_in_place(self, name: str, files: list[str]) -> None:
        changed: dict[str, None] = {}  # folders, each once, in order
        for index, file in enumerate(files):
            path = os.path.join(self.path, file)
            self._make_folder(os.path.dirname(path), changed)
            os.replace(self._aside(name, index), path)
            changed[os.path.dirname(path)] = None
        for folder in changed:
            sync_directory(os.path.join(folder, ""))

    def _make_folder(self, folder: str, changed: dict[str, None]) -> None:
        if os.path.isdir(folder):
            return
        parent = os.path.dirname(folder)
        self._make_folder(parent, changed)
        with suppress(FileExistsError):  # a job with another part may have made it meanwhile
            os.mkdir(folder)
        changed[parent] = None

    def _close_files(self) -> None:
        self._lock.close()


def _remove(path: str) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        return
    sync_directory(path)
