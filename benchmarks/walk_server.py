"""A stand-in for the paginated endpoint, made of arrays and bisection, and a walk's result.

It runs on a virtual clock, so that a latency of 50 ms costs no real time. It counts for every
message how often it was delivered, and how many messages are held at any moment.
"""

from __future__ import annotations

import asyncio
import random
from bisect import bisect_left
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from msgspec import Raw

from iottly_async.models._time import naive_from_ms
from iottly_async.models.row import MessageRow
from iottly_async.walk import Fetched, PageRequest

from .walk_data import EPOCH, YEAR, Times

PAGE: Final = 100
LATENCY: Final = 0.050
SKIP_COST: Final = 1e-6
"""Seconds for each row that a page number makes the server skip."""

_NEW, _HELD, _DONE = 0, 1, 2

MEAN: Final = LATENCY + 0.01 * 0.2
"""Seconds that a request takes on average: one in a hundred is slow."""


class Result(NamedTuple):
    """What a walk took.

    Attributes:
        way: the kind of walk.
        stream: what it walked over.
        concurrency: requests at once, at most.
        requests: made.
        ideal: the fewest requests possible.
        seconds: of virtual time.
        skipped: rows that page numbers made the server skip.
        empty: pages without a row.
        held: messages fetched and not delivered, at most.
        wrong: messages lost, repeated, or out of order in a walk that promises order.
    """

    way: str
    stream: str
    concurrency: int
    requests: int
    ideal: int
    seconds: float
    skipped: int
    empty: int
    held: int
    wrong: int

    @property
    def over(self) -> float:
        """Requests divided by the fewest possible."""
        return self.requests / self.ideal

    @property
    def slower(self) -> float:
        """Time divided by that of the fewest requests, always `concurrency` at once."""
        return self.seconds / (self.ideal * MEAN / self.concurrency)


class Account:
    """The state of every message of a device: new, held or delivered."""

    def __init__(self, times: Times) -> None:
        self.times = times
        self.state = bytearray(len(times))


class StandIn:
    """Devices' streams behind a latency and, optionally, a quota.

    Attributes:
        requests: made.
        skipped: rows skipped because of page numbers.
        empty: pages without a row.
        held: messages fetched and not delivered, now.
        most_held: the same, at most.
        repeated: messages delivered twice.
        disordered: messages delivered after a later one.
    """

    def __init__(
        self, streams: Mapping[str, Times], *, per_second: float | None = None, seed: int = 3
    ) -> None:
        """Serve `streams` by device; admit `per_second` requests a second, or all if None."""
        self._accounts = {device: Account(times) for device, times in streams.items()}
        self._interval = None if per_second is None else 1 / per_second
        self._next_admission = 0.0
        self._chance = random.Random(seed)
        self.requests = self.skipped = self.empty = 0
        self.held = self.most_held = self.repeated = self.disordered = 0
        self._last = 0

    async def fetch(self, request: PageRequest) -> Fetched:
        """Answer a walk's request."""
        ascending = request.order == "asc"
        skip = 0 if request.number is None else (request.number - 1) * request.size
        rows = await self.page(
            request.device_id, request.start, request.end, skip, request.size, ascending=ascending
        )
        messages = [self._message(request.device_id, row) for row in rows]
        return Fetched(messages=messages, server_time=(EPOCH + YEAR) / 1000 + 60)

    async def page(
        self,
        device: str,
        start: int | None,
        end: int | None,
        skip: int,
        size: int,
        *,
        ascending: bool = True,
    ) -> range:
        """Return the indices of a page's rows, after the latency."""
        times = self._accounts[device].times
        await self._admit()
        self.requests += 1
        low = 0 if start is None else bisect_left(times, start)
        high = max(low, len(times) if end is None else bisect_left(times, end))
        skipped = min(skip, high - low)
        self.skipped += skipped
        late = self._chance.random() < 0.01
        latency = LATENCY * (0.8 + 0.4 * self._chance.random()) + 0.2 * late
        await asyncio.sleep(latency + SKIP_COST * skipped)
        if ascending:
            rows = range(min(low + skip, high), min(low + skip + size, high))
        else:
            rows = range(max(high - skip, low) - 1, max(high - skip - size, low) - 1, -1)
        self.empty += not rows
        self._hold(self._accounts[device].state, rows)
        return rows

    async def _admit(self) -> None:
        if self._interval is not None:
            loop = asyncio.get_running_loop()
            self._next_admission = max(self._next_admission + self._interval, loop.time())
            await asyncio.sleep(self._next_admission - loop.time())

    def _hold(self, state: bytearray, rows: Iterable[int]) -> None:
        for row in rows:
            if state[row] == _NEW:
                state[row] = _HELD
                self.held += 1
        self.most_held = max(self.most_held, self.held)

    def _message(self, device: str, row: int) -> MessageRow:
        at = self._accounts[device].times[row]
        payload = b"%d" % row
        return MessageRow(device, naive_from_ms(at), None, Raw(payload))

    def note_delivered(self, device: str, rows: Iterable[int]) -> None:
        """Note the rows that a consumer received."""
        account = self._accounts[device]
        state, times = account.state, account.times
        for row in rows:
            if state[row] == _DONE:
                self.repeated += 1
                continue
            state[row] = _DONE
            self.held -= 1
            at = times[row]
            self.disordered += at < self._last
            self._last = at

    @property
    def rows(self) -> int:
        """How many messages there are."""
        return sum(len(account.times) for account in self._accounts.values())

    @property
    def lost(self) -> int:
        """How many messages were not delivered."""
        return sum(len(one.state) - one.state.count(_DONE) for one in self._accounts.values())

    @property
    def ideal(self) -> int:
        """The fewest requests possible: one a page, and at least one a device."""
        return sum(max(1, -(-len(one.times) // PAGE)) for one in self._accounts.values())
