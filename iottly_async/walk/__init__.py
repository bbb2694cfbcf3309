"""Walks: every message of a range once, in order or not, by a `fetch` of single pages.

Pure windows (`seek`, over `page`, `run`, `ties`, `verify`; where servers differ, over `bound`,
`ending`, `numbering`, `trial`, `quirks`) decide what is complete and what to ask for next;
tracks (`cursor`) know what was handed out; three rooms await: `sequence` one page at a
time, `split` many without order, `order` many in order.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence

import attrs

from ..clock import SYSTEM_CLOCK, Clock
from ..errors import ConfigurationError
from ..models.cursor import Cursor
from ..models.message import MessageBatch
from .query import (
    Capacity,
    Fetch,
    Fetched,
    History,
    HistoryRequest,
    PageRequest,
    WalkQuery,
    WalkSettings,
)
from .quirks import Quirks
from .source import PageSource
from .strategy.concurrency import at_most
from .strategy.ordered import OrderedWalk
from .strategy.sequential import in_sequence
from .strategy.unordered import UnorderedWalk
from .track import PinnedEnd, Track, resumed

__all__ = [
    "Capacity",
    "Fetch",
    "Fetched",
    "History",
    "HistoryRequest",
    "PageRequest",
    "Quirks",
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
    capacity: Capacity | None = None,
    history: History | None = None,
) -> AsyncGenerator[MessageBatch, None]:
    """The messages of `query` in batches of whole milliseconds, each with its cursor.

    Args:
        fetch: fetches one page; its errors pass through unchanged.
        query: what to walk over.
        settings: how to.
        cursor: where to go on; None for the start. A range that `query` leaves open is
            taken from it. An ascending walk without an end, resumed, goes on to the
            server's present now; a descending one keeps the end it started with.
        concurrency: requests under way at once, at most. Default 1: the next page is
            fetched while the consumer works on the last.
        ordered: whether batches come in the order of time. Default True. Without it a
            parallel walk is a little faster and holds less in memory.
        clock: tells the time where answers do not.
        capacity: how many requests at once the quota can feed at this moment, None for
            any number; asked again and again. None: no such cap.
        history: fetches messages with their ids, for `WalkSettings.verify_ties`.

    Returns:
        A generator. Resume from the cursor of the last batch that was stored, with any
        concurrency. The last batch of all has a finished cursor, and may be empty. At
        most two pages for each request under way are held for the consumer, in order
        up to ten.

    Raises:
        CursorMismatchError: at once, if `cursor` is of another query; while iterating, if
            it is of another server.
        ConfigurationError: at once, if `concurrency` is less than 1.
        PageOrderError: while iterating, if the service sends a page out of order.
        UnstableTieOrderError: while iterating, if `verify_ties` finds no proof.
    """
    _check(concurrency)
    source = PageSource(fetch, history, clock)
    track = Track(query, settings, cursor, has_history=history is not None)
    if concurrency == 1:
        return in_sequence(source, track)
    limit = at_most(concurrency, capacity)
    if ordered:
        return OrderedWalk(source, track, limit).batches()
    return UnorderedWalk(source, iter([track]), limit).batches()


def batches_many(
    fetch: Fetch,
    queries: Sequence[WalkQuery],
    *,
    settings: WalkSettings,
    cursors: Mapping[str, Cursor] | None = None,
    concurrency: int = 1,
    clock: Clock = SYSTEM_CLOCK,
    capacity: Capacity | None = None,
    history: History | None = None,
) -> AsyncGenerator[MessageBatch, None]:
    """The messages of many devices in batches, each of one device and with its cursor.

    One pool of windows for all: a device with many messages does not keep the others
    waiting, nor is it left alone at the end. All walks end at the same moment.

    Args:
        queries: one a device.
        cursors: where to go on, by device id; a device without one starts anew.
        fetch, settings, concurrency, clock, capacity, history: as in `batches`.

    Returns:
        A generator. Batches come in any order; `batch.cursor` tells whose each is. Every
        device ends with a batch whose cursor is finished, and which may be empty.

    Raises:
        CursorMismatchError, ConfigurationError, PageOrderError, UnstableTieOrderError: as
            in `batches`.
    """
    _check(concurrency)
    known = {} if cursors is None else cursors
    settings = attrs.evolve(settings, quirks=settings.quirks or Quirks())
    for query in queries:
        resumed(query, known.get(query.device_id))

    def tracks() -> Iterator[Track]:
        pin, has_history = PinnedEnd(), history is not None
        for query in queries:
            cursor = known.get(query.device_id)
            yield Track(query, settings, cursor, pin=pin, has_history=has_history)

    source = PageSource(fetch, history, clock)
    return UnorderedWalk(source, tracks(), at_most(concurrency, capacity)).batches()


def _check(concurrency: int) -> None:
    if concurrency < 1:
        raise ConfigurationError(f"concurrency must be 1 or more, not {concurrency}")
