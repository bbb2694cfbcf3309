"""The walk one page at a time, in order, with the next page under way meanwhile."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator

from ..models.message import MessageBatch
from .ask import Source
from .crew import abandon
from .cursor import Track


async def in_sequence(source: Source, track: Track) -> AsyncGenerator[MessageBatch, None]:
    """Walk what remains of `track`, page by page.

    Batches without messages are skipped but for the last, whose cursor is finished.
    """
    windows = deque(track.windows())
    if not windows:
        yield track.last()
        return
    window = windows.popleft()
    ahead = asyncio.ensure_future(source.ask(track, window))
    try:
        while True:
            piece = await ahead
            if window.finished and windows:
                window = windows.popleft()
            if not window.finished:
                ahead = asyncio.ensure_future(source.ask(track, window))
                if piece.messages:
                    # One turn of the loop, so that the request leaves before the consumer works.
                    await asyncio.sleep(0)
            batch = track.hand_out(piece)
            if batch is not None:
                yield batch
            if track.finished:
                return
    finally:
        await abandon([ahead])
