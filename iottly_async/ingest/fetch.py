"""The walks of a job: all devices, some at once.

`walk_devices` is all that the job knows of walking: in which order the devices come, and
how many requests are under way for each, is decided here.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
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
class FetchRange:
    """What is the same for all devices: as `Messages.batches` takes it."""

    start: datetime | None
    end: datetime
    type: TypeFilter


async def walk_devices(
    messages: Messages,
    walks: Sequence[DeviceWalk],
    over: FetchRange,
    *,
    concurrency: int,
    deliver: Deliver,
    ended: Ended,
) -> None:
    """Walk all devices, with `concurrency` requests at once, at most.

    Batches come in no order. A pool of requests serves all devices, so that a large one is
    shared out at the end; an error in it does not tell whose it is, so that each device
    that has not ended is then walked on its own, from where it stands.

    Raises:
        IottlyError: one of `FATAL`, or what `deliver` raised; any other error ends the
            walk of its device alone and is given to `ended`.
    """
    standing = {walk.device_id: walk.cursor for walk in walks}

    async def take(batch: MessageBatch) -> None:
        await deliver(batch)
        standing[batch.cursor.device_id] = batch.cursor

    try:
        await _pool(messages, standing, over, concurrency, take, ended)
    except FATAL:
        raise
    except IottlyError:
        rest = {
            device_id: cursor
            for device_id, cursor in standing.items()
            if cursor is None or not cursor.finished
        }
        await _each(messages, rest, over, concurrency, take, ended)


async def _pool(
    messages: Messages,
    standing: Mapping[str, Cursor | None],
    over: FetchRange,
    concurrency: int,
    take: Deliver,
    ended: Ended,
) -> None:
    batches = messages.batches_many(
        list(standing),
        start=over.start,
        end=over.end,
        type=over.type,
        concurrency=concurrency,
        cursors={device_id: cursor for device_id, cursor in standing.items() if cursor},
    )
    async with aclosing(batches):
        async for batch in batches:
            await take(batch)
            if batch.cursor.finished:
                await ended(batch.cursor.device_id, None)


async def _each(
    messages: Messages,
    standing: Mapping[str, Cursor | None],
    over: FetchRange,
    concurrency: int,
    take: Deliver,
    ended: Ended,
) -> None:
    waiting = iter(standing.items())
    workers = min(concurrency, len(standing))

    async def work() -> None:
        for device_id, cursor in waiting:
            batches = messages.batches(
                device_id, start=over.start, end=over.end, type=over.type, cursor=cursor
            )
            try:
                async with aclosing(batches):
                    async for batch in batches:
                        await take(batch)
            except FATAL:
                raise
            except IottlyError as error:
                await ended(device_id, error)
            else:
                await ended(device_id, None)

    await run_together([work() for _ in range(workers)])
