"""The base of the stores that keep their rows in files, and of their readers.

A file store has a state file beside its rows. It holds the plan, the cursors, and how much
of the rows counts. A flush goes in this order:

1. the rows are synced to the disk;
2. a new state file replaces the old one.

So after a crash the state file never counts a row that is not on the disk. `open` removes
the rows that no state file counts, and the next run fetches them again.

`open` takes the store's lock, and creates nothing else that remains. The store's files are
created by `begin`, so that a job that is refused before leaves no empty store.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Generic, TypeVar

import msgspec

from ...errors import ConfigurationError, StoreError
from ..grid import TimeGrid
from .appendfile import os_errors_as
from .aside import remove_asides, replace_file
from .base import Group, StoredState
from .lock import StoreLock
from .rejected_lines import RejectedMark
from .thread import StoreThread


class FileState(msgspec.Struct, kw_only=True):
    """What every state file holds.

    Attributes:
        version: of the store's format.
        plan: the last plan; None before the first.
        cursors: `Cursor.to_json` texts by device id.
    """

    version: int
    plan: str | None = None
    cursors: dict[str, str] = msgspec.field(default_factory=dict)


S = TypeVar("S", bound=FileState)


def read_state(path: str, form: type[S], *, version: int) -> S | None:
    """The state in a file; None if there is no such file.

    Raises:
        ConfigurationError: the file is not such a state, or has another version.
        OSError: the file cannot be read.
    """
    try:
        with open(path, "rb") as file:
            state = msgspec.json.decode(file.read(), type=form)
    except FileNotFoundError:
        return None
    except (ValueError, RecursionError):
        state = None
    if state is None or state.version != version:
        raise ConfigurationError(
            f"{path!r} is not a state file of version {version}, which this library reads and "
            "writes; name another store"
        )
    return state


class FileStore(ABC, Generic[S]):
    """A store in files. Its methods run in a thread of its own, one after the other.

    Args:
        path: of the file or folder, as the user gave it.
        state_path: of the state file.
        lock_path: of the lock file.
        state: the state of a new store.
        thread: the thread's name.
    """

    def __init__(
        self, path: str, *, state_path: str, lock_path: str, state: S, thread: str
    ) -> None:
        self.path = path
        self._state_path = state_path
        self._state = state
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

    async def write(self, group: Group) -> Mapping[str, int]:
        """Write a group, which is durable after the next flush (`Store.write`)."""
        await self._thread.run(lambda: self._write(group))
        return {}

    async def flush(self) -> None:
        """Sync the rows, then replace the state file (`Store.flush`)."""
        await self._thread.run(self._flush)

    async def close(self) -> None:
        """Close the files (`Store.close`)."""
        await self._thread.close(self._close)

    def _close(self) -> None:
        self._close_files()
        self._lock.release()

    def _open(self) -> StoredState:
        with os_errors_as(ConfigurationError, f"store {self.path!r} cannot be opened"):
            self._hold()
            remove_asides(self._state_path)
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
        self._state.plan = plan
        self._flush()

    def _write(self, group: Group) -> None:
        with os_errors_as(StoreError, f"store {self.path!r}"):
            self._add(group)
        for device_id, cursor in group.cursors.items():
            self._state.cursors[device_id] = cursor.to_json()
        if self._full():
            self._flush()

    def _flush(self) -> None:
        with os_errors_as(StoreError, f"store {self.path!r}"):
            self._sync_rows()
            replace_file(self._state_path, msgspec.json.encode(self._state))

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
