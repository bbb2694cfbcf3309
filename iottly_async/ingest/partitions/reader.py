"""Reads a folder of partitions: what their manifests cover, and the rows of their files."""

from __future__ import annotations

import os
from collections.abc import Iterator

from ...errors import ConfigurationError
from ...models import Cursor
from ...models.cursor import Interval
from ..grid import TimeGrid
from ..plan import IngestPlan, Query
from ..stores.appendfile import os_errors_as
from ..stores.base import StoredState
from ..stores.file_store import FileReader
from ..stores.jsonl.lines import times_of
from ..stores.rejected_lines import RejectedMark, dated, marks_of
from .folder_plan import read_plan
from .layout import REJECTED, check_layout, file_path, is_earlier, manifests_folder, plan_path
from .manifest import PartitionManifest
from .partition import windows_of

_BEGINNING = -(1 << 62)


class PartitionsReader(FileReader):
    """Reads what the partitions in a folder have stored.

    The range is that of the folder's plan and of all manifests. What no manifest of a device
    covers, and what failed, is missing.
    """

    def __init__(self, path: str) -> None:
        self._path = os.path.realpath(path)

    @classmethod
    def reads(cls, path: str) -> bool:
        """Whether `path` is a folder that partitions were planned for, or run into."""
        folder = os.path.realpath(path)
        state = (manifests_folder(folder), plan_path(folder))
        return is_earlier(folder) or any(map(os.path.exists, state))

    def _manifests(self) -> list[PartitionManifest]:
        with os_errors_as(ConfigurationError, f"folder {self._path!r} cannot be read"):
            folder = manifests_folder(self._path)
            names = sorted(os.listdir(folder)) if os.path.isdir(folder) else []
            found = [
                PartitionManifest.read(self._path, name.removesuffix(".json"))
                for name in names
                if name.endswith(".json")
            ]
        return [manifest for manifest in found if manifest is not None]

    def _read_state(self) -> StoredState:
        check_layout(self._path)
        manifests = self._manifests()
        plan = read_plan(self._path)
        windows = [window for one in manifests for window in one.partition.windows]
        projects = {one.partition.project for one in manifests}
        types = {one.partition.type for one in manifests}
        if plan is not None and plan.partitions:
            windows += [
                window for one in plan.partitions for window in windows_of(one.device_id, one.edges)
            ]
            projects |= {source.project for source in plan.sources}
            types.add(plan.division.type)
        if not windows:
            return StoredState(plan=None, cursors={})
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
            project_id=", ".join(sorted(projects)),
            type=", ".join(sorted(types)),
            start=None if low == _BEGINNING else low,
        )
        return StoredState(
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

    def _first(self) -> int | None:
        return min((time for _, time in self._rows()), default=None)

    def _counts(self, grid: TimeGrid) -> dict[str, list[int]]:
        return grid.counts((device, grid.bin_of(time), 1) for device, time in self._rows())

    def _rows(self) -> Iterator[tuple[str, int]]:
        for path in self._files():
            if path.endswith(".parquet"):
                yield from _parquet(path)
            elif not path.endswith(f".{REJECTED}"):
                with open(path, "rb") as file:
                    yield from times_of(file)
        yield from dated(self._marks())

    def _marks(self) -> Iterator[RejectedMark]:
        for path in self._files():
            if path.endswith(f".{REJECTED}"):
                with open(path, "rb") as file:
                    yield from marks_of(file)

    def _files(self) -> Iterator[str]:
        for manifest in self._manifests():
            for name in manifest.files:
                yield file_path(self._path, name)


def _between(done: list[Interval], low: int, end: int) -> tuple[Interval, ...]:
    """The intervals of a range that lie in none of `done`, which is in order."""
    missing = []
    for start, until in [*done, (end, end)]:
        if start > low:
            missing.append((low, start))
        low = max(low, until)
    return tuple(missing)


def _parquet(path: str) -> Iterator[tuple[str, int]]:
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        if not file.num_row_groups:
            return  # pyarrow before 20 cannot iterate over an empty file
        for batch in file.iter_batches(columns=["device_id", "timestamp"]):
            times = batch.column("timestamp").cast("int64").to_pylist()
            yield from zip(batch.column("device_id").to_pylist(), times, strict=True)
