"""The walk one page at a time, in order, with the next page under way meanwhile."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Iterable

from ..clock import Clock
from ..models.message import MessageBatch
from .cursor import Track
from .query import Fetch, Fetched
from .seek import Piece


async def in_sequence(
    fetch: Fetch, track: Track, clock: Clock
) -> AsyncGenerator[MessageBatch, None]:
    """Walk what remains of `track`, page by page.

    Batches without messages are skipped but for the last, whose cursor is finished.
    """
    windows = deque(track.windows())
    if not windows:
        yield track.batch(NOTHING)
        return
    window = windows.popleft()
    request = track.request(window)
    ahead = asyncio.ensure_future(fetch(request))
    try:
        while True:
            piece = track.feed(window, request, await ahead, clock.time())
            if window.finished and windows:
                window = windows.popleft()
            if window.finished:
                yield track.batch(piece)
                return
            request = track.request(window)
            ahead = asyncio.ensure_future(fetch(request))
            if piece.messages:
                # One turn of the loop, so that the request leaves before the consumer works.
                await asyncio.sleep(0)
                yield track.batch(piece)
            else:
                track.take(piece)
    finally:
        await abandon([ahead])


NOTHING = Piece(0, 0, [])
"""A piece of no stretch at all."""


async def abandon(tasks: Iterable[asyncio.Future[Fetched]]) -> None:
    """Cancel what is under way and wait until it has ended; how it ended is of no concern."""
    tasks = [*tasks]
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
