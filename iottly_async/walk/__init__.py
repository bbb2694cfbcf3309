"""Walks: every message of a time range, each once, by requests for single pages.

**The problem.** The service has pages and no more: no message ids, no total, no next link. Page
numbers count from one end of the range, so they shift: a message that arrives or is deleted
between two requests moves all others, and a walk by numbers repeats one or loses one. They are
slow too: for page 1,000 the server skips 99,900 messages, and a year of a million messages
makes it skip five billion.

**The idea** is keyset pagination by time: each request asks for the first page *from* a time on,
and the time comes from the last page. Times are no keys, for several messages may share a
millisecond, and a page may end in the midst of them. So the last millisecond of a full page is
*held back*. All before it is complete and delivered; the next request begins with the held-back
millisecond, and brings it whole. Page numbers are used only within a millisecond that fills a
page (and on a server that rounds bounds).

An example, with 4 messages a page; `a2` is the second message of millisecond 10:

```text
messages   7:x  8:y  10:a1  10:a2  10:a3  12:z
request    from 0:  x y a1 a2   full. 7 to 9 are complete: x y. Millisecond 10 is held back.
request    from 10: a1 a2 a3 z  full. 10 and 11 are complete: a1 a2 a3. 12 is held back.
request    from 12: z           short: the last page. z is delivered, and the walk is finished.
```

Between requests 1 and 2, message x may be deleted or a message of millisecond 13 may arrive:
both leave what request 2 brings of millisecond 10 as it is. An evenly filled range costs about
1 % more requests than it has pages, because each page repeats one message of the last.

**Invariants.**

- Everything before a segment's `done` was returned by it; nothing at or after `done` was.
- A millisecond is delivered whole, in one batch. Its messages are ordered by their content, the
  device's time first, for the service promises no order among them (D6).
- A walk ends at a fixed time, `settle` seconds before the server's present at its first answer
  (D11). What arrives later belongs to the next walk.
- A cursor holds the intervals that are not delivered yet. It changes when a batch is delivered,
  never when a page is fetched. A consumer that stores each batch with its cursor loses nothing
  and repeats nothing, whenever the process ends.
- No promise of the documents is relied on until an answer has shown that it is kept: bounds,
  page sizes and page numbers (`Quirks`). A server that breaks one costs some more requests, or
  ends the walk with an error; it never loses a message in silence.

**Many requests at once.** A *segment* is the part of the range that one worker walks. Without
order, an idle worker takes the later half of the segment with the most messages left. With
1,000 pages and 8 workers the first splits come after a page or two, and each costs about half a
page at its end; a budget keeps their sum below 5 %. In order, *lookahead* pages are requested
by number, 8 pages apart. They show at which time they lie, so that workers can walk the gaps
between them; intervals are delivered in order as they become complete. The page numbers need
not be right: a lookahead page decides only where a gap ends.

A walk from new to old is the same walk along a mirrored axis (`axis`).

**Files.** `keyset/` decides, and awaits nothing: one segment's pages, bounds, page numbers and
ties. `track` knows what is delivered, and makes cursors. `source` makes requests and awaits their
answers. `strategy/` runs the workers: `sequential`, `ordered`, `unordered`.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterator, Mapping, Sequence

import attrs

from ..clock import SYSTEM_CLOCK, Clock
from ..errors import ConfigurationError, DeviceFailure
from ..models.cursor import Cursor
from ..models.message_batch import MessageBatch
from .query import (
    Capacity,
    Fetch,
    Fetched,
    History,
    HistoryRequest,
    LookBackPart,
    OnBadRow,
    PageRequest,
    WalkQuery,
    WalkSettings,
)
from .quirks import Quirks
from .source import PageSource
from .strategy.concurrency import request_limit
from .strategy.ordered import OrderedWalk
from .strategy.sequential import sequential_batches
from .strategy.unordered import UnorderedWalk, most_intervals
from .track import PinnedEnd, Track, resumed

__all__ = [
    "Capacity",
    "Fetch",
    "Fetched",
    "History",
    "HistoryRequest",
    "LookBackPart",
    "OnBadRow",
    "PageRequest",
    "Quirks",
    "WalkQuery",
    "WalkSettings",
    "batches",
    "batches_many",
    "most_intervals",
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
    """Walk over the messages of one device.

    Args:
        fetch: fetches one page; its errors pass through unchanged.
        query: what to walk over.
        settings: how to walk.
        cursor: where to resume; a range that `query` leaves open is taken from it. An
            ascending walk without an end, resumed, goes on behind the newest message that was
            yielded, less `WalkSettings.lookback`, to the server's present now; a descending one
            keeps its end. Default None: from the start.
        concurrency: requests at once, at most. Default 1: the next page is fetched while the
            consumer works on the last.
        ordered: whether batches come in the order of time. Without it a walk with many
            requests at once is a little faster and holds less in memory. Default True.
        clock: gives the time if answers have none. Default: the system's clock.
        capacity: how many requests at once the quota can feed at this moment, None for any
            number; it is called again and again. Default None: no such limit.
        history: fetches messages with their ids, for `WalkSettings.verify_ties`. Default
            None: there is no history endpoint.

    Returns:
        A generator of batches of whole milliseconds, each with its cursor. Resume from the
        cursor of the last batch that was stored, with any concurrency. The last batch has a
        finished cursor, and may be empty. At most two pages for each request at once are
        held for the consumer; in order, up to ten.

    Raises:
        CursorMismatchError: at once, if `cursor` is of another query; while iterating, if it
            is of another server.
        ConfigurationError: at once, if `concurrency` is less than 1.
        PageOrderError: while iterating, if the service sends a page out of order.
        UnstableTieOrderError: while iterating, if there is no proof that a millisecond of more
            than one page was read whole (`WalkSettings.verify_ties`).

    Example:
        ```python
        query = WalkQuery(project_id="p", device_id="d", start=1_767_225_600_000)
        async for batch in batches(fetch, query, settings=WalkSettings()):
            store(batch.messages, batch.cursor.to_json())
        ```
    """
    _check(concurrency)
    source = PageSource(fetch, history, clock)
    track = Track(query, settings, cursor)
    if concurrency == 1:
        return sequential_batches(source, track)
    limit = request_limit(concurrency, capacity)
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
    on_failure: Callable[[str, DeviceFailure], object] | None = None,
) -> AsyncGenerator[MessageBatch, None]:
    """Walk over the messages of many devices, without order.

    The segments of all devices lie in one pool. So a device with many messages neither delays
    the others nor is left to a single worker at the end. All walks end at the same moment.

    Args:
        fetch: as in `batches`.
        queries: one for each device.
        settings: as in `batches`.
        cursors: where to resume, by device id. A device without one starts anew. Default
            None: all do.
        concurrency: as in `batches`.
        clock: as in `batches`.
        capacity: as in `batches`.
        history: as in `batches`.
        on_failure: called with the id and the failure of a device as soon as it fails.
            Default None: nothing is called.

    Returns:
        A generator of batches, each of one device: `batch.cursor.device_id` says which. Every
        device ends with a batch whose cursor is finished, and which may be empty.

    Raises:
        CursorMismatchError: at once, if a cursor is of another query.
        ConfigurationError: as in `batches`.
        DevicesFailedError: while iterating, when everything else was yielded: the errors of
            the devices that failed, each with its cursor.
        IottlyError: while iterating, if every device would meet it (`EVERY_DEVICE`).
    """
    _check(concurrency)
    known = {} if cursors is None else cursors
    settings = attrs.evolve(settings, quirks=settings.quirks or Quirks())
    for query in queries:
        resumed(query, known.get(query.device_id))

    def tracks() -> Iterator[Track]:
        pin = PinnedEnd()
        for query in queries:
            yield Track(query, settings, known.get(query.device_id), pin=pin)

    source = PageSource(fetch, history, clock)
    limit = request_limit(concurrency, capacity)
    return UnorderedWalk(source, tracks(), limit, many=True, on_failure=on_failure).batches()


def _check(concurrency: int) -> None:
    if concurrency < 1:
        raise ConfigurationError(f"concurrency must be 1 or more, not {concurrency}")
