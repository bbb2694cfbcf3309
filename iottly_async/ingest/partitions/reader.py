"""Reads a folder of partitions: what their manifests say was done, and the rows of their files."""

from __future__ import annotations

import asyncio
import os
from collections import defaultdict
from collections.abc import Iterator
from datetime import datetime

import msgspec

from ...errors import ConfigurationError
from ...models import Cursor
from ...models._time import epoch_ms
from ...models.cursor import Interval
from ..grid import TimeGrid
from ..plan import IngestPlan, Query
from ..stores import Held
from ..stores.jsonl.reader import ReadLine
from .manifest import FOLDER, PartitionManifest

_BEGINNING = -(1 << 62)
Row = tuple[str, int]
"""A device, and a time in milliseconds."""


class PartitionsReader:
    """Reads what is done of a plan: a partition without a manifest is not known to the folder.

    The range is that of all manifests; of what no manifest of a device covers, or what
    failed, it is said that it is missing.
    """

    def __init__(self, path: str) -> None:
        self._path = path

    @classmethod
    def reads(cls, path: str) -> bool:
        """Whether partitions were run into this folder."""
        return os.path.isdir(os.path.join(path, FOLDER))

    async def held(self) -> Held:
        """A plan and cursors that say the same as the manifests (`Reader.held`)."""
        return await asyncio.to_thread(self._held)

    async def first(self) -> int | None:
        """The oldest row (`Reader.first`)."""
        return await asyncio.to_thread(lambda: min((at for _, at in self._rows()), default=None))

    async def counts(self, axis: TimeGrid) -> dict[str, list[int]]:
        """Rows by device and stretch (`Reader.counts`)."""
        return await asyncio.to_thread(self._counts, axis)

    def _manifests(self) -> list[PartitionManifest]:
        try:
            names = sorted(os.listdir(os.path.join(self._path, FOLDER)))
            found = [
                PartitionManifest.read(self._path, name.removesuffix(".json"))
                for name in names
                if name.endswith(".json")
            ]
        except OSError as error:
            reason = error.strerror or str(error)
        else:
            return [manifest for manifest in found if manifest is not None]
        raise ConfigurationError(f"folder {self._path!r} cannot be read: {reason}")

    def _held(self) -> Held:
        manifests = self._manifests()
        if not manifests:
            return Held(plan=None, cursors={})
        windows = [window for one in manifests for window in one.partition.windows]
        low = min(_BEGINNING if window.start is None else window.start for window in windows)
        end = max(window.end for window in windows)
        failed: dict[str, str] = {}
        done: dict[str, list[Interval]] = {window.device_id: [] for window in windows}
        for one in manifests:
            for device_id, start, until in one.partition.windows:
                error = one.failed.get(f"{device_id} {start} {until}")
                if error is None:
                    done[device_id].append((_BEGINNING if start is None else start, until))
                else:
                    failed[device_id] = error
        query = Query(
            project_id=", ".join(sorted({one.partition.project for one in manifests})),
            type=", ".join(sorted({one.partition.type for one in manifests})),
            start=None if low == _BEGINNING else low,
        )
        return Held(
            plan=IngestPlan(query=query, pinned_end=end, ended=True, failed=failed).to_json(),
            cursors={
                device_id: Cursor(
                    project_id=query.project_id,
                    device_id=device_id,
                    type="all",
                    order="asc",
                    start=query.start,
                    end=end,
                    remaining=_between(sorted(intervals), low, end),
                    pinned_end=end,
                ).to_json()
                for device_id, intervals in done.items()
            },
        )

    def _counts(self, axis: TimeGrid) -> dict[str, list[int]]:
        counts: defaultdict[str, list[int]] = defaultdict(lambda: [0] * axis.bins)
        for device_id, time in self._rows():
            place = (time - axis.start) // axis.width
            if 0 <= place < axis.bins:
                counts[device_id][place] += 1
        return dict(counts)

    def _rows(self) -> Iterator[Row]:
        for manifest in self._manifests():
            for name in manifest.files:
                path = os.path.join(self._path, name)
                yield from _parquet(path) if name.endswith(".parquet") else _lines(path)


def _between(done: list[Interval], low: int, end: int) -> tuple[Interval, ...]:
    """What of a range is in none of these, which are in order."""
    missing = []
    for start, until in [*done, (end, end)]:
        if start > low:
            missing.append((low, start))
        low = max(low, until)
    return tuple(missing)


def _lines(path: str) -> Iterator[Row]:
    decode = msgspec.json.Decoder(ReadLine).decode
    with open(path, "rb") as file:
        for line in map(decode, file):
            yield line.device_id, epoch_ms(datetime.fromisoformat(line.timestamp))


def _parquet(path: str) -> Iterator[Row]:
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(columns=["device_id", "timestamp"]):
            times = batch.column("timestamp").cast("int64").to_pylist()
            yield from zip(batch.column("device_id").to_pylist(), times, strict=True)
