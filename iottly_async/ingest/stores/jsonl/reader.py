"""Reads a JSON lines store: the lines that its sidecar counts, also while a job runs."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from typing import Any

from ....errors import ConfigurationError
from ...grid import TimeGrid
from ..appendfile import reading
from ..base import StoredState
from ..devices import StoredDevice, read_devices
from ..file_store import FileReader
from ..rejected_lines import RejectedMark, dated, marks_of
from .lines import devices_of, times_of
from .schema import (
    Sidecar,
    compressed,
    devices_path,
    read_sidecar,
    rejected_path,
    sidecar_path,
)


class JSONLinesReader(FileReader):
    """Reads the lines of a store, and of its rejected messages."""

    def __init__(self, path: str) -> None:
        self._path = path

    def _read_state(self) -> StoredState:
        sidecar = self._sidecar()
        return StoredState(plan=sidecar.plan, cursors=sidecar.cursors)

    def _sidecar(self) -> Sidecar:
        with reading(sidecar_path(self._path)):
            sidecar = read_sidecar(self._path)
        if sidecar is None:
            raise ConfigurationError(f"there is no store {self._path!r}: it has no cursor file")
        return sidecar

    def _first(self) -> int | None:
        return min((time for _, time in self._rows()), default=None)

    def _counts(self, grid: TimeGrid) -> dict[str, list[int]]:
        return grid.counts((device, grid.bin_of(time), 1) for device, time in self._rows())

    def _marks(self) -> Iterator[RejectedMark]:
        path = rejected_path(self._path)
        with reading(path):
            yield from marks_of(counted_lines(path, self._sidecar().rejected_size))

    def _devices(self) -> list[StoredDevice]:
        path = devices_path(self._path)
        with reading(path):
            return read_devices(path, devices_of)

    def _rows(self) -> Iterator[tuple[str, int]]:
        size = self._sidecar().size
        with reading(self._path):
            yield from times_of(counted_lines(self._path, size))
        yield from dated(self._marks())


def counted_lines(path: str, size: int) -> Iterator[bytes]:
    """The lines in the first `size` bytes of a file, which need not exist for a size of 0.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is shorter, or it is compressed and was altered.
    """
    if not size:
        return
    with open(path, "rb") as file:
        found = os.fstat(file.fileno()).st_size
        if found < size:
            raise ValueError(f"it has {found} bytes, and its cursor says {size}")
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


def _unpacked(file: io.BufferedReader) -> Iterator[bytes]:
    import zstandard

    frames: Any = zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True)
    try:
        yield from io.BufferedReader(frames, 1 << 20)
    except zstandard.ZstdError as error:
        reason = str(error)
    else:
        return
    raise ValueError(reason)
