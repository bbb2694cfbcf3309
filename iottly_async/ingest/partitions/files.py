"""A partition's files: written aside, synced, renamed; the manifest last.

What a killed process left aside is taken away by the next one that does the partition. It
is told from what another process is writing at this moment by its lock, which ends with
the process that holds it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from secrets import token_hex
from typing import Any, Final, Literal, Protocol

from ...errors import ConfigurationError, StoreError
from ...models import Message
from ..stores import Rejected
from ..stores.appendfile import AppendFile, os_errors_as, replace_file, sync_directory
from ..stores.jsonl.lines import lines_of, rejected_lines_of
from .manifest import FOLDER, PartitionManifest, path_of

Format = Literal["jsonl", "parquet"]

_ASIDE: Final = ".aside"


class _Rows(Protocol):
    """Writes rows into a file that is open."""

    def add(self, messages: Sequence[Message]) -> None: ...

    def end(self) -> None: ...


class PartitionFiles:
    """The files of one partition in a folder.

    Methods raise `StoreError` where the system refuses.

    Args:
        folder: made where there is none.
        partition_id: names the files.
        form: "jsonl" or "parquet".

    Raises:
        ConfigurationError: the extra ``parquet`` is needed and not installed.
    """

    def __init__(self, folder: str, partition_id: str, form: Format) -> None:
        self._folder = folder
        self._shown = f"folder {folder!r}"
        self._id = partition_id
        self._form = form
        if form == "parquet":
            _parquet()
        self._files: dict[str, AppendFile] = {}
        self._rows: _Rows | None = None

    def done(self) -> PartitionManifest | None:
        """The manifest, where the partition was done before and its files are there."""
        with os_errors_as(StoreError, self._shown):
            found = PartitionManifest.read(self._folder, self._id)
        whole = found is not None and f"{self._id}.{self._form}" in found.files
        return found if whole else None

    def begin(self) -> None:
        """Make room: no file of this partition is there afterwards that is not whole."""
        with os_errors_as(StoreError, self._shown):
            os.makedirs(os.path.join(self._folder, FOLDER), exist_ok=True)
            for name in os.listdir(self._folder):
                if name.startswith(f"{self._id}.") and name.endswith(_ASIDE):
                    _take_away(os.path.join(self._folder, name))
            file = self._open(self._form)
            self._rows = _Lines(file) if self._form == "jsonl" else _parquet()(file)

    def add(self, messages: Sequence[Message], rejected: Sequence[Rejected]) -> None:
        """Write rows, in this order, and messages that can be none."""
        with os_errors_as(StoreError, self._shown):
            if messages and self._rows is not None:
                self._rows.add(messages)
            if rejected:
                self._open("rejected.jsonl").append(rejected_lines_of(rejected))

    def commit(self) -> dict[str, int]:
        """Put the files in their places; their names and sizes."""
        sizes: dict[str, int] = {}
        with os_errors_as(StoreError, self._shown):
            if self._rows is not None:
                self._rows.end()
            for suffix, file in self._files.items():
                file.sync()
                if sys.platform == "win32":
                    file.close()  # an open file has no other name there
                name = f"{self._id}.{suffix}"
                os.replace(file.path, os.path.join(self._folder, name))
                sizes[name] = file.size
            with suppress(FileNotFoundError):
                # Of an earlier run that found other messages.
                if "rejected.jsonl" not in self._files:
                    os.unlink(os.path.join(self._folder, f"{self._id}.rejected.jsonl"))
            sync_directory(os.path.join(self._folder, self._id))
        return sizes

    def declare(self, manifest: PartitionManifest) -> None:
        """Write the manifest, after which the partition is done."""
        with os_errors_as(StoreError, self._shown):
            replace_file(path_of(self._folder, self._id), manifest.to_json())

    def close(self) -> None:
        """Let go of the files; what was not committed is taken away."""
        for file in self._files.values():
            with suppress(OSError):
                os.unlink(file.path)
            file.close()

    def _open(self, suffix: str) -> AppendFile:
        if suffix not in self._files:
            name = f"{self._id}.{suffix}.{token_hex(8)}{_ASIDE}"
            file = AppendFile(os.path.join(self._folder, name))
            file.open()
            self._files[suffix] = file
        return self._files[suffix]


class _Lines:
    def __init__(self, file: AppendFile) -> None:
        self._file = file

    def add(self, messages: Sequence[Message]) -> None:
        self._file.append(lines_of(messages))

    def end(self) -> None:
        """Nothing is left to write."""


def _take_away(path: str) -> None:
    """Remove what is left of a process that has ended; not what another one is writing."""
    left = AppendFile(path)
    try:
        left.open()
    except ConfigurationError:
        return
    with suppress(FileNotFoundError):
        os.unlink(path)
    left.close()


def _parquet() -> Any:
    try:
        from .parquet_rows import ParquetRows
    except ModuleNotFoundError:
        raise ConfigurationError(
            "files of Parquet need the extra parquet: pip install 'iottly-async[parquet]'"
        ) from None
    return ParquetRows
