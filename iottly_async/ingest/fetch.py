"""Fetches the messages of a job's devices: first the job's range, then what arrives later.

The job knows nothing else of walking. This file decides in which order devices are walked,
how many requests run at once, and what an error of one device means for the others.

Many devices are walked by one call, `Messages.batches_many` or `Messages.follow_many`, which
shares its requests among them. An error of one device ends that device alone. If another error
ends the call, each device is walked alone, from its cursor. A device that fails again has the
error; the others go on.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from datetime import datetime
from typing import Final, TypeAlias

from attrs import define, evolve, field

from ..aio.tasks import run_together
from ..errors import (
    ConfigurationError,
    DeviceFailure,
    DevicesFailedError,
    IottlyError,
    SessionClosedError,
    StoreError,
    UnauthorizedError,
)
from ..follow import FollowPace
from ..models import Cursor, MessageBatch
from ..models._time import from_epoch_ms
from ..resources import Messages
from ..resources.messages import TypeFilter

_log = logging.getLogger("iottly_async")

FATAL: Final = (UnauthorizedError, SessionClosedError, StoreError, ConfigurationError)
"""Errors that every other device would meet too. They end the job."""

Batches: TypeAlias = AsyncGenerator[MessageBatch, None]


@define(kw_only=True)
class Fetcher:
    """Walks devices, each from its cursor, and passes their batches on.

    Attributes:
        messages: of the project.
        type: "all", "userdefined" or "iottlyagent".
        start: of the job's range, in milliseconds since the epoch; None for the oldest
            message.
        concurrency: requests at once, at most.
        on_batch: takes a batch; returns once there is room for the next one.
        on_device_end: called when a device's walk ends: with its id, and its error or None.
        cursors: the cursor of each device after its last batch; none before the first.
        failed: the devices whose walk ended in an error. They are not followed.
    """

    messages: Messages
    type: TypeFilter
    start: int | None
    concurrency: int
    on_batch: Callable[[MessageBatch], Awaitable[None]]
    on_device_end: Callable[[str, IottlyError | None], None]
    cursors: dict[str, Cursor]
    failed: set[str] = field(factory=set)

    # --- the range -----------------------------------------------------------------------

    async def fetch_range(self, devices: Sequence[str], end: datetime) -> None:
        """Walk all devices up to `end`. Batches come in no order.

        Raises:
            IottlyError: one of `FATAL`, or what `on_batch` raised. Any other error ends the
                walk of its device alone.
        """
        start = _time_of(self.start)

        def walk(device_id: str) -> Batches:
            cursor = self.cursors.get(device_id)
            return self.messages.batches(
                device_id, start=start, end=end, type=self.type, cursor=cursor
            )

        try:
            batches = self.messages.batches_many(
                devices,
                start=start,
                end=end,
                type=self.type,
                concurrency=self.concurrency,
                cursors={one: self.cursors[one] for one in devices if one in self.cursors},
            )
            async with aclosing(batches):
                async for batch in batches:
                    await self._take(batch)
                    if batch.cursor.finished:
                        self.on_device_end(batch.cursor.device_id, None)
        except FATAL:
            raise
        except DevicesFailedError as failed:
            for device_id, failure in failed.failures.items():
                self._gave_up(device_id, failure)
        except IottlyError:
            await self._walk_each([one for one in devices if not self._finished(one)], walk)

    def _finished(self, device_id: str) -> bool:
        cursor = self.cursors.get(device_id)
        return cursor is not None and cursor.finished

    # --- what arrives later --------------------------------------------------------------

    async def follow(
        self,
        devices: Sequence[str] | None,
        list_devices: Callable[[], Awaitable[list[str]]],
        *,
        pace: FollowPace,
    ) -> None:
        """Follow devices from their cursors, without an end.

        It returns only if all named devices have failed.

        Args:
            devices: the devices to follow; None for all of the project, also those that
                are added later. Of a device that is added later, the whole range is read.
            list_devices: lists the project's devices now.
            pace: how often devices are polled.

        Raises:
            IottlyError: one of `FATAL`, what `on_batch` raised, or an error that no device
                shows when it is walked alone.
        """
        while devices is None or set(devices) - self.failed:
            try:
                await self._follow_all(devices, pace)
            except FATAL:
                raise
            except DevicesFailedError:
                return  # each was noted when it was given up
            except IottlyError as error:
                before = len(self.failed)
                present = await list_devices() if devices is None else devices
                remaining = [one for one in present if one not in self.failed]
                await self._walk_each(remaining, self._walk_to_now)
                if len(self.failed) == before:
                    raise
                _log.warning("following goes on without %d devices: %s", len(self.failed), error)

    async def _follow_all(self, devices: Sequence[str] | None, pace: FollowPace) -> None:
        batches = self.messages.follow_many(
            devices,
            cursors={device: _open_ended(cursor) for device, cursor in self.cursors.items()},
            start=self._follow_start,
            type=self.type,
            concurrency=self.concurrency,
            pace=pace,
            skip=self.failed,
            empty=True,
            on_failure=self._gave_up,
        )
        async with aclosing(batches):
            async for batch in batches:
                await self._take(batch)

    def _walk_to_now(self, device_id: str) -> Batches:
        cursor = self.cursors.get(device_id)
        return self.messages.batches(
            device_id,
            start=self._follow_start if cursor is None else None,
            type=self.type,
            cursor=None if cursor is None else _open_ended(cursor),
        )

    @property
    def _follow_start(self) -> datetime:
        # A follower takes None for now, so the oldest message is named by the epoch.
        return from_epoch_ms(self.start or 0)

    def _gave_up(self, device_id: str, failure: DeviceFailure) -> None:
        self.failed.add(device_id)
        self.on_device_end(device_id, failure.error)

    # --- both ----------------------------------------------------------------------------

    async def _walk_each(self, devices: Sequence[str], walk: Callable[[str], Batches]) -> None:
        """Walk each device alone, some at the same time; note those that fail."""
        waiting = iter(devices)

        async def work() -> None:
            for device_id in waiting:
                try:
                    async with aclosing(walk(device_id)) as batches:
                        async for batch in batches:
                            await self._take(batch)
                except FATAL:
                    raise
                except IottlyError as error:
                    self.failed.add(device_id)
                    self.on_device_end(device_id, error)
                else:
                    self.on_device_end(device_id, None)

        await run_together([work() for _ in range(min(self.concurrency, len(devices)))])

    async def _take(self, batch: MessageBatch) -> None:
        cursor = batch.cursor
        if cursor.start != self.start:
            # A device that was added later is followed from the epoch; see `_follow_start`.
            cursor = evolve(cursor, start=self.start)
            batch = evolve(batch, cursor=cursor)
        await self.on_batch(batch)
        self.cursors[cursor.device_id] = cursor


def _open_ended(cursor: Cursor) -> Cursor:
    """The cursor without an end, so that a walk can go on beyond it."""
    return evolve(cursor, end=None)


def _time_of(ms: int | None) -> datetime | None:
    return None if ms is None else from_epoch_ms(ms)
