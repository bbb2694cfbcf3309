"""The walk one page at a time, in order, with the next page under way meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

from ...aio.rendezvous import Handover
from ...aio.tasks import abandon
from ...models.message import MessageBatch
from ..keyset.piece import Piece
from ..source import Source
from ..track import Track


async def in_sequence(source: Source, track: Track) -> AsyncGenerator[MessageBatch, None]:
    """Walk what remains of `track`, page by page.

    Batches without messages are skipped but for the last, whose cursor is finished.
    """
    if not track.remaining:
        yield track.last()
        return
    pieces: Handover[Piece] = Handover()
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
        await abandon([asking])


async def _ask(source: Source, track: Track, pieces: Handover[Piece]) -> None:
    """Ask for page after page, at most one ahead of the consumer."""
    try:
        for window in track.windows():
            while not window.finished:
                await pieces.give(await source.ask(track, window))
    finally:
        pieces.close()
