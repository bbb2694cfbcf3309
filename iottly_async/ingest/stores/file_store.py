"""The base of the stores that keep their rows in files, and of their readers.

A file store has a state file beside its rows. It holds the plan, the cursors, and how much
of the rows counts. A flush goes in this order:

1. the rows are synced to the disk;
2. a line is appended to the state file (`state_log`), and synced.

So after a crash the state file never counts a row that is not on the disk. `open` removes
the rows that no state file counts, and the next run fetches them again.

`open` takes the store's lock, and creates nothing else that remains. The store's files are
created by `begin`, so that a job that is refused before leaves no empty store.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Generic, TypeVar

from ...errors import ConfigurationError, StoreError
from ..grid import TimeGrid
from .appendfile import os_errors_as
from .aside import check_aside, remove_asides, replace_file
from .base import Group, StoredState
from .devices import ListedDevice, StoredDevice, read_devices, stored_devices
from .lock import StoreLock
from .rejected_lines import RejectedMark
from .state_log import FileState, StateLog
from .thread import StoreThread

S = TypeVar("S", bound=FileState)


class FileStore(ABC, Generic[S]):
    """A store in files. Its methods run in a thread of its own, one after the other.

    Args:
        path: of the file or folder, as the user gave it.
        state_path: of the state file.
        lock_path: of the lock file.
        state: the state of a new store.
        thread: the thread's name.
    """

    uses_keys = True

    def __init__(
        self, path: str, *, state_path: str, lock_path: str, state: S, thread: str
    ) -> None:
        self.path = path
        self._state_path = state_path
        self._state = state
        self._log: StateLog[S] = StateLog(state_path)
        self._changed: dict[str, str] = {}  # cursors that are not in the state file
        self._new_plan: str | None = None
        self._listed: dict[str, ListedDevice] | None = None  # None before `keep_devices`
        self._lock = StoreLock(lock_path, repr(path))
        self._begun = False
        self._thread = StoreThread(thread)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.path!r})"

    async def open(self) -> StoredState:
        """Open the files and remove the rows that do not count (`Store.open`)."""
        return await self._thread.run(self._open)

    async def begin(self, plan: str) -> None:
        """Replace the plan (`Store.begin`)."""
        await self._thread.run(lambda: self._begin(plan))

    async def keep_devices(self, devices: Sequence[ListedDevice]) -> None:
        """Keep what the project lists, in a file (`Store`)."""
        await self._thread.run(lambda: self._keep_devices(devices))

    async def write(self, group: Group) -> Mapping[str, int]:
        """Write a group, which is durable after the next flush (`Store.write`)."""
        await self._thread.run(lambda: self._write(group))
        return {}

    async def flush(self) -> None:
        """Sync the rows, then the state file (`Store.flush`)."""
        await self._thread.run(self._flush)

    async def close(self) -> None:
        """Close the files (`Store.close`)."""
        await self._thread.close(self._close)

    def _close(self) -> None:
        self._close_files()
        self._log.close()
        self._lock.release()

    def _open(self) -> StoredState:
        with os_errors_as(ConfigurationError, f"store {self.path!r} cannot be opened"):
            check_aside(self._state_path)
            check_aside(self._devices_path)
            self._hold()
            remove_asides(self._state_path)
            remove_asides(self._devices_path)
            self._state = self._load()
            unreadable = self._unreadable()
        return StoredState(
            plan=self._state.plan, cursors=dict(self._state.cursors), unreadable=unreadable
        )

    def _hold(self) -> None:
        """Take the lock (`StoreLock.hold`)."""
        self._lock.hold()

    def _begin(self, plan: str) -> None:
        with os_errors_as(StoreError, f"store {self.path!r}"):
            self._create()
        self._begun = True
        self._state.plan = self._new_plan = plan
        self._flush()
        self._write_devices()

    def _keep_devices(self, devices: Sequence[ListedDevice]) -> None:
        self._listed = {one.device_id: one for one in devices}
        self._write_devices()

    def _write_devices(self) -> None:
        if self._listed is None:
            return
        path = self._devices_path
        with os_errors_as(StoreError, f"store {self.path!r}"):
            before = read_devices(path, self._decoded_devices)
            found = stored_devices(self._listed, before, self._state.cursors)
            replace_file(path, self._encoded_devices(found))

    def _write(self, group: Group) -> None:
        with os_errors_as(StoreError, f"store {self.path!r}"):
            self._add(group)
        for device_id, cursor in group.cursors.items():
            self._state.cursors[device_id] = self._changed[device_id] = cursor.to_json()
        if self._full():
            self._flush()

    def _flush(self) -> None:
        with os_errors_as(StoreError, f"store {self.path!r}"):
            self._sync_rows()
            self._log.save(self._state, plan=self._new_plan, cursors=self._changed)
        self._changed, self._new_plan = {}, None

    @property
    @abstractmethod
    def _devices_path(self) -> str:
        """The path of the file of devices."""

    @abstractmethod
    def _encoded_devices(self, devices: Sequence[StoredDevice]) -> bytes:
        """The content of the file of devices."""

    @abstractmethod
    def _decoded_devices(self, data: bytes) -> list[StoredDevice]:
        """The devices in such a content; raises `ValueError` if it is something else."""

    def _full(self) -> bool:
        """Whether so many rows are in memory that a flush is due."""
        return False

    @abstractmethod
    def _load(self) -> S:
        """Open the files that exist, remove the rows that do not count; return the state."""

    def _create(self) -> None:
        """Create the files, where that is not done when rows are written."""

    @abstractmethod
    def _unreadable(self) -> dict[str, set[str]]:
        """The keys of the rejected rows that are no messages, by device."""

    @abstractmethod
    def _add(self, group: Group) -> None:
        """Write a group's rows, or keep them in memory."""

    @abstractmethod
    def _sync_rows(self) -> None:
        """Make the rows durable, and count them in the state."""

    @abstractmethod
    def _close_files(self) -> None:
        """Close the files."""


class FileReader(ABC):
    """Reads rows in files, also while a job appends to them (`StoreReader`)."""

    async def state(self) -> StoredState:
        """The plan and the cursors (`StoreReader.state`)."""
        return await asyncio.to_thread(self._read_state)

    async def first(self) -> int | None:
        """The time of the oldest row (`StoreReader.first`)."""
        return await asyncio.to_thread(self._first)

    async def counts(self, grid: TimeGrid) -> dict[str, list[int]]:
        """The number of rows in each bin, by device (`StoreReader.counts`)."""
        return await asyncio.to_thread(self._counts, grid)

    async def rejected(self) -> dict[str, int]:
        """The number of rejected rows, by device (`StoreReader.rejected`)."""
        return await asyncio.to_thread(lambda: Counter(mark.device_id for mark in self._marks()))

    async def names(self) -> dict[str, str]:
        """The devices' names, by device id (`StoreReader.names`)."""
        devices = await asyncio.to_thread(self._devices)
        return {one.device_id: one.name for one in devices if one.name is not None}

    async def close(self) -> None:  # noqa: B027 - nothing to do is the usual case
        """Do nothing: no file stays open (`StoreReader.close`)."""

    @abstractmethod
    def _read_state(self) -> StoredState:
        """The plan and the cursors."""

    @abstractmethod
    def _first(self) -> int | None:
        """The time of the oldest row."""

    @abstractmethod
    def _counts(self, grid: TimeGrid) -> dict[str, list[int]]:
        """The number of rows in each bin, by device."""

    @abstractmethod
    def _marks(self) -> Iterable[RejectedMark]:
        """What the rejected lines say."""

    def _devices(self) -> Sequence[StoredDevice]:
        """The content of the file of devices. Empty (the default) if there is no such file."""
        return []
