"""The walk with one request at a time, in order; the next page is fetched meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

from ...aio.rendezvous import Rendezvous
from ...aio.tasks import cancel_and_wait
from ...models.message_batch import MessageBatch
from ..keyset.page import CompleteInterval
from ..source import PageSource
from ..track import Track


async def sequential_batches(
    source: PageSource, track: Track
) -> AsyncGenerator[MessageBatch, None]:
    """Walk what remains of `track`, page by page.

    Yields:
        Batches with messages; the last one has a finished cursor, and may be empty.
    """
    if not track.remaining:
        yield track.last_batch()
        return
    found: Rendezvous[CompleteInterval] = Rendezvous()
    fetching = asyncio.ensure_future(_fetch_all(source, track, found))
    try:
        while (complete := await found.take()) is not None:
            batch = track.deliver(complete)
            if batch is not None:
                yield batch
            if track.finished:
                return
        await fetching
    finally:
        await cancel_and_wait([fetching])


async def _fetch_all(source: PageSource, track: Track, found: Rendezvous[CompleteInterval]) -> None:
    """Fetch page after page, at most one ahead of the consumer."""
    try:
        for segment in track.segments():
            while not segment.finished:
                await found.give(await source.fetch(track, segment))
    finally:
        found.close()
