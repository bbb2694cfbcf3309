"""So many at once, the most urgent first; how many may change at any moment."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from heapq import heappop, heappush
from itertools import count

from ..query import Capacity


def at_most(concurrency: int, capacity: Capacity | None) -> Callable[[], int]:
    """A limit of `concurrency`, and of what the quota can feed; 1 or more."""
    if capacity is None or concurrency == 1:
        return lambda: concurrency

    def limit() -> int:
        fed = capacity()
        return concurrency if fed is None else max(1, min(concurrency, fed))

    return limit


class PrioritySemaphore:
    """Places for so many holders as `limit()` says."""

    __slots__ = ("_held", "_limit", "_order", "_waiting")

    def __init__(self, limit: Callable[[], int]) -> None:
        self._limit = limit
        self._held = 0
        self._order = count()
        self._waiting: list[tuple[int, int, asyncio.Future[None]]] = []

    async def enter(self, urgency: int = 0) -> None:
        """Wait for a place; of those who wait, the lowest `urgency` is next."""
        if not self._waiting and self._held < self._limit():
            self._held += 1
            return
        place = asyncio.get_running_loop().create_future()
        heappush(self._waiting, (urgency, next(self._order), place))
        try:
            await place
        except asyncio.CancelledError:
            if place.done() and not place.cancelled():
                self.leave()  # the place was given in the same turn: it goes to another
            raise

    def leave(self) -> None:
        """Give a place back."""
        self._held -= 1
        limit = self._limit()
        while self._waiting and self._held < limit:
            place = heappop(self._waiting)[2]
            if not place.done():
                self._held += 1
                place.set_result(None)
