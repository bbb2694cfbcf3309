"""Between the walks and the store: batches are gathered into groups, and who is too fast waits.

While one group is being written the next is gathered. Memory holds two groups at most,
plus a batch for each walk, however slow the store is: `Writer.put` returns only once there
is room, which is what slows the walks.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Final

from attrs import define, field

from ..models import Message, MessageBatch
from .progress import Meter
from .stores import Group, Rejected, Store
from .validate import sift

GROUP_ROWS: Final = 16_000
"""Rows at which a group is full."""
GROUP_BYTES: Final = 16 * 1024 * 1024
"""Bytes of payloads at which a group is full."""
_WORTH_ROWS: Final = 500  # rows; of many more the processor's cache no longer has all
_WAIT_AT_MOST: Final = 1.0  # seconds; a store may take rows long before it flushes them


@define
class _Gathered:
    messages: list[Message] = field(factory=list)
    rejected: list[Rejected] = field(factory=list)
    last: dict[str, MessageBatch] = field(factory=dict)
    rows: dict[str, int] = field(factory=dict)
    bad: dict[str, int] = field(factory=dict)
    bytes: int = 0

    def add(self, batch: MessageBatch) -> None:
        good, bad = sift(batch.messages)
        device_id = batch.cursor.device_id
        self.messages += good
        self.rejected += bad
        self.last[device_id] = batch
        self.rows[device_id] = self.rows.get(device_id, 0) + len(good)
        self.bad[device_id] = self.bad.get(device_id, 0) + len(bad)
        self.bytes += sum(len(message.payload_json) for message in batch.messages)

    @property
    def size(self) -> int:
        return len(self.messages) + len(self.rejected)

    @property
    def full(self) -> bool:
        return self.size >= GROUP_ROWS or self.bytes >= GROUP_BYTES


class Writer:
    """Writes what the walks deliver.

    Args:
        store: open.
        meter: is told what was stored.
        flush_every: seconds after which what was put is durable, however little it is.
        plan: asked after each flush: a text for `Store.begin`, where there is a new one.
    """

    def __init__(
        self,
        store: Store,
        meter: Meter,
        *,
        flush_every: float,
        plan: Callable[[], str | None] = lambda: None,
    ) -> None:
        self._store = store
        self._plan = plan
        self._meter = meter
        self._every = flush_every
        self._worth: int = getattr(store, "group_rows", _WORTH_ROWS)
        self._gathered = _Gathered()
        self._work = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self._finishing = False
        self._flushed = asyncio.get_running_loop().time()
        self._dirty = False
        self._held_up = 0

    @property
    def holds_up(self) -> bool:
        """Whether a walk waits for room at this moment."""
        return self._held_up > 0

    async def put(self, batch: MessageBatch) -> None:
        """Take a batch; returns once it is gathered, not yet stored."""
        if not self._room.is_set():
            self._held_up += 1
            try:
                while not self._room.is_set():
                    await self._room.wait()
            finally:
                self._held_up -= 1
        gathered = self._gathered
        gathered.add(batch)
        self._meter.course(batch.cursor.device_id).saw(batch)
        self._meter.waiting += len(batch.messages)
        if gathered.full:
            self._room.clear()
        if gathered.size >= self._worth or gathered.full:
            self._work.set()

    def finish(self) -> None:
        """No batch will come any more: `run` returns once all is stored."""
        self._finishing = True
        self._work.set()

    async def run(self) -> None:
        """Write until `finish`; raises what the store raises."""
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
        gathered, self._gathered = self._gathered, _Gathered()
        if not self._finishing:
            self._work.clear()
        self._room.set()
        if not gathered.last:
            return
        cursors = {device_id: batch.cursor for device_id, batch in gathered.last.items()}
        group = Group(messages=gathered.messages, rejected=gathered.rejected, cursors=cursors)
        refused = await self._store.write(group)
        self._dirty = True
        self._account(gathered, refused)

    def _account(self, gathered: _Gathered, refused: Mapping[str, int]) -> None:
        meter = self._meter
        for device_id, batch in gathered.last.items():
            course = meter.courses[device_id]
            more = refused.get(device_id, 0)
            course.cursor = batch.cursor
            course.rows += gathered.rows[device_id] - more
            course.rejected += gathered.bad[device_id] + more
        more = sum(refused.values())
        meter.rows += len(gathered.messages) - more
        meter.rejected += len(gathered.rejected) + more
        meter.waiting -= gathered.size

    async def _flush(self, *, now: bool) -> None:
        time = asyncio.get_running_loop().time()
        if self._dirty and (now or time - self._flushed >= self._every / 2):
            await self._store.flush()
            self._dirty, self._flushed = False, time
            if (plan := self._plan()) is not None:
                await self._store.begin(plan)
