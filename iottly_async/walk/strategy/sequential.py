"""The walk one page at a time, in order, with the next page under way meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

from ...aio.rendezvous import Rendezvous
from ...aio.tasks import cancel_and_wait
from ...models.message import MessageBatch
from ..keyset.page import CompleteInterval
from ..source import PageSource
from ..track import Track


async def in_sequence(source: PageSource, track: Track) -> AsyncGenerator[MessageBatch, None]:
    """Walk what remains of `track`, page by page.

    Batches without messages are skipped but for the last, whose cursor is finished.
    """
    if not track.remaining:
        yield track.last()
        return
    pieces: Rendezvous[CompleteInterval] = Rendezvous()
    asking = asyncio.ensure_future(_ask(source, track, pieces))
    try:
        while (piece := await pieces.take()) is not None:
            batch = track.hand_out(piece)
            if batch is not None:
                yield batch
            if track.finished:
                return
        await asking
    finally:
        await cancel_and_wait([asking])


async def _ask(source: PageSource, track: Track, pieces: Rendezvous[CompleteInterval]) -> None:
    """Ask for page after page, at most one ahead of the consumer."""
    try:
        for window in track.windows():
            while not window.finished:
                await pieces.give(await source.ask(track, window))
    finally:
        pieces.close()
