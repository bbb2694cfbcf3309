"""After the range: new messages of all devices, as they come, until the job is stopped.

The follower ends with the first error that will not pass, and does not say whose it is.
So each device is then walked on its own, from where it stands, as after an error in the
range: the one that has the error is left out, and the others are followed again.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import aclosing
from datetime import datetime
from typing import Final

from attrs import define, evolve

from ..errors import IottlyError
from ..models import Cursor, MessageBatch
from ..resources import Messages
from ..resources.messages import TypeFilter
from .fetch import FATAL, Deliver, Ended
from .plan import time_of
from .together import run_together

_log = logging.getLogger("iottly_async")

_FASTEST: Final = 1.0  # seconds between two looks at a device, at least


@define(kw_only=True)
class Followers:
    """Follows devices, each from its cursor on.

    Attributes:
        devices: which ones; None is every device of the project, also those to come.
        listed: the devices that the project has now.
        start: of the range, in milliseconds; None for the beginning. A device that comes
            to the project is read from there on.
        slowest: seconds between two looks at a device, at most.
        cursors: where each device goes on; kept up to date.
        failed: devices to leave out.
        deliver: takes a batch; returns once there is room for the next one.
        ended: told that a device failed.
    """

    messages: Messages
    devices: Sequence[str] | None
    listed: Callable[[], Awaitable[list[str]]]
    start: int | None
    type: TypeFilter
    concurrency: int
    slowest: float
    cursors: dict[str, Cursor]
    failed: set[str]
    deliver: Deliver
    ended: Ended

    async def run(self) -> None:
        """Follow, without end.

        Raises:
            IottlyError: one of `FATAL`, what `deliver` raised, or an error that no device
                shows when it is walked on its own.
        """
        while self.devices is None or set(self.devices) - self.failed:
            try:
                await self._follow()
            except FATAL:
                raise
            except IottlyError as error:
                before = len(self.failed)
                await self._find_out()
                if len(self.failed) == before:
                    raise
                _log.warning("following goes on without %d devices: %s", len(self.failed), error)

    async def _follow(self) -> None:
        batches = self.messages.follow_many(
            self.devices,
            cursors={device: _open(cursor) for device, cursor in self.cursors.items()},
            start=self._from,
            type=self.type,
            concurrency=self.concurrency,
            fastest=min(_FASTEST, self.slowest),
            slowest=self.slowest,
            skip=self.failed,
            empty=True,
        )
        async with aclosing(batches):
            async for batch in batches:
                await self._take(batch)

    async def _find_out(self) -> None:
        """Walk each device to the present; note those that fail."""
        devices = await self.listed() if self.devices is None else self.devices
        waiting = iter([device_id for device_id in devices if device_id not in self.failed])

        async def work() -> None:
            for device_id in waiting:
                cursor = self.cursors.get(device_id)
                batches = self.messages.batches(
                    device_id,
                    start=self._from if cursor is None else None,
                    type=self.type,
                    cursor=None if cursor is None else _open(cursor),
                )
                try:
                    async with aclosing(batches):
                        async for batch in batches:
                            await self._take(batch)
                except FATAL:
                    raise
                except IottlyError as error:
                    self.failed.add(device_id)
                    await self.ended(device_id, error)

        await run_together([work() for _ in range(self.concurrency)])

    @property
    def _from(self) -> datetime | None:
        # None would mean the present, to a follower.
        return time_of(self.start or 0)

    async def _take(self, batch: MessageBatch) -> None:
        cursor = batch.cursor
        if cursor.start != self.start:
            # A device that came later was followed from the epoch on, for want of a beginning.
            cursor = evolve(cursor, start=self.start)
            batch = evolve(batch, cursor=cursor)
        await self.deliver(batch)
        self.cursors[cursor.device_id] = cursor


def _open(cursor: Cursor) -> Cursor:
    """A cursor to go on with beyond the end of the walk that it is of."""
    return evolve(cursor, end=None)
