"""The paginated endpoint, simulated in memory on the virtual clock.

After a walk, `truth()` returns the rows that the walk should have found. Rows can become visible
and be deleted while a walk runs. The order of the rows of one millisecond can change with every
request. The server can differ as real ones do: bounds rounded down, short pages, a wrong clock.

Example:
    ```python
    server = MessageServer(rows, latency=0.05)
    async for batch in batches(server.fetch, query, settings=settings, clock=server.clock):
        ...
    assert server.requests == 12
    ```
"""

import asyncio
import random
from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable, Iterable
from heapq import heapify, heappop, heappush
from operator import attrgetter
from typing import NamedTuple

from msgspec import Raw, structs

from iottly_async.models._time import naive_from_ms
from iottly_async.models.bad_row import BadRow
from iottly_async.models.message import Message
from iottly_async.models.message_type import MessageType
from iottly_async.models.row import MessageRow
from iottly_async.walk import Fetched, HistoryRequest, PageRequest

from .virtual_time import WALL_START, VirtualClock

__all__ = ["NOW_MS", "MessageServer", "Row", "identity"]

NOW_MS = int(WALL_START * 1000)
"""The server's time when a virtual loop starts, in milliseconds."""

Identity = tuple[int, bytes]


class Row(NamedTuple):
    """A stored message: its time in milliseconds, a payload, a type, and its device.

    `serial` distinguishes identical rows; the history endpoint shows it as the id. A `bad` row is
    no message: its payload stands for all of its bytes.
    """

    at: int
    payload: bytes = b"{}"
    type: str = "userdefined"
    device: str = "d1"
    serial: int = 0
    bad: bool = False


def identity(message: Message | MessageRow) -> Identity:
    """The time in milliseconds and the payload, by which tests compare messages."""
    return (round(message.timestamp.timestamp() * 1000), message.payload_json)


_at = attrgetter("at")


class MessageServer:
    """Devices' messages, and a `fetch` over them.

    Attributes:
        clock: the virtual clock for the walk.
        requests: how many pages were requested.
        skipped: rows that page numbers made the server skip.
        log: every `PageRequest`, in the order of arrival.
        date_ahead: seconds that `Date` is ahead of the clock that stamps and shows rows; it may
            be changed at any time.
        under_way: requests that are not answered yet.
        peak: requests under way at once, at most.
        before: called with each request and its number, from 1, before it is answered. It may
            raise, delete or append. None calls nothing.
    """

    def __init__(
        self,
        rows: Iterable[Row] = (),
        *,
        latency: float = 0.05,
        jitter: float = 0.0,
        unstable: bool = False,
        limit: int = 100,
        skips_by_asked: bool = False,
        round_from: int = 1,
        round_to: int = 1,
        clock_offset: float = 0.0,
        zone_ms: int = 0,
        dated: bool = True,
        date_ahead: float = 0.0,
        seed: int = 0,
    ) -> None:
        """Serve `rows`.

        Args:
            rows: stored from the start.
            latency: seconds that a request takes; the page is read after half of them.
            jitter: share of the latency by which a request may be slower or faster.
            unstable: whether rows of one millisecond come in another order every time.
            limit: messages of the longest page, whatever is requested.
            skips_by_asked: whether a page number counts in the requested size, even if the
                page is shorter.
            round_from: milliseconds to which `from` is rounded down; 1 rounds nothing.
            round_to: milliseconds to which `to` is rounded down; 1 rounds nothing.
            clock_offset: seconds that the server's clock, and its rows' times, are ahead.
            zone_ms: milliseconds that the server's naive times are ahead of UTC.
            dated: whether answers have a server time.
            date_ahead: as the attribute.
            seed: of the jitter and of the unstable order.
        """
        self.clock = VirtualClock()
        self.requests = self.skipped = self.peak = 0
        self.log: list[PageRequest] = []
        self.before: Callable[[PageRequest, int], None] | None = None
        self._latency = latency
        self._jitter = jitter
        self._unstable = unstable
        self._limit = limit
        self._skips_by_asked = skips_by_asked
        self._rounding = (round_from, round_to)
        self._offset = clock_offset
        self._zone = zone_ms
        self._dated = dated
        self.date_ahead = date_ahead
        self._random = random.Random(seed)
        self.under_way = 0
        self._rows: dict[str, list[Row]] = {}
        self._pending: list[tuple[float, Row]] = []
        self._messages: dict[Row, MessageRow] = {}
        for row in rows:
            self._rows.setdefault(row.device, []).append(row)
        for device_rows in self._rows.values():
            device_rows.sort(key=_at)
        heapify(self._pending)

    def now_ms(self) -> int:
        """The server's clock, in milliseconds."""
        return int((self.clock.time() + self._offset) * 1000)

    def append(self, row: Row, *, visible_at_ms: int) -> None:
        """Make `row` visible at a moment of the server's clock, in milliseconds."""
        heappush(self._pending, (visible_at_ms, row))

    def delete_before(self, at: int) -> None:
        """Delete every row older than `at`, as retention does."""
        for rows in self._rows.values():
            del rows[: bisect_left(rows, at, key=_at)]

    def truth(
        self,
        start: int | None = None,
        end: int | None = None,
        type: str = "all",  # noqa: A002 - the endpoint's own name
        device: str = "d1",
    ) -> list[Row]:
        """Return the stored rows between two times in milliseconds, oldest first."""
        self._show_pending()
        rows = self._rows.get(device, [])
        low = 0 if start is None else bisect_left(rows, start, key=_at)
        high = len(rows) if end is None else bisect_left(rows, end, key=_at)
        return [row for row in rows[low:high] if type in ("all", row.type)]

    async def fetch(self, request: PageRequest) -> Fetched:
        """Answer a page request, as the endpoint does."""
        self.requests += 1
        number = self.requests
        self.log.append(request)
        self.under_way += 1
        self.peak = max(self.peak, self.under_way)
        latency = self._latency * (1 + self._jitter * (2 * self._random.random() - 1))
        try:
            await asyncio.sleep(latency / 2)
            if self.before is not None:
                self.before(request, number)
            rows = self._page(request)
            date = float((self.now_ms() + int(self.date_ahead * 1000)) // 1000)
            server_time = date if self._dated else None
            await asyncio.sleep(latency / 2)
        finally:
            self.under_way -= 1
        bad_rows = [
            BadRow(index=n, path=f"$.messages[{n}]", raw=row.payload, reason="expected an object")
            for n, row in enumerate(rows)
            if row.bad
        ]
        messages = [self._message(row) for row in rows if not row.bad]
        return Fetched(messages=messages, server_time=server_time, bad_rows=bad_rows)

    async def history(self, request: HistoryRequest) -> list[MessageRow]:
        """Answer a history request: messages of one millisecond with their ids, in any order."""
        self.requests += 1
        await asyncio.sleep(self._latency)
        rows = [
            row
            for row in self.truth(request.at, request.at + 1, request.type, request.device_id)
            if (request.after_id or "") < _id(row) < (request.before_id or "g")
        ]
        self._random.shuffle(rows)
        shown = [row for row in rows[: request.size] if not row.bad]
        return [structs.replace(self._message(row), id=_id(row)) for row in shown]

    def _show_pending(self) -> None:
        while self._pending and self._pending[0][0] <= self.now_ms():
            _, row = heappop(self._pending)
            insort(self._rows.setdefault(row.device, []), row, key=_at)

    def _page(self, request: PageRequest) -> list[Row]:
        self._show_pending()
        rows = self._rows.get(request.device_id, [])
        if request.type != "all":
            rows = [row for row in rows if row.type == request.type]
        round_from, round_to = self._rounding
        start, end = request.start, request.end
        low = 0 if start is None else bisect_left(rows, _down(start, round_from), key=_at)
        high = len(rows) if end is None else bisect_left(rows, _down(end, round_to), key=_at)
        size = min(request.size, self._limit)
        step = request.size if self._skips_by_asked else size
        skip = 0 if request.number is None else (request.number - 1) * step
        self.skipped += min(skip, max(0, high - low))
        if request.order == "asc":
            page = self._shuffled(
                rows, low, high, min(low + skip, high), min(low + skip + size, high)
            )
        else:
            first, last = max(high - skip - size, low), max(high - skip, low)
            page = self._shuffled(rows, low, high, first, last)
            page.reverse()
        return page

    def _shuffled(self, rows: list[Row], low: int, high: int, first: int, last: int) -> list[Row]:
        """Return the rows [first, last) of the query's [low, high), with ties in any order."""
        page = rows[first:last]
        if not self._unstable or len(page) < 1:
            return page
        shuffled: list[Row] = []
        index = first
        while index < last:
            at = rows[index].at
            begin = max(low, bisect_left(rows, at, key=_at))
            end = min(high, bisect_right(rows, at, key=_at))
            group = rows[begin:end]
            self._random.shuffle(group)
            shuffled += group[index - begin : last - begin]
            index = end
        return shuffled

    def _message(self, row: Row) -> MessageRow:
        message = self._messages.get(row)
        if message is None:
            message = self._messages[row] = MessageRow(
                row.device,
                naive_from_ms(row.at + self._zone),
                MessageType(row.type),
                Raw(row.payload),
                project_id="p1",
            )
        return message


def _id(row: Row) -> str:
    return f"{row.serial:024x}"


def _down(at: int, unit: int) -> int:
    return at // unit * unit
