"""Fetches the messages of a job's devices: first the job's range, then what arrives later.

The job knows nothing else of walking. This file decides how many requests run at once, and
what an error of one device means for the others.

Many devices are walked by one call, `Messages.batches_many` or `Messages.follow_many`, which
shares its requests among them. Failures of the service that pass are waited out in these calls
(D18). A lasting error of one device ends that device alone. A job that follows looks at such a
device again after an hour, unless the key gives no access to it.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import aclosing
from datetime import datetime
from typing import Final

from attrs import define, evolve, field

from ..config import Seconds
from ..errors import (
    EVERY_DEVICE,
    DeviceFailure,
    DevicesFailedError,
    ForbiddenError,
    IottlyError,
    StoreError,
)
from ..follow import FollowPace
from ..models import Cursor, MessageBatch
from ..models._time import from_epoch_ms
from ..models.message_batch import batch_of, rows_of
from ..resources import Messages
from ..resources.messages import TypeFilter

_log = logging.getLogger("iottly_async.ingest")

FATAL: Final = (*EVERY_DEVICE, StoreError)
"""Errors that every other device would meet too. They end the job."""

AGAIN_AFTER: Final = 3600.0
"""Seconds after which a job that follows looks again at a device that was given up."""


@define(kw_only=True)
class Fetcher:
    """Walks devices, each from its cursor, and passes their batches on.

    Attributes:
        messages: of the project.
        type: "all", "userdefined" or "iottlyagent".
        start: of the job's range, in milliseconds since the epoch; None for the oldest
            message.
        concurrency: requests at once, at most.
        patience: seconds for which failures that pass are waited out within the range; None
            is `Config.patience`.
        on_batch: takes a batch; returns once there is room for the next one.
        on_device_end: called when a device's walk ends: with its id, and its error or None.
        cursors: the cursor of each device after its last batch; none before the first.
    """

    messages: Messages
    type: TypeFilter
    start: int | None
    concurrency: int
    patience: Seconds | None
    on_batch: Callable[[MessageBatch], Awaitable[None]]
    on_device_end: Callable[[str, IottlyError | None], None]
    cursors: dict[str, Cursor]
    _failed: dict[str, IottlyError] = field(factory=dict, init=False)

    async def fetch_range(self, devices: Sequence[str], end: datetime) -> None:
        """Walk all devices up to `end`. Batches come in no order.

        Raises:
            IottlyError: one of `FATAL`, or what `on_batch` raised. Any other error ends the
                walk of its device alone.
        """
        batches = self.messages.batches_many(
            devices,
            start=None if self.start is None else from_epoch_ms(self.start),
            end=end,
            type=self.type,
            concurrency=self.concurrency,
            cursors={one: self.cursors[one] for one in devices if one in self.cursors},
            on_bad_row="skip",
            patience=self.patience,
            on_failure=self._give_up,
        )
        try:
            async with aclosing(batches):
                async for batch in batches:
                    await self._take(batch)
                    if batch.cursor.finished:
                        self.on_device_end(batch.cursor.device_id, None)
        except DevicesFailedError:
            pass  # each was noted when it was given up

    async def follow(self, devices: Sequence[str] | None, *, pace: FollowPace) -> None:
        """Follow devices from their cursors, without an end.

        It returns only if the key gives access to none of the devices.

        Args:
            devices: the devices to follow; None for all of the project, also those that
                are added later. Of a device that is added later, the whole range is read.
            pace: how often devices are polled.

        Raises:
            IottlyError: one of `FATAL`, or what `on_batch` raised.
        """
        refused = {one for one, error in self._failed.items() if isinstance(error, ForbiddenError)}
        if devices is not None and refused.issuperset(devices):
            return
        batches = self.messages.follow_many(
            devices,
            cursors={
                # Without an end, so that the walk can go on beyond it.
                device: evolve(cursor, end=None)
                for device, cursor in self.cursors.items()
            },
            # A follower takes None for now, so the oldest message is named by the epoch.
            start=from_epoch_ms(self.start or 0),
            type=self.type,
            concurrency=self.concurrency,
            on_bad_row="skip",
            pace=pace,
            skip=refused,
            empty=True,
            on_failure=self._give_up,
            again_after=AGAIN_AFTER,
        )
        try:
            async with aclosing(batches):
                async for batch in batches:
                    await self._take(batch)
                    self._recovered(batch.cursor.device_id)
        except DevicesFailedError:
            pass  # each was noted when it was given up

    def _give_up(self, device_id: str, failure: DeviceFailure) -> None:
        error = failure.error
        self._failed[device_id] = error
        _log.warning(
            "the job goes on without device %s: %s: %s", device_id, type(error).__name__, error
        )
        self.on_device_end(device_id, error)

    def _recovered(self, device_id: str) -> None:
        if self._failed.pop(device_id, None) is not None:
            _log.info("device %s, which was given up, is fetched again", device_id)
            self.on_device_end(device_id, None)

    async def _take(self, batch: MessageBatch) -> None:
        cursor = batch.cursor
        if cursor.start != self.start:
            # A device that was added later is followed from the epoch; see `follow`.
            cursor = evolve(cursor, start=self.start)
            batch = batch_of(rows_of(batch), cursor, batch.rejected)
        await self.on_batch(batch)
        self.cursors[cursor.device_id] = cursor
