"""Reads a file of JSON lines: as much of it as its sidecar counts, also while it grows."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import msgspec

from ....errors import ConfigurationError
from ....models._time import epoch_ms
from ...grid import TimeGrid
from .. import Held


class _Sidecar(msgspec.Struct):
    plan: str | None
    size: int
    rejected_size: int
    cursors: dict[str, str]


class ReadLine(msgspec.Struct):
    """What is looked at of a line."""

    device_id: str
    timestamp: str


class JSONLinesReader:
    """Reads the lines of a store, and of its rejected ones."""

    def __init__(self, path: str) -> None:
        self._path = path

    async def held(self) -> Held:
        """Plan and cursors (`Reader.held`)."""
        sidecar = await asyncio.to_thread(self._sidecar)
        return Held(plan=sidecar.plan, cursors=sidecar.cursors)

    async def first(self) -> int | None:
        """The oldest row (`Reader.first`)."""
        return await asyncio.to_thread(self._first)

    async def counts(self, axis: TimeGrid) -> dict[str, list[int]]:
        """Rows by device and stretch (`Reader.counts`)."""
        return await asyncio.to_thread(self._counts, axis)

    def _sidecar(self) -> _Sidecar:
        path = self._path + ".cursor"
        try:
            with open(path, "rb") as file:
                return msgspec.json.decode(file.read(), type=_Sidecar)
        except OSError as error:
            reason = error.strerror or str(error)
        except ValueError:
            reason = "it is not a sidecar that this library wrote"
        raise ConfigurationError(f"store {self._path!r} cannot be read: {path!r}: {reason}")

    def _first(self) -> int | None:
        # Texts of one form: their order is that of the times.
        oldest = min((line.timestamp for line in self._lines()), default=None)
        return None if oldest is None else _ms(oldest)

    def _counts(self, axis: TimeGrid) -> dict[str, list[int]]:
        counts: dict[str, list[int]] = {}
        for line in self._lines():
            place = (_ms(line.timestamp) - axis.start) // axis.width
            if 0 <= place < axis.bins:
                counts.setdefault(line.device_id, [0] * axis.bins)[place] += 1
        return counts

    def _lines(self) -> Iterator[ReadLine]:
        sidecar = self._sidecar()
        decode = msgspec.json.Decoder(ReadLine).decode
        for path, size in (
            (self._path, sidecar.size),
            (self._path + ".rejected", sidecar.rejected_size),
        ):
            if not size:
                continue
            with open(path, "rb") as file:
                counted: Any = io.BufferedReader(_Part(file, size), 1 << 20)
                if path.lower().endswith(".zst"):
                    counted = _unpacked(counted)
                for line in counted:
                    yield decode(line)


class _Part(io.RawIOBase):
    """The beginning of a file."""

    def __init__(self, file: io.BufferedReader, size: int) -> None:
        self._file = file
        self._left = size

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Read no further than what counts."""
        view = memoryview(buffer)[: self._left]
        read = self._file.readinto(view)
        self._left -= read
        return read


def _unpacked(file: io.BufferedReader) -> io.BufferedReader:
    import zstandard

    frames = zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True)
    return io.BufferedReader(frames, 1 << 20)


def _ms(text: str) -> int:
    return epoch_ms(datetime.fromisoformat(text))
