"""Converts a store that an earlier version made: one file for each device, day and flush.

```text
telemetry.parquet/
  project=59c1…/device=3781…/date=2026-04-05/part-00000017.parquet
telemetry.parquet.ingest/       in the first versions: _ingest and _rejected in telemetry.parquet
  part.json, part.pending
  rejected/part-00000017.jsonl
```

The next job converts all parts at once. The rows are written to a new folder, which takes the place
of the old one in one step (`swap`); then each manifest is replaced. After a crash, the next job
does the remaining steps: in a folder without ``project=…`` only manifests are left.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote

import msgspec

from ....errors import ConfigurationError
from ..appendfile import reading
from ..aside import sync_directory
from ..lock import StoreLock
from ..state_log import FileState, StateLog, read_state
from .schema import (
    OLD_STATE_FOLDER,
    REJECTED_FOLDER,
    VERSION,
    Manifest,
    files_of,
    is_aside_of,
    names_in,
    number_of,
    parts_of,
    state_folder,
    state_path,
)
from .swap import alone, new_folder, swap

if TYPE_CHECKING:
    import pyarrow as pa

_OLD_VERSION: Final = 1
_OLD_REJECTED_FOLDER: Final = "_rejected"
_NO_PROJECT: Final = "__HIVE_DEFAULT_PARTITION__"


class OldManifest(FileState, kw_only=True):
    """The state file of an earlier version.

    Attributes:
        flush: the number of the last flush. Files with a higher number do not count.
        rows: messages in all files that count.
        rejected: rejected rows in all files that count.
    """

    flush: int
    rows: int
    rejected: int


class _OldPending(msgspec.Struct):
    """The last flush that was begun, and the paths of its files."""

    flush: int
    files: list[str]
    id: str = ""


def convert(path: str, part: str, *, target_bytes: int) -> None:
    """Convert a store if an earlier version made it.

    Args:
        path: of the store.
        part: whose lock is held.
        target_bytes: as `RowFiles.target_bytes`.

    Raises:
        ConfigurationError: a file of the store cannot be read, or was altered.
        StoreInUseError: a job with another part, or of an earlier version, is at work.
        OSError: a file cannot be written.
    """
    first_layout = os.path.isdir(os.path.join(path, OLD_STATE_FOLDER))
    if not first_layout and not any(is_old(path, each) for each in parts_of(path)):
        return
    with alone(path, but=part) as parts:
        if first_layout:
            parts = _move_state(path, parts)
        old = {each: _whole_flushes(path, each) for each in parts if is_old(path, each)}
        if any(name.startswith("project=") for name in names_in(path)):
            _rewrite(path, old, target_bytes)
        for each, manifest in old.items():
            _replace(path, each, manifest)


def is_old(path: str, part: str) -> bool:
    """Whether a part's manifest is of the earlier version."""
    with suppress(OSError), open(state_path(path, part), "rb") as file:
        return file.read(32).startswith(b'{"version":%d,' % _OLD_VERSION)
    return False


def _move_state(path: str, parts: list[str]) -> list[str]:
    """Move the job's own files out of the folder of rows. Returns all parts."""
    state, rejected = (os.path.join(path, n) for n in (OLD_STATE_FOLDER, _OLD_REJECTED_FOLDER))
    moved = [n.removesuffix(".json") for n in names_in(state) if n.endswith(".json")]
    with ExitStack() as locks:
        for part in moved:
            lock = StoreLock(os.path.join(state, f"{part}.lock"), repr(path))
            lock.hold()  # a job of an earlier version may be at work
            locks.callback(lock.release)
        _move_files(path, state, rejected, moved)
    for folder in (state, rejected):
        with suppress(OSError):
            os.rmdir(folder)
    return sorted({*parts, *moved})


def _move_files(path: str, state: str, rejected: str, parts: list[str]) -> None:
    new = state_folder(path)
    moves = [
        (os.path.join(rejected, n), os.path.join(new, REJECTED_FOLDER, n))
        for n in names_in(rejected)
    ]
    # The manifest last: until it is moved, the next job begins again.
    moves += [
        (os.path.join(state, f"{part}.{suffix}"), os.path.join(new, f"{part}.{suffix}"))
        for part in parts
        for suffix in ("pending", "json")
    ]
    moves = [(before, after) for before, after in moves if os.path.lexists(before)]
    for before, after in moves:
        if os.path.lexists(after):
            raise ConfigurationError(
                f"{before!r} and {after!r} are of the same store, and only one can be right: "
                "delete the other"
            )
    for before, after in moves:
        os.makedirs(os.path.dirname(after), exist_ok=True)
        os.replace(before, after)
        sync_directory(after)
        sync_directory(before)
    for name in names_in(state):
        if any(is_aside_of(name, part) for part in parts):
            os.unlink(os.path.join(state, name))


def _whole_flushes(path: str, part: str) -> OldManifest:
    """A part's manifest, after the files of a flush that did not reach its end are deleted."""
    manifest = read_state(state_path(path, part), OldManifest, version=_OLD_VERSION)
    if manifest is None:
        raise ConfigurationError(f"{state_path(path, part)!r} is missing")
    pending_path = state_path(path, part, "pending")
    if not os.path.exists(pending_path):
        return manifest
    with reading(pending_path), open(pending_path, "rb") as file:
        pending = msgspec.json.decode(file.read(), type=_OldPending)
    if pending.flush > manifest.flush + 1 or pending.id not in ("", manifest.id):
        raise ConfigurationError(
            f"{state_path(path, part)!r} is not the manifest that {pending_path!r} belongs "
            "to: it is an old one, or of another folder; restore it from a copy, or name "
            "another folder"
        )
    if pending.flush > manifest.flush:
        for name in pending.files:
            _delete(path, part, name)
    return manifest


def _delete(path: str, part: str, name: str) -> None:
    """Delete a file that a flush has written."""
    folder, _, file = name.rpartition("/")
    if {"", ".", ".."} & {*folder.split("/")} or not _is_old_file(file, part):
        raise ConfigurationError(
            f"{state_path(path, part, 'pending')!r} was not written by this library; name another "
            "folder"
        )
    if folder in (REJECTED_FOLDER, _OLD_REJECTED_FOLDER):
        found = os.path.join(state_folder(path), REJECTED_FOLDER, file)
    else:
        found = os.path.join(path, name)
    with suppress(FileNotFoundError):
        os.unlink(found)
        sync_directory(found)


def _is_old_file(name: str, part: str) -> bool:
    return re.fullmatch(rf"{re.escape(part)}-\d+\.(?:parquet|jsonl)", name) is not None


def _rewrite(path: str, old: dict[str, OldManifest], target_bytes: int) -> None:
    """Write the rows of all parts to a new folder, and put it in the place of the old one."""
    from .row_files import RowFiles

    new = new_folder(path)
    os.mkdir(new)
    for part, manifest in old.items():
        files = RowFiles(
            folder=new, part=part, partition_by="day", target_bytes=target_bytes, number=0
        )
        files.fill(_old_rows(path, part, manifest.flush))
    swap(path)


def _old_rows(path: str, part: str, flush: int) -> Iterator[pa.Table]:
    """The rows of a part's files up to a flush, in order of their days."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from ....arrow import SCHEMA

    found: list[tuple[str, str, str | None]] = []
    for folder, _, names in os.walk(path):
        steps = os.path.relpath(folder, path).split(os.sep)
        values = {name: unquote(value) for name, _, value in (s.partition("=") for s in steps)}
        project = values.get("project")
        found += [
            (
                values["date"],
                os.path.join(folder, name),
                None if project == _NO_PROJECT else project,
            )
            for name in names
            if "date" in values and _is_old_file(name, part)
            if int(re.findall(r"\d+", name)[-1]) <= flush
        ]
    for _, file_path, project in sorted(found, key=lambda one: one[:2]):
        with reading(file_path), pq.ParquetFile(file_path) as file:
            rows = file.read()
        columns = {name: rows[name] for name in rows.column_names}
        columns["project_id"] = pa.array([project] * rows.num_rows, pa.string())
        yield pa.Table.from_arrays([columns[name] for name in SCHEMA.names], schema=SCHEMA)


def _replace(path: str, part: str, old: OldManifest) -> None:
    """Replace an old manifest by a new one with the same plan and cursors."""
    numbers = [number_of(os.path.basename(name), part) or 0 for name in files_of(path, part)]
    with suppress(FileNotFoundError):
        os.unlink(state_path(path, part, "pending"))
    log: StateLog[Manifest] = StateLog(state_path(path, part))
    manifest = Manifest(
        version=VERSION,
        plan=old.plan,
        cursors=old.cursors,
        file=max(numbers, default=0),
        rows=old.rows,
        rejected=old.rejected,
    )
    log.save(manifest, plan=None, cursors={})
    log.close()
