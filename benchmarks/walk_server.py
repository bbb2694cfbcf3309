"""A stand-in for the paginated endpoint that is not what is measured: arrays and bisection.

It runs on a virtual clock, so that 50 ms of latency cost none, and it keeps account of
every message: how often it was handed out, and how many are held at any moment.
"""

from __future__ import annotations

import asyncio
import random
from bisect import bisect_left
from collections.abc import Iterable, Mapping
from typing import Final

from iottly_async.models._time import from_epoch_ms
from iottly_async.models.message import Message
from iottly_async.walk import Fetched, PageRequest

from .walk_data import EPOCH, YEAR, Times

PAGE: Final = 100
LATENCY: Final = 0.050
SKIP_COST: Final = 1e-6
"""Seconds for each row that a page number makes the server skip."""

_NEW, _HELD, _DONE = 0, 1, 2


class Account:
    """What became of every message of a device."""

    def __init__(self, times: Times) -> None:
        self.times = times
        self.state = bytearray(len(times))


class StandIn:
    """Devices' streams behind a latency and, if asked for, a quota.

    Attributes:
        requests, skipped, empty: requests made, rows skipped, pages without a row.
        held, most_held: messages fetched and not handed out, now and at most.
        repeated, disordered: messages handed out twice; before an earlier one.
    """

    def __init__(
        self, streams: Mapping[str, Times], *, per_second: float | None = None, seed: int = 3
    ) -> None:
        """A server of `streams` by device; `per_second` requests are admitted, or all."""
        self._accounts = {device: Account(times) for device, times in streams.items()}
        self._interval = None if per_second is None else 1 / per_second
        self._turn = 0.0
        self._chance = random.Random(seed)
        self.requests = self.skipped = self.empty = 0
        self.held = self.most_held = self.repeated = self.disordered = 0
        self._last = 0

    async def fetch(self, request: PageRequest) -> Fetched:
        """A page, as the walk asks for it."""
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
        """The indices of a page's rows, after the latency."""
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
            self._turn = max(self._turn + self._interval, loop.time())
            await asyncio.sleep(self._turn - loop.time())

    def _hold(self, state: bytearray, rows: Iterable[int]) -> None:
        for row in rows:
            if state[row] == _NEW:
                state[row] = _HELD
                self.held += 1
        self.most_held = max(self.most_held, self.held)

    def _message(self, device: str, row: int) -> Message:
        at = self._accounts[device].times[row]
        payload = b"%d" % row
        return Message(device_id=device, timestamp=from_epoch_ms(at), payload_json=payload)

    def handed_out(self, device: str, rows: Iterable[int]) -> None:
        """Take note of what a consumer got."""
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
        """How many messages were not handed out."""
        return sum(len(one.state) - one.state.count(_DONE) for one in self._accounts.values())

    @property
    def ideal(self) -> int:
        """The fewest requests that can do: one a page, and one a device at least."""
        return sum(max(1, -(-len(one.times) // PAGE)) for one in self._accounts.values())
