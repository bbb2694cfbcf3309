"""Reads a Parquet store: its files and its log, also while a job runs."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from typing import Final, TypeVar

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ....errors import ConfigurationError, StoreError
from ...grid import TimeGrid
from ..appendfile import reading
from ..base import StoredState
from ..devices import StoredDevice, read_devices
from ..file_store import FileReader
from ..rejected_lines import RejectedMark, dated
from .conversion import is_old
from .devices import decode_devices
from .rejected import rejected_marks
from .row_log import logged_rows
from .schema import (
    Manifest,
    PendingCut,
    devices_path,
    files_of,
    log_path,
    read_manifest,
    read_pending,
    state_folder,
    state_path,
)

T = TypeVar("T")

_COLUMNS: Final = ["device_id", "timestamp"]
_MOST_TRIES: Final = 100


class ParquetReader(FileReader):
    """Reads the rows of a part of a store."""

    def __init__(self, path: str, part: str) -> None:
        self._path = path
        self._part = part

    def _read_state(self) -> StoredState:
        manifest = self._manifest()
        return StoredState(plan=manifest.plan, cursors=manifest.cursors)

    def _manifest(self) -> Manifest:
        if is_old(self._path, self._part):
            raise ConfigurationError(
                f"store {self._path!r} was made by an earlier version: convert it by "
                f"iottly compact {self._path}, or run its job again"
            )
        with reading(state_path(self._path, self._part)):
            manifest = read_manifest(self._path, self._part)
        if manifest is None:
            raise ConfigurationError(f"there is no store {self._path!r}: it has no manifest")
        return manifest

    def _first(self) -> int | None:
        times = [time for time in self._each(_first_of) if time is not None]
        return min([*times, *(time for _, time in dated(self._marks()))], default=None)

    def _counts(self, grid: TimeGrid) -> dict[str, list[int]]:
        found = self._each(lambda rows: _binned(rows, grid))
        counts = [count for counts in found for count in counts]
        marks = ((device_id, grid.bin_of(time), 1) for device_id, time in dated(self._marks()))
        return grid.counts([*counts, *marks])

    def _each(self, function: Callable[[pa.Table], T]) -> list[T]:
        """What a function returns of the devices and times of each file, and of the log.

        If a cut moves rows meanwhile, everything is read again.
        """
        for _ in range(_MOST_TRIES):
            manifest, pending = self._manifest(), self._pending()
            try:
                found = [function(rows) for rows in self._tables(manifest, pending)]
            except FileNotFoundError:
                continue
            after = self._manifest()
            same = (after.cut, after.compactions) == (manifest.cut, manifest.compactions)
            if same and self._pending() == pending:
                return found
        raise StoreError(f"store {self._path!r} changes too fast to be read: try again later")

    def _pending(self) -> PendingCut | None:
        with reading(state_path(self._path, self._part, "pending")):
            return read_pending(self._path, self._part)

    def _tables(self, manifest: Manifest, pending: PendingCut | None) -> Iterator[pa.Table]:
        files = {name: os.path.join(self._path, name) for name in files_of(self._path, self._part)}
        if pending is not None and pending.cut > manifest.cut:
            # The rows of the log are in these files, of which some may not be in place yet.
            for aside, name in pending.files.items():
                path = os.path.join(state_folder(self._path), aside)
                files[name] = path if os.path.exists(path) else os.path.join(self._path, name)
        else:
            log = log_path(self._path, self._part, manifest.cut)
            yield logged_rows(log, manifest.log).select(_COLUMNS)
        for path in files.values():
            yield _devices_and_times(path)

    def _marks(self) -> Iterable[RejectedMark]:
        return rejected_marks(self._path, self._part, self._manifest().rejected_size)

    def _devices(self) -> list[StoredDevice]:
        path = devices_path(self._path, self._part)
        with reading(path):
            return read_devices(path, decode_devices)


def _devices_and_times(path: str) -> pa.Table:
    with reading(path):
        try:
            with pq.ParquetFile(path) as file:
                return file.read(columns=_COLUMNS)
        except FileNotFoundError:
            pass
    raise FileNotFoundError(path)


def _first_of(rows: pa.Table) -> int | None:
    first: int | None = pc.min(rows["timestamp"].cast(pa.int64())).as_py()
    return first


def _binned(rows: pa.Table, grid: TimeGrid) -> list[tuple[str, int, int]]:
    """The number of rows of each device in each bin."""
    times = rows["timestamp"].cast(pa.int64())
    inside = pc.and_(pc.greater_equal(times, grid.start), pc.less(times, grid.end))
    rows, times = rows.filter(inside), times.filter(inside)
    bins = pc.divide(pc.subtract(times, grid.start), grid.width)
    counted = pa.table({"device": rows["device_id"], "bin": bins})
    groups = counted.group_by(["device", "bin"]).aggregate([([], "count_all")])
    return list(
        zip(*(groups[name].to_pylist() for name in ("device", "bin", "count_all")), strict=True)
    )
