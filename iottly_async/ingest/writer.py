"""Between the walks and the store: collects batches into groups, and writes these.

While one group is written, the next is collected. `Writer.put` returns only once there is
room, which slows the walks down to the store's pace. So memory holds two groups at most,
and one batch for each walk, however slow the store is.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

from attrs import define, field

from ..models import MessageBatch
from ..models.message_batch import rows_of
from ..models.row import MessageRow
from .payload_columns import ColumnTypes
from .progress import Meter
from .stores import Rejected, Store
from .stores.base import StoreWithColumns, group_of
from .validate import validate

GROUP_ROWS: Final = 16_000
"""The rows at which a group is full."""
GROUP_BYTES: Final = 16 * 1024 * 1024
"""The bytes of payloads at which a group is full."""
_WORTH_ROWS: Final = 500  # rows; more of them no longer fit the processor's cache
_QUOTA_SHARE: Final = 10  # a flush is due after this part of a window's requests
_WAIT_AT_MOST: Final = 1.0  # seconds; a store may take rows long before it flushes them


@define
class _PendingGroup:
    """A group that is being collected."""

    rows: list[MessageRow] = field(factory=list)
    rejected: list[Rejected] = field(factory=list)
    last: dict[str, MessageBatch] = field(factory=dict)
    rows_by_device: dict[str, int] = field(factory=dict)
    rejected_by_device: dict[str, int] = field(factory=dict)
    bytes: int = 0

    def add(
        self,
        batch: MessageBatch,
        bad_rows: list[Rejected],
        *,
        hashed: bool,
        note: Callable[[Sequence[Any]], None] | None,
    ) -> None:
        """Validate a batch and add it, with those of its rows that are no messages.

        Args:
            batch: of a walk.
            bad_rows: its rows that are no messages.
            hashed: as in `validate`.
            note: as in `validate`.
        """
        arrived = rows_of(batch)
        valid, rejected = validate(arrived, hashed=hashed, note=note)
        rejected += bad_rows
        device_id = batch.cursor.device_id
        self.rows += valid
        self.rejected += rejected
        self.last[device_id] = batch
        rows, bad = self.rows_by_device, self.rejected_by_device
        rows[device_id] = rows.get(device_id, 0) + len(valid)
        bad[device_id] = bad.get(device_id, 0) + len(rejected)
        self.bytes += sum([len(row.payload) for row in arrived])
        self.bytes += sum(len(row.raw or b"") for row in bad_rows)

    @property
    def size(self) -> int:
        """The number of messages, rejected ones included."""
        return len(self.rows) + len(self.rejected)

    @property
    def full(self) -> bool:
        """Whether walks must wait until it is written."""
        return self.size >= GROUP_ROWS or self.bytes >= GROUP_BYTES


class Writer:
    """Writes the batches of the walks to a store.

    Args:
        store: an open store.
        meter: counts what was stored.
        flush_every: seconds after which a batch that was put is durable, at the latest.
        quota: returns the requests that the quota allows in a window, or None if that is not
            limited or not known. A flush is due once a tenth of them have brought batches.
        plan: called after each flush; returns a new text for `Store.begin`, or None.
        unreadable: of `StoredState`: rows that are no messages and are stored already. None,
            the default, is an empty store's.
        types: finds the types of typed columns. None, the default, if the store has none.
    """

    def __init__(
        self,
        store: Store,
        meter: Meter,
        *,
        flush_every: float,
        quota: Callable[[], int | None] = lambda: None,
        plan: Callable[[], str | None] = lambda: None,
        unreadable: Mapping[str, Collection[str]] | None = None,
        types: ColumnTypes | None = None,
    ) -> None:
        self._store = store
        self._plan = plan
        self._unreadable = {device: set(keys) for device, keys in (unreadable or {}).items()}
        self._types = types
        self._meter = meter
        self._every = flush_every
        self._quota = quota
        self._batches = 0  # that are not durable
        self._batches_written = 0  # of these, that the store has
        self._worth: int = getattr(store, "group_rows", _WORTH_ROWS)
        self._hashed: bool = getattr(store, "uses_keys", False)
        self._pending = _PendingGroup()
        self._writing = _PendingGroup()
        meter.unstored = lambda: self._pending.size + self._writing.size
        self._work = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self._finishing = False
        self._flushed = asyncio.get_running_loop().time()
        self._dirty = False
        self._blocked = 0

    @property
    def blocks(self) -> bool:
        """Whether a walk waits for room now."""
        return self._blocked > 0

    async def put(self, batch: MessageBatch) -> None:
        """Add a batch. It is collected on return, but not yet stored."""
        if not self._room.is_set():
            self._blocked += 1
            try:
                while not self._room.is_set():
                    await self._room.wait()
            finally:
                self._blocked -= 1
        pending = self._pending
        bad_rows = self._bad_rows(batch) if batch.rejected else []
        note = None if self._types is None else self._types.note
        pending.add(batch, bad_rows, hashed=self._hashed, note=note)
        self._meter.fetched(batch)
        if pending.full:
            self._room.clear()
        self._batches += 1
        if pending.size >= self._worth or pending.full or self._costly:
            self._work.set()

    @property
    def _costly(self) -> bool:
        """Whether a kill now would repeat a tenth of a window's requests."""
        limit = self._quota()
        return limit is not None and self._batches >= max(1, limit // _QUOTA_SHARE)

    def _bad_rows(self, batch: MessageBatch) -> list[Rejected]:
        """The rows of a batch that are no messages, without those that are stored already."""
        device_id = batch.cursor.device_id
        known = self._unreadable.setdefault(device_id, set())
        found = []
        for row in batch.rejected:
            rejected = Rejected.of_row(row, device_id)
            if rejected.key not in known:
                known.add(rejected.key)
                found.append(rejected)
        return found

    def finish(self) -> None:
        """Say that no batch follows. `run` then returns once everything is stored."""
        self._finishing = True
        self._work.set()

    async def run(self) -> None:
        """Write until `finish`.

        Raises:
            StoreError: the store failed.
        """
        while True:
            if not self._finishing:
                with suppress(TimeoutError):
                    async with asyncio.timeout(min(self._every, _WAIT_AT_MOST) / 2):
                        await self._work.wait()
            finishing = self._finishing
            await self._write()
            await self._flush(now=finishing)
            if finishing:
                return

    async def _write(self) -> None:
        pending = self._writing = self._pending
        self._batches_written = self._batches
        self._pending = _PendingGroup()
        if not self._finishing:
            self._work.clear()
        self._room.set()
        if not pending.last:
            return
        cursors = {device_id: batch.cursor for device_id, batch in pending.last.items()}
        group = group_of(pending.rows, rejected=pending.rejected, cursors=cursors)
        types = self._types
        if types is not None and types.changed and isinstance(self._store, StoreWithColumns):
            types.changed = False
            await self._store.keep_columns([*types.columns.values()])
        refused = await self._store.write(group)
        self._dirty = True
        self._count(pending, refused)
        self._writing = _PendingGroup()

    def _count(self, written: _PendingGroup, refused: Mapping[str, int]) -> None:
        for device_id, batch in written.last.items():
            more = refused.get(device_id, 0)
            self._meter.stored(
                device_id,
                batch.cursor,
                rows=written.rows_by_device[device_id] - more,
                rejected=written.rejected_by_device[device_id] + more,
            )

    async def _flush(self, *, now: bool) -> None:
        time = asyncio.get_running_loop().time()
        waiting = self._dirty or getattr(self._store, "awaits_flush", False)
        if waiting and (now or self._costly or time - self._flushed >= self._every / 2):
            await self._store.flush()
            self._dirty, self._flushed = False, time
            self._batches -= self._batches_written
            self._batches_written = 0
            if (plan := self._plan()) is not None:
                await self._store.begin(plan)
