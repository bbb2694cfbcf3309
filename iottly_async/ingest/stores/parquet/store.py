"""A folder of Parquet files, and a manifest that says which of them count.

The layout is told in `parquet_schema`. What was written is kept in memory, in columns,
until a flush makes one file of each day of each device; its number is the flush's, which
is one more than the manifest's. So a flush goes:

1. all files are written aside, in the job's own folder, and synced;
2. ``part.pending`` names them, synced;
3. each is renamed to its place, and the folders are synced;
4. the manifest takes the place of the one before, with the new number and cursors.

A kill before 4 leaves the old manifest; the next `open` takes away what ``part.pending``
names, and the rows come again, under the same number.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, TypeVar

import msgspec

from ....errors import ConfigurationError, StoreError
from ..appendfile import AppendFile, Buffer, replace_file, sync_directory, write_synced
from ..base import Group, Held
from ..rows import rejected_lines_of
from ..thread import StoreThread

if TYPE_CHECKING:
    import pyarrow as pa

MOST_ROWS: Final = 250_000
"""Rows that are kept in memory at most; a flush comes at the latest then."""
MOST_BYTES: Final = 64 * 1024 * 1024
"""Bytes that they take at most, give or take a group."""

VERSION: Final = 1
_OWN: Final = "_ingest"
_REJECTED: Final = "_rejected"

T = TypeVar("T")


class _Manifest(msgspec.Struct, kw_only=True):
    version: int
    plan: str | None
    flush: int
    rows: int
    rejected: int
    cursors: dict[str, str]


def _new_manifest() -> _Manifest:
    return _Manifest(version=VERSION, plan=None, flush=0, rows=0, rejected=0, cursors={})


class _Pending(msgspec.Struct):
    flush: int
    files: list[str]


class ParquetStore:
    """Messages as Parquet files in folders by project, device and day; durable at `flush`.

    Flushes make files, and readers like them large: a job flushes into it each
    `flush_every` seconds unless told otherwise.

    Args:
        path: of the folder; made where there is none.
        part: names the files, the manifest and what else is the job's own. Jobs of
            different parts can write into one folder at the same time.

    Raises:
        ConfigurationError: the extra ``parquet`` is not installed.
    """

    flush_every = 30.0
    group_rows = 4_000  # they are made columns of, which as few are not worth

    def __init__(self, path: str | os.PathLike[str], *, part: str = "part") -> None:
        try:
            from . import schema as parquet_schema
        except ModuleNotFoundError:
            raise ConfigurationError(
                "the Parquet store needs the extra parquet: pip install 'iottly-async[parquet]'"
            ) from None
        self.path = os.fspath(path)
        self._schema = parquet_schema
        self._part = part
        self._own = os.path.join(self.path, _OWN)
        self._lock = AppendFile(os.path.join(self._own, f"{part}.lock"))
        self._manifest = _new_manifest()
        self._slices: dict[str, list[pa.RecordBatch]] = {}
        self._rejected: list[bytes] = []
        self._rows = self._bytes = 0
        self._thread = StoreThread("iottly-parquet")

    def __repr__(self) -> str:
        return f"ParquetStore({self.path!r})"

    async def open(self) -> Held:
        """Open the folder and take away what no manifest counts (`Store.open`)."""
        return await self._thread.run(self._open)

    async def begin(self, plan: str) -> None:
        """Keep the plan (`Store.begin`)."""
        await self._thread.run(lambda: self._begin(plan))

    async def write(self, group: Group) -> Mapping[str, int]:
        """Keep a group in memory; all of it becomes files when that is full (`Store.write`)."""
        await self._thread.run(lambda: self._write(group))
        return {}

    async def flush(self) -> None:
        """Make files of what was written, then put a new manifest in place (`Store.flush`)."""
        await self._thread.run(self._flush)

    async def close(self) -> None:
        """Let go of the folder (`Store.close`)."""
        await self._thread.close(self._lock.close)

    # --- what is there -------------------------------------------------------------------

    def _open(self) -> Held:
        try:
            self._make_own()
            self._lock.open()
            self._manifest = self._read(self._file("json"), _Manifest) or _new_manifest()
            self._undo()
        except OSError as error:
            reason = error.strerror or str(error)
        else:
            return Held(plan=self._manifest.plan, cursors=dict(self._manifest.cursors))
        raise ConfigurationError(f"store {self.path!r} cannot be opened: {reason}")

    def _make_own(self) -> None:
        if os.path.isdir(self._own):
            return
        if not os.path.exists(self.path):
            os.mkdir(self.path)
            sync_directory(os.path.abspath(self.path))
        elif os.listdir(self.path):
            raise ConfigurationError(
                f"store {self.path!r} is a folder with files of something else; "
                "name another folder, which need not exist"
            )
        os.mkdir(self._own)
        sync_directory(self._own)

    def _read(self, path: str, form: type[T]) -> T | None:
        try:
            with open(path, "rb") as file:
                read: Any = msgspec.json.decode(file.read(), type=form)
        except FileNotFoundError:
            return None
        except (ValueError, RecursionError):
            read = None
        if read is None or getattr(read, "version", VERSION) != VERSION:
            raise ConfigurationError(
                f"{path!r} is not a manifest of version {VERSION}, "
                "which this library writes; name another folder"
            )
        return read  # type: ignore[no-any-return]

    def _undo(self) -> None:
        """Take away the files of a flush that did not come to its end."""
        pending = self._read(self._file("pending"), _Pending)
        if pending is not None and pending.flush > self._manifest.flush:
            for name in pending.files:
                _remove(os.path.join(self.path, name))
        _remove(self._file("pending"))
        for name in os.listdir(self._own):
            if name.startswith(f"{self._part}-") and name.endswith(".aside"):
                _remove(os.path.join(self._own, name))

    def _file(self, suffix: str) -> str:
        return os.path.join(self._own, f"{self._part}.{suffix}")

    # --- what is added -------------------------------------------------------------------

    def _begin(self, plan: str) -> None:
        self._manifest.plan = plan
        self._flush()

    def _write(self, group: Group) -> None:
        for folder, rows in self._schema.slices_of(group.messages):
            self._slices.setdefault(folder, []).append(rows)
            self._rows += rows.num_rows
            self._bytes += rows.nbytes
        for one in group.rejected:
            line = rejected_lines_of([one])
            self._rejected.append(line)
            self._bytes += len(line)
        for device_id, cursor in group.cursors.items():
            self._manifest.cursors[device_id] = cursor.to_json()
        if self._rows >= MOST_ROWS or self._bytes >= MOST_BYTES:
            self._flush()

    def _flush(self) -> None:
        try:
            if self._slices or self._rejected:
                self._put_files()
            replace_file(self._file("json"), msgspec.json.encode(self._manifest))
        except OSError as error:
            reason = error.strerror or str(error)
        else:
            return
        raise StoreError(f"store {self.path!r}: {reason}")

    def _put_files(self) -> None:
        number = self._manifest.flush + 1
        name = f"{self._part}-{number:08d}"
        files: list[str] = []
        for folder, slices in self._slices.items():
            self._put_aside(name, len(files), self._schema.file_of(slices))
            files.append(f"{folder}/{name}.parquet")
        if self._rejected:
            self._put_aside(name, len(files), b"".join(self._rejected))
            files.append(f"{_REJECTED}/{name}.jsonl")
        replace_file(self._file("pending"), msgspec.json.encode(_Pending(number, files)))
        self._put_in_place(name, files)
        self._manifest.flush = number
        self._manifest.rows += self._rows
        self._manifest.rejected += len(self._rejected)
        self._slices, self._rejected = {}, []
        self._rows = self._bytes = 0

    def _put_aside(self, name: str, index: int, data: Buffer) -> None:
        write_synced(os.path.join(self._own, f"{name}-{index}.aside"), data)

    def _put_in_place(self, name: str, files: list[str]) -> None:
        changed: dict[str, None] = {}  # folders, each once, in order
        for index, file in enumerate(files):
            path = os.path.join(self.path, file)
            self._make_folder(os.path.dirname(path), changed)
            os.replace(os.path.join(self._own, f"{name}-{index}.aside"), path)
            changed[os.path.dirname(path)] = None
        for folder in changed:
            sync_directory(os.path.join(folder, ""))

    def _make_folder(self, folder: str, changed: dict[str, None]) -> None:
        if os.path.isdir(folder):
            return
        parent = os.path.dirname(folder)
        self._make_folder(parent, changed)
        with suppress(FileExistsError):  # a job of another part may have been quicker
            os.mkdir(folder)
        changed[parent] = None


def _remove(path: str) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        return
    sync_directory(path)
