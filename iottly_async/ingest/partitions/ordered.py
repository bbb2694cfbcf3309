"""Many windows walked at once, and handed out one after the other, in order."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from typing import Final, TypeAlias

from ...aio.tasks import cancel_and_wait
from ...errors import IottlyError
from ...models import Message
from ...models._time import from_epoch_ms
from ...resources import Messages
from ...resources.messages import TypeFilter
from ...retry import is_passing
from ..fetch import FATAL
from .partition import PartitionInterval

_AHEAD: Final = 16  # batches that a window may be ahead of its turn

Failed: TypeAlias = Callable[[PartitionInterval, IottlyError], None]


class _IntervalQueue:
    """One window's batches on their way to whoever takes them in order."""

    def __init__(self) -> None:
        self._batches: asyncio.Queue[list[Message] | None] = asyncio.Queue()
        self._room = asyncio.Semaphore(_AHEAD)

    async def put(self, batch: list[Message]) -> None:
        """Add a batch, when there is room."""
        await self._room.acquire()
        self._batches.put_nowait(batch)

    def end(self) -> None:
        """No batch will come any more."""
        self._batches.put_nowait(None)

    async def get(self) -> list[Message] | None:
        """The next batch; None at the end."""
        batch = await self._batches.get()
        self._room.release()
        return batch


async def in_order(
    messages: Messages,
    windows: Sequence[PartitionInterval],
    *,
    type: TypeFilter,  # noqa: A002 - the API's own name
    concurrency: int,
    failed: Failed,
) -> AsyncGenerator[list[Message], None]:
    """The messages of all windows, in the order of the windows and of time.

    So many windows are walked at once, of which all but the first wait when they are 16
    batches ahead: memory holds 1,600 messages for each, whatever the windows' sizes.

    Args:
        failed: told of a window that has an error of its own, which ends that window.

    Raises:
        IottlyError: an error that may pass, or one that all other windows share.
    """
    rest = iter(windows)
    walks: deque[tuple[asyncio.Task[None], _IntervalQueue]] = deque()

    def start() -> None:
        window = next(rest, None)
        if window is not None:
            lane = _IntervalQueue()
            walk = asyncio.ensure_future(_walk(messages, window, type, lane.put, failed))
            # However it ends: whoever waits is told, and then finds the error in the task.
            walk.add_done_callback(lambda _: lane.end())
            walks.append((walk, lane))

    try:
        for _ in range(concurrency):
            start()
        while walks:
            walk, lane = walks[0]
            while (batch := await lane.get()) is not None:
                yield batch
            await walk
            walks.popleft()
            start()
    finally:
        await cancel_and_wait([walk for walk, _ in walks])


async def _walk(
    messages: Messages,
    window: PartitionInterval,
    type: TypeFilter,  # noqa: A002
    put: Callable[[list[Message]], Awaitable[None]],
    failed: Failed,
) -> None:
    batches = messages.batches(
        window.device_id,
        start=None if window.start is None else from_epoch_ms(window.start),
        end=from_epoch_ms(window.end),
        type=type,
    )
    try:
        async with aclosing(batches):
            async for batch in batches:
                if batch.messages:
                    await put(batch.messages)
    except FATAL:
        raise
    except IottlyError as error:
        if is_passing(error):
            raise
        failed(window, error)
