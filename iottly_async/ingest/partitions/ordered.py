"""Walks many windows at the same time, and yields their messages in order."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from typing import Final, TypeAlias

from ...aio.tasks import cancel_and_wait
from ...config import Seconds
from ...errors import IottlyError
from ...models import MessageBatch
from ...models._time import from_epoch_ms
from ...models.message_batch import rows_of
from ...resources import Messages
from ...resources.messages import TypeFilter
from ...retry import is_passing
from ..fetch import FATAL
from .partition import PartitionInterval

_AHEAD: Final = 16  # batches that a window may have fetched before its messages are due

Failed: TypeAlias = Callable[[PartitionInterval, IottlyError], None]


class _IntervalQueue:
    """The batches of one window that are fetched and not yet yielded."""

    def __init__(self) -> None:
        self._batches: asyncio.Queue[MessageBatch | None] = asyncio.Queue()
        self._room = asyncio.Semaphore(_AHEAD)

    async def put(self, batch: MessageBatch) -> None:
        """Add a batch. Waits for room."""
        await self._room.acquire()
        self._batches.put_nowait(batch)

    def end(self) -> None:
        """Say that no batch follows."""
        self._batches.put_nowait(None)

    async def get(self) -> MessageBatch | None:
        """Remove and return the oldest batch; None at the end."""
        batch = await self._batches.get()
        if batch is not None:
            self._room.release()
        return batch


async def in_order(
    messages: Messages,
    windows: Sequence[PartitionInterval],
    *,
    type: TypeFilter,  # noqa: A002 - the API's own name
    concurrency: int,
    patience: Seconds | None,
    failed: Failed,
) -> AsyncGenerator[MessageBatch, None]:
    """Yield the messages of all windows, in the order of the windows and of time.

    `concurrency` windows are walked at the same time. Each waits once it is 16 batches
    ahead, so that memory holds at most 1,600 messages a window, whatever its size.

    Args:
        messages: of the project.
        windows: in the order in which they are yielded.
        type: "all", "userdefined" or "iottlyagent".
        concurrency: the number of windows that are walked at the same time.
        patience: seconds for which failures that pass are waited out; None is
            `Config.patience`.
        failed: called with a window and its error, if the error is the window's own. The
            other windows go on.

    Yields:
        Batches of messages, and of rows that are none (D8); no batch is empty.

    Raises:
        IottlyError: an error that may pass, or that every other window would meet.
    """
    waiting = iter(windows)
    walks: deque[tuple[asyncio.Task[None], _IntervalQueue]] = deque()

    def start() -> None:
        window = next(waiting, None)
        if window is not None:
            queue = _IntervalQueue()
            walk = asyncio.ensure_future(_walk(messages, window, type, patience, queue.put, failed))
            # The queue ends however the walk ends; an error is then raised from the task.
            walk.add_done_callback(lambda _: queue.end())
            walks.append((walk, queue))

    try:
        for _ in range(concurrency):
            start()
        while walks:
            walk, queue = walks[0]
            while (batch := await queue.get()) is not None:
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
    patience: Seconds | None,
    put: Callable[[MessageBatch], Awaitable[None]],
    failed: Failed,
) -> None:
    batches = messages.batches(
        window.device_id,
        start=None if window.start is None else from_epoch_ms(window.start),
        end=from_epoch_ms(window.end),
        type=type,
        on_bad_row="skip",
        patience=patience,
    )
    try:
        async with aclosing(batches):
            async for batch in batches:
                if rows_of(batch) or batch.rejected:
                    await put(batch)
    except FATAL:
        raise
    except IottlyError as error:
        if is_passing(error):
            raise
        failed(window, error)
