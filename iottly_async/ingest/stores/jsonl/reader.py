"""Reads a JSON lines store: the lines that its sidecar counts, also while a job runs."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

from ....errors import ConfigurationError
from ...grid import TimeGrid
from ..appendfile import os_errors_as
from ..base import StoredState
from ..file_store import FileReader
from ..rejected_lines import RejectedMark, dated, marks_of
from .lines import times_of
from .schema import Sidecar, compressed, read_sidecar, rejected_path


class JSONLinesReader(FileReader):
    """Reads the lines of a store, and of its rejected messages."""

    def __init__(self, path: str) -> None:
        self._path = path

    def _read_state(self) -> StoredState:
        sidecar = self._sidecar()
        return StoredState(plan=sidecar.plan, cursors=sidecar.cursors)

    def _sidecar(self) -> Sidecar:
        with os_errors_as(ConfigurationError, f"store {self._path!r} cannot be read"):
            sidecar = read_sidecar(self._path)
        if sidecar is None:
            raise ConfigurationError(f"there is no store {self._path!r}: it has no cursor file")
        return sidecar

    def _first(self) -> int | None:
        return min((time for _, time in self._rows()), default=None)

    def _counts(self, grid: TimeGrid) -> dict[str, list[int]]:
        return grid.counts((device, grid.bin_of(time), 1) for device, time in self._rows())

    def _marks(self) -> Iterator[RejectedMark]:
        return marks_of(counted_lines(rejected_path(self._path), self._sidecar().rejected_size))

    def _rows(self) -> Iterator[tuple[str, int]]:
        sidecar = self._sidecar()
        yield from times_of(counted_lines(self._path, sidecar.size))
        yield from dated(self._marks())


def counted_lines(path: str, size: int) -> Iterator[bytes]:
    """The lines in the first `size` bytes of a file, which need not exist for a size of 0."""
    if not size:
        return
    with open(path, "rb") as file:
        counted: Any = io.BufferedReader(_FirstBytes(file, size), 1 << 20)
        yield from _unpacked(counted) if compressed(path) else counted


class _FirstBytes(io.RawIOBase):
    """The first `size` bytes of a file."""

    def __init__(self, file: io.BufferedReader, size: int) -> None:
        self._file = file
        self._remaining = size

    def readable(self) -> bool:
        """True."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Read into `buffer`, up to the last byte that counts."""
        view = memoryview(buffer)[: self._remaining]
        read = self._file.readinto(view)
        self._remaining -= read
        return read


def _unpacked(file: io.BufferedReader) -> io.BufferedReader:
    import zstandard

    frames = zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True)
    return io.BufferedReader(frames, 1 << 20)
