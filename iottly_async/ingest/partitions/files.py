"""The files of a partition. They are written under another name, synced, and renamed.

The manifest is written last. If a process is killed, its unfinished files are deleted by the
next run of the partition. A file that another process is writing now is locked, and its lock
ends with the process; so it is not taken for an unfinished one.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Literal, Protocol, get_args

from ...errors import ConfigurationError, StoreError
from ...models.row import MessageRow
from ..stores import Rejected
from ..stores.appendfile import AppendFile, os_errors_as
from ..stores.aside import SUFFIX, aside_path, replace_file, sync_directory
from ..stores.jsonl.lines import lines_of
from ..stores.rejected_lines import rejected_lines_of
from .layout import REJECTED, file_path, manifest_path, manifests_folder, unfinished_folder
from .manifest import PartitionManifest
from .partition import Partition

Format = Literal["jsonl", "parquet"]


class _RowWriter(Protocol):
    """Writes rows to an open file."""

    def add(self, rows: Sequence[MessageRow]) -> None: ...

    def end(self) -> None: ...


class PartitionFiles:
    """The files of one partition in a folder.

    All methods raise `StoreError` if the system refuses.

    Args:
        folder: of the files; `begin` creates it if it does not exist.
        partition: its id is the prefix of the files' names.
        form: "jsonl" or "parquet".

    Raises:
        ConfigurationError: the extra ``parquet`` is needed and not installed.

    Attributes:
        folder: as above.
    """

    def __init__(self, folder: str, partition: Partition, form: Format) -> None:
        self.folder = self._folder = folder
        # A folder of their own, so that a run lists those of other runs, and not all files.
        self._unfinished = unfinished_folder(folder)
        self._shown = f"folder {folder!r}"
        self._partition = partition
        self._id = partition.id
        self._form = form
        if form == "parquet":
            _parquet()
        self._files: dict[str, AppendFile] = {}
        self._rows: _RowWriter | None = None
        self._made: list[str] = []  # folders

    def complete(self) -> PartitionManifest | None:
        """The manifest, if the partition was run before and its files are there.

        Raises:
            ConfigurationError: the folder has the partition in another format, or has other
                windows under its id. Its messages would be there twice.
        """
        with os_errors_as(StoreError, self._shown):
            found = PartitionManifest.read(self._folder, self._id)
            others = [
                form
                for form in get_args(Format)
                if form != self._form and os.path.exists(self._path(form))
            ]
        if others:
            raise ConfigurationError(
                f"{self._shown} has partition {self._id} as {others[0]}: take the same format, "
                "or another folder"
            )
        if found is not None and found.partition.work != self._partition.work:
            raise ConfigurationError(
                f"{self._shown} has other windows as partition {self._id}: name another folder"
            )
        whole = found is not None and f"{self._id}.{self._form}" in found.files
        return found if whole else None

    def begin(self) -> None:
        """Delete the unfinished files of earlier runs, and open new ones."""
        with os_errors_as(StoreError, self._shown):
            self._make(self._folder)
            self._make(manifests_folder(self._folder))
            # Another run that ends may delete the folder if it is empty.
            with suppress(FileNotFoundError):
                for name in os.listdir(self._unfinished):
                    if name.startswith(f"{self._id}.") and name.endswith(SUFFIX):
                        _delete_unlocked(os.path.join(self._unfinished, name))
            file = self._open(self._form)
            self._rows = _LineWriter(file) if self._form == "jsonl" else _parquet()(file)

    def add(self, rows: Sequence[MessageRow], rejected: Sequence[Rejected]) -> None:
        """Write rows, in this order, and rejected messages."""
        with os_errors_as(StoreError, self._shown):
            if rows and self._rows is not None:
                self._rows.add(rows)
            if rejected:
                self._open(REJECTED).append(rejected_lines_of(rejected))

    def commit(self) -> dict[str, int]:
        """Sync and rename the files. Returns their sizes in bytes, by name."""
        sizes: dict[str, int] = {}
        with os_errors_as(StoreError, self._shown):
            if self._rows is not None:
                self._rows.end()
            for suffix, file in self._files.items():
                path = self._path(suffix)
                self._make(os.path.dirname(path))
                file.publish(path)
                sync_directory(path)
                sizes[os.path.basename(path)] = file.size
            with suppress(FileNotFoundError):
                # An earlier run may have found other messages.
                if REJECTED not in self._files:
                    os.unlink(self._path(REJECTED))
        return sizes

    def write_manifest(self, manifest: PartitionManifest) -> None:
        """Write the manifest, which makes the partition complete."""
        with os_errors_as(StoreError, self._shown):
            replace_file(manifest_path(self._folder, self._id), manifest.to_json())

    def close(self) -> None:
        """Close the files, and delete those that were not committed."""
        for file in self._files.values():
            file.delete()
        # A run whose key was refused leaves no folder. One with files is not empty.
        for folder in (self._unfinished, *reversed(self._made)):
            with suppress(OSError):
                os.rmdir(folder)

    def _make(self, folder: str) -> None:
        if not os.path.isdir(folder):
            self._make(os.path.dirname(folder))
            with suppress(FileExistsError):  # another partition may make it at this moment
                os.mkdir(folder)
                self._made.append(folder)

    def _path(self, suffix: str) -> str:
        return file_path(self._folder, f"{self._id}.{suffix}")

    def _open(self, suffix: str) -> AppendFile:
        path = os.path.join(self._unfinished, f"{self._id}.{suffix}")
        while suffix not in self._files:
            self._make(self._unfinished)
            file = AppendFile(aside_path(path))
            # Another run may see the new file before it is locked, and delete it; or it ends,
            # and deletes the empty folder.
            with suppress(StoreError, FileNotFoundError):
                file.create()
                self._files[suffix] = file
        return self._files[suffix]


class _LineWriter:
    """Writes rows as JSON lines."""

    def __init__(self, file: AppendFile) -> None:
        self._file = file

    def add(self, rows: Sequence[MessageRow]) -> None:
        self._file.append(lines_of(rows))

    def end(self) -> None:
        """Do nothing: each row was written by `add`."""


def _delete_unlocked(path: str) -> None:
    """Delete a file, unless another process is writing it."""
    file = AppendFile(path)
    try:
        file.open(follow=False)
    except (StoreError, FileNotFoundError):
        return
    with suppress(FileNotFoundError):
        os.unlink(path)
    file.close()


def _parquet() -> Any:
    try:
        from .parquet_rows import ParquetRows
    except ModuleNotFoundError:
        raise ConfigurationError(
            "files of Parquet need the extra parquet: pip install 'iottly-async[parquet]'"
        ) from None
    return ParquetRows
