"""Compacts a Parquet store: small files become large ones, while readers read.

Files that are large enough are linked into a new folder, and the rows of the others are written
there. Then the new folder takes the place of the old one (`swap`).
"""

from __future__ import annotations

import asyncio
import os
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from attrs import frozen

from ....errors import ConfigurationError, StoreInUseError
from ..appendfile import os_errors_as, reading
from ..names import checked_path, real_path
from ..state_log import StateLog
from .schema import (
    OLD_STATE_FOLDER,
    Manifest,
    PartitionBy,
    files_of,
    layout_of,
    names_in,
    parts_of,
    read_manifest,
    read_pending,
    state_path,
)
from .store import TARGET_FILE_BYTES, ParquetStore
from .swap import alone, new_folder, swap

if TYPE_CHECKING:
    import pyarrow as pa


@frozen(kw_only=True)
class Compaction:
    """What a compaction did.

    Attributes:
        files_before: the number of Parquet files before.
        files: the number of Parquet files now.
        bytes_before: their size before.
        bytes: their size now.
    """

    files_before: int
    files: int
    bytes_before: int
    bytes: int


async def compact(
    path: str | os.PathLike[str],
    *,
    partition_by: PartitionBy | None = None,
    target_file_bytes: int = TARGET_FILE_BYTES,
) -> Compaction:
    """Merge the small files of a store, and those that a killed job left unfinished.

    Readers find the old files or the new ones. One that has listed the old files and opens them
    later gets an error of the system. After a kill, the store is as it was or compacted.

    Args:
        path: of the store's folder.
        partition_by: how its rows are divided from now on (`ParquetStore`). None (the default)
            leaves that as it is.
        target_file_bytes: files of half this size are left as they are. Default 64 MiB.

    Returns:
        What was done.

    Raises:
        ConfigurationError: there is no such store, or an argument is not as above.
        StoreInUseError: a job writes to the store.
        StoreError: a file cannot be read or written. The store is as it was.
    """
    folder = real_path(checked_path(path, name="the store's path"))
    with os_errors_as(ConfigurationError, f"the store {folder!r} cannot be read"):
        old = names_in(os.path.join(folder, OLD_STATE_FOLDER))
        parts = parts_of(folder) | {n.removesuffix(".json") for n in old if n.endswith(".json")}
    if not parts:
        raise ConfigurationError(f"there is no Parquet store {os.fspath(path)!r}")
    ParquetStore(folder, partition_by=partition_by, target_file_bytes=target_file_bytes)  # checks
    before = _sizes(folder)
    for part in sorted(parts):
        store = ParquetStore(folder, part=part, target_file_bytes=target_file_bytes)
        try:
            await store.open()
            await store.settle()
        finally:
            await store.close()
    await asyncio.to_thread(_compact, folder, partition_by, target_file_bytes)
    after = _sizes(folder)
    return Compaction(
        files_before=len(before),
        files=len(after),
        bytes_before=sum(before),
        bytes=sum(after),
    )


def _sizes(folder: str) -> list[int]:
    return [
        os.path.getsize(os.path.join(where, name))
        for where, _, names in os.walk(folder)
        for name in names
        if name.endswith(".parquet")
    ]


def _compact(folder: str, partition_by: PartitionBy | None, target_bytes: int) -> None:
    with os_errors_as(ConfigurationError, f"store {folder!r}"), alone(folder) as parts:
        found = layout_of(folder)
        wanted = partition_by or found or "day"
        small = {
            part: _small(folder, part, target_bytes) if wanted == found else files_of(folder, part)
            for part in parts
        }
        if not any(small.values()):
            return
        os.mkdir(new_folder(folder))
        manifests = {part: _manifest(folder, part) for part in parts}
        for part, manifest in manifests.items():
            _link(folder, {*files_of(folder, part)} - {*small[part]})
            manifest.file = _rewrite(folder, part, small[part], manifest, wanted, target_bytes)
            _note(folder, part, manifest)
        swap(folder)
        for part, manifest in manifests.items():
            _note(folder, part, manifest)


def _small(folder: str, part: str, target_bytes: int) -> list[str]:
    """The files of a part that are small, where there are two or more of them."""
    small = [
        name
        for name in files_of(folder, part)
        if os.path.getsize(os.path.join(folder, name)) < target_bytes / 2
    ]
    places = Counter(map(os.path.dirname, small))
    return [name for name in small if places[os.path.dirname(name)] > 1]


def _manifest(folder: str, part: str) -> Manifest:
    manifest, pending = read_manifest(folder, part), read_pending(folder, part)
    if manifest is None or (pending is not None and pending.cut > manifest.cut):
        raise StoreInUseError(f"store {folder!r}: a job has just written to it; try again")
    return manifest


def _link(folder: str, names: Iterable[str]) -> None:
    """Give files a name in the new folder, too."""
    for name in names:
        old, new = os.path.join(folder, name), os.path.join(new_folder(folder), name)
        os.makedirs(os.path.dirname(new), exist_ok=True)
        try:
            os.link(old, new)
        except OSError:  # the file system has no links
            shutil.copy2(old, new)


def _rewrite(
    folder: str,
    part: str,
    names: list[str],
    manifest: Manifest,
    partition_by: PartitionBy,
    target_bytes: int,
) -> int:
    """Write the rows of files to the new folder. Returns the number of the last new file."""
    from .row_files import RowFiles

    files = RowFiles(
        folder=new_folder(folder),
        part=part,
        partition_by=partition_by,
        target_bytes=target_bytes,
        number=manifest.file,
        columns=manifest.made,
    )
    files.fill(_tables(folder, names))
    return files.number


def _tables(folder: str, names: Iterable[str]) -> Iterator[pa.Table]:
    import pyarrow.parquet as pq

    for name in names:
        path = os.path.join(folder, name)
        with reading(path), pq.ParquetFile(path) as file:
            for group in range(file.num_row_groups):
                yield file.read_row_group(group)


def _note(folder: str, part: str, manifest: Manifest) -> None:
    """Save a manifest, so that who reads the store notices the compaction."""
    manifest.compactions += 1
    log: StateLog[Manifest] = StateLog(state_path(folder, part))
    log.save(manifest, plan=None, cursors={})
    log.close()
