"""Reads a Parquet store: the files that its manifest counts, also while a job runs."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import datetime
from typing import Final
from urllib.parse import unquote

import pyarrow.parquet as pq

from ....errors import ConfigurationError
from ....models._time import epoch_ms
from ...grid import TimeGrid
from ..appendfile import reading
from ..base import StoredState
from ..file_store import FileReader
from ..rejected_lines import RejectedMark, dated
from .schema import Manifest, flush_of, read_manifest, rejected_marks, state_path

_DAY_MS: Final = 86_400_000

File = tuple[str, str, int]
"""A device, the path of a file of its rows, and the start of their day in milliseconds."""


class ParquetReader(FileReader):
    """Reads the files of a part of a store."""

    def __init__(self, path: str, part: str) -> None:
        self._path = path
        self._part = part

    def _read_state(self) -> StoredState:
        manifest = self._manifest()
        return StoredState(plan=manifest.plan, cursors=manifest.cursors)

    def _manifest(self) -> Manifest:
        with reading(state_path(self._path, self._part)):
            manifest = read_manifest(self._path, self._part)
        if manifest is None:
            raise ConfigurationError(f"there is no store {self._path!r}: it has no manifest")
        return manifest

    def _first(self) -> int | None:
        files = [*self._files()]
        day = min((begin for _, _, begin in files), default=None)
        times = [t for _, path, begin in files if begin == day for t in _times(path)]
        return min([*times, *(time for _, time in dated(self._marks()))], default=None)

    def _counts(self, grid: TimeGrid) -> dict[str, list[int]]:
        return grid.counts(self._binned(grid))

    def _binned(self, grid: TimeGrid) -> Iterator[tuple[str, int, int]]:
        for device_id, path, begin in self._files():
            if grid.bin_of(begin) == grid.bin_of(begin + _DAY_MS - 1):
                # The whole day is in one bin, so the file's metadata is enough.
                with reading(path):
                    rows = pq.read_metadata(path).num_rows
                yield device_id, grid.bin_of(begin), rows
            else:
                for time in _times(path):
                    yield device_id, grid.bin_of(time), 1
        for device_id, time in dated(self._marks()):
            yield device_id, grid.bin_of(time), 1

    def _files(self) -> Iterator[File]:
        for path, names in self._counted_files():
            if "device" in names and "date" in names:
                yield names["device"], path, _begin(names["date"])

    def _counted_files(self) -> Iterator[tuple[str, dict[str, str]]]:
        """The paths of the files that count, and the values in their folders' names."""
        last = self._manifest().flush
        for folder, _, files in os.walk(self._path):
            steps = os.path.relpath(folder, self._path).split(os.sep)
            pairs = (step.partition("=") for step in steps)
            names = {name: unquote(value) for name, equals, value in pairs if equals}
            for file in files:
                flush = flush_of(file, self._part)
                if flush is not None and flush <= last:
                    yield os.path.join(folder, file), names

    def _marks(self) -> Iterator[RejectedMark]:
        return rejected_marks(self._path, self._part, self._manifest().flush)


def _times(path: str) -> list[int]:
    # Opened as a single file: the values in its folders' names are known already.
    with reading(path), pq.ParquetFile(path) as file:
        column = file.read(columns=["timestamp"]).column("timestamp")
    times: list[int] = column.cast("int64").to_pylist()
    return times


def _begin(date: str) -> int:
    return epoch_ms(datetime.fromisoformat(f"{date}T00:00:00+00:00"))
