"""Walks: every message of a range once, in order, by a `fetch` of single pages.

Pure windows (`seek`, over `page`, `ties`, `habits`) decide what is complete and what to
ask for next; tracks (`cursor`) know what was handed out; `sequence` awaits.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing

from ..clock import SYSTEM_CLOCK, Clock
from ..models.cursor import Cursor
from ..models.message import MessageBatch
from .cursor import Track
from .query import Fetch, Fetched, PageRequest, WalkQuery, WalkSettings
from .sequence import in_sequence

__all__ = [
    "Fetch",
    "Fetched",
    "PageRequest",
    "WalkQuery",
    "WalkSettings",
    "batches",
    "batches_many",
]


def batches(
    fetch: Fetch,
    query: WalkQuery,
    *,
    settings: WalkSettings,
    cursor: Cursor | None = None,
    concurrency: int = 1,
    ordered: bool = True,
    clock: Clock = SYSTEM_CLOCK,
    capacity: Callable[[], int | None] | None = None,
) -> AsyncGenerator[MessageBatch, None]:
    """The messages of `query` in batches of whole milliseconds, each with its cursor.

    Args:
        fetch: fetches one page; its errors pass through unchanged.
        query: what to walk over.
        settings: how to.
        cursor: where to go on; None for the start. A range that `query` leaves open is
            taken from it. An ascending walk without an end, resumed, goes on to the
            server's present now; a descending one keeps the end it started with.
        concurrency: requests under way at once, at most. Default 1.
        ordered: whether batches come in the order of time. Default True.
        clock: tells the time where answers do not.
        capacity: how many requests at once the quota can feed at this moment, None for
            any number; asked again and again. None: no such cap.

    Returns:
        A generator. Resume from the cursor of the last batch that was stored. The last
        batch of all has a finished cursor, and may be without messages.

    Raises:
        CursorMismatchError: at once, if `cursor` is of another query.
        PageOrderError: while iterating, if the service sends a page out of order.
    """
    return in_sequence(fetch, Track(query, settings, cursor), clock)


async def batches_many(
    fetch: Fetch,
    queries: Sequence[WalkQuery],
    *,
    settings: WalkSettings,
    cursors: Mapping[str, Cursor] | None = None,
    concurrency: int = 1,
    clock: Clock = SYSTEM_CLOCK,
    capacity: Callable[[], int | None] | None = None,
) -> AsyncGenerator[MessageBatch, None]:
    """The messages of many devices in batches, each of one device and with its cursor.

    Args:
        queries: one a device.
        cursors: where to go on, by device id; a device without one starts anew.
        fetch, settings, concurrency, clock, capacity: as in `batches`.

    Returns:
        A generator. Batches of different devices come in any order; `batch.cursor` tells
        whose each is. Every device ends with a batch whose cursor is finished.

    Raises:
        CursorMismatchError, PageOrderError: as in `batches`, while iterating.
    """
    known = {} if cursors is None else cursors
    tracks = [Track(query, settings, known.get(query.device_id)) for query in queries]
    for track in tracks:
        walk = in_sequence(fetch, track, clock)
        async with aclosing(walk):
            async for batch in walk:
                yield batch
