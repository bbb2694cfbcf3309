"""Collects the rows of many small batches, so that columns are made of many rows at once.

A page has a hundred rows, and the fixed cost of columns is that of a thousand. So rows are
collected until they are `MOST_ROWS`, but for no longer than `LONGEST` seconds: at 60 requests a
minute, a record batch must not hold a minute's quota.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Final

from ..aio.tasks import TaskGroup
from ..models import Cursor, MessageBatch
from ..models.message_batch import rows_of
from ..models.row import MessageRow

MOST_ROWS: Final = 10_000
"""Rows that are yielded together, at most, if no batch has more."""

LONGEST: Final = 1.0
"""Seconds that rows are collected, at most."""

Collected = tuple[list[MessageRow], dict[str, Cursor]]
"""Rows, and the cursor that follows them, by the id of each device that they are of."""


class Collector:
    """Reads batches ahead, and hands out their rows together."""

    def __init__(self) -> None:
        self.due = False
        self._rows: list[MessageRow] = []
        self._cursors: dict[str, Cursor] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._changed = asyncio.Event()
        self._room = asyncio.Event()

    async def collect(
        self, batches: AsyncGenerator[MessageBatch, None]
    ) -> AsyncGenerator[Collected, None]:
        """Yield the rows of `batches`, with the cursors that follow them.

        Raises:
            IottlyError: what `batches` raised, after all rows before it.
        """
        try:
            async with TaskGroup() as tasks:
                self._changed = tasks.changed
                tasks.start(self._read(batches))
                while len(tasks) or self._cursors:
                    if len(tasks) and not self.due:
                        await tasks.wait()
                    elif self._cursors:
                        yield self._take()
                if tasks.error is not None:
                    raise tasks.error
        finally:
            await batches.aclose()

    async def _read(self, batches: AsyncGenerator[MessageBatch, None]) -> None:
        loop = asyncio.get_running_loop()
        async for batch in batches:
            self._rows += rows_of(batch)
            self._cursors[batch.cursor.device_id] = batch.cursor
            if self._timer is None:
                self._timer = loop.call_later(LONGEST, self._end)
            if len(self._rows) >= MOST_ROWS:
                self._end()
                self._room.clear()
                await self._room.wait()

    def _end(self) -> None:
        self.due = True
        self._changed.set()

    def _take(self) -> Collected:
        collected = self._rows, self._cursors
        self._rows, self._cursors = [], {}
        self.due = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._room.set()
        return collected
