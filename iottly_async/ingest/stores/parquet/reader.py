"""Reads a folder of Parquet files: those that its manifest counts, also while more come."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Iterator
from datetime import datetime
from typing import Final
from urllib.parse import unquote

import msgspec
import pyarrow.parquet as pq

from ....errors import ConfigurationError
from ....models._time import epoch_ms
from ...grid import TimeGrid
from .. import Held
from ..jsonl.reader import ReadLine

_DAY_MS: Final = 86_400_000
_FILE: Final = re.compile(r"part-(\d+)\.(parquet|jsonl)")


class _Manifest(msgspec.Struct):
    plan: str | None
    flush: int
    cursors: dict[str, str]


File = tuple[str, str, int]
"""A device, a path, and where its day begins, in milliseconds."""


class ParquetReader:
    """Reads the files of a store."""

    def __init__(self, path: str) -> None:
        self._path = path

    async def held(self) -> Held:
        """Plan and cursors (`Reader.held`)."""
        manifest = await asyncio.to_thread(self._manifest)
        return Held(plan=manifest.plan, cursors=manifest.cursors)

    async def first(self) -> int | None:
        """The oldest row (`Reader.first`)."""
        return await asyncio.to_thread(self._first)

    async def counts(self, axis: TimeGrid) -> dict[str, list[int]]:
        """Rows by device and stretch (`Reader.counts`)."""
        return await asyncio.to_thread(self._counts, axis)

    def _manifest(self) -> _Manifest:
        path = os.path.join(self._path, "_ingest", "part.json")
        try:
            with open(path, "rb") as file:
                return msgspec.json.decode(file.read(), type=_Manifest)
        except OSError as error:
            reason = error.strerror or str(error)
        except ValueError:
            reason = "it is not a manifest that this library wrote"
        raise ConfigurationError(f"store {self._path!r} cannot be read: {path!r}: {reason}")

    def _first(self) -> int | None:
        files = [*self._files()]
        day = min((begin for _, _, begin in files), default=None)
        times = [t for _, path, begin in files if begin == day for t in _times(path)]
        return min([*times, *(t for _, t in self._rejected())], default=None)

    def _counts(self, axis: TimeGrid) -> dict[str, list[int]]:
        counts: dict[str, list[int]] = {}

        def add(device_id: str, time: int, rows: int = 1) -> None:
            place = (time - axis.start) // axis.width
            if 0 <= place < axis.bins:
                counts.setdefault(device_id, [0] * axis.bins)[place] += rows

        for device_id, path, begin in self._files():
            last = begin + _DAY_MS - 1
            if (begin - axis.start) // axis.width == (last - axis.start) // axis.width:
                # All of the day is in one stretch: how many rows there are will do.
                add(device_id, begin, pq.read_metadata(path).num_rows)
                continue
            for time in _times(path):
                add(device_id, time)
        for device_id, time in self._rejected():
            add(device_id, time)
        return counts

    def _files(self) -> Iterator[File]:
        for path, names in self._folders():
            if "device" in names and "date" in names:
                yield names["device"], path, _begin(names["date"])

    def _folders(self) -> Iterator[tuple[str, dict[str, str]]]:
        """The files that count, and what their folders' names say."""
        flush = self._manifest().flush
        for folder, _, files in os.walk(self._path):
            steps = os.path.relpath(folder, self._path).split(os.sep)
            pairs = (step.partition("=") for step in steps)
            names = {name: unquote(value) for name, equals, value in pairs if equals}
            for file in files:
                found = _FILE.fullmatch(file)
                if found is not None and int(found[1]) <= flush:
                    yield os.path.join(folder, file), names

    def _rejected(self) -> Iterator[tuple[str, int]]:
        decode = msgspec.json.Decoder(ReadLine).decode
        for path, names in self._folders():
            if not names and path.endswith(".jsonl"):
                with open(path, "rb") as file:
                    for line in map(decode, file):
                        yield line.device_id, epoch_ms(datetime.fromisoformat(line.timestamp))


def _times(path: str) -> list[int]:
    # As a file of its own: what its folders are called is known already.
    with pq.ParquetFile(path) as file:
        column = file.read(columns=["timestamp"]).column("timestamp")
    times: list[int] = column.cast("int64").to_pylist()
    return times


def _begin(date: str) -> int:
    return epoch_ms(datetime.fromisoformat(f"{date}T00:00:00+00:00"))
