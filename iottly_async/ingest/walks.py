"""The walks of a job: all devices, some at once.

`walk_devices` is all that the job knows of walking. What it hands on is a batch and the
device that it is of; in which order the devices come, and how many requests are under way
for each, is decided here.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import aclosing
from datetime import datetime
from typing import Final

from attrs import frozen

from ..errors import (
    ConfigurationError,
    IottlyError,
    SessionClosedError,
    StoreError,
    UnauthorizedError,
)
from ..models import Cursor, MessageBatch
from ..resources import Messages
from ..resources.messages import TypeFilter
from .together import run_together

Deliver = Callable[[MessageBatch], Awaitable[None]]
"""Takes a batch; returns once there is room for the next one."""

Ended = Callable[[str, IottlyError | None], Awaitable[None]]
"""Told that a device's walk came to its end, or to an error."""

FATAL: Final = (UnauthorizedError, SessionClosedError, StoreError, ConfigurationError)
"""Errors after which no other device would fare better."""


@frozen(kw_only=True)
class DeviceWalk:
    """What is to be walked of one device.

    Attributes:
        device_id: of the device.
        cursor: where to go on; None for the beginning.
    """

    device_id: str
    cursor: Cursor | None


@frozen(kw_only=True)
class Range:
    """What is the same for all devices: as `Messages.batches` takes it."""

    start: datetime | None
    end: datetime
    type: TypeFilter


async def walk_devices(
    messages: Messages,
    walks: Sequence[DeviceWalk],
    over: Range,
    *,
    concurrency: int,
    deliver: Deliver,
    ended: Ended,
) -> None:
    """Walk all devices, with `concurrency` requests at once, at most.

    Where there are fewer devices than that, each has its share of them, and its batches
    come in any order of time.

    Raises:
        IottlyError: one of `FATAL`, or what `deliver` raised; any other error ends the
            walk of its device alone and is given to `ended`.
    """
    if not walks:
        return
    waiting = iter(walks)
    workers = min(concurrency, len(walks))
    share = concurrency // workers

    async def work() -> None:
        for walk in waiting:
            try:
                await _walk(messages, walk, over, share, deliver)
            except FATAL:
                raise
            except IottlyError as error:
                await ended(walk.device_id, error)
            else:
                await ended(walk.device_id, None)

    await run_together([work() for _ in range(workers)])


async def _walk(
    messages: Messages, walk: DeviceWalk, over: Range, concurrency: int, deliver: Deliver
) -> None:
    batches = messages.batches(
        walk.device_id,
        start=over.start,
        end=over.end,
        type=over.type,
        concurrency=concurrency,
        ordered=False,
        cursor=walk.cursor,
    )
    async with aclosing(batches):
        async for batch in batches:
            await deliver(batch)
