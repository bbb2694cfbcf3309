"""How many requests run at once, and which waiter is next."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from heapq import heappop, heappush
from itertools import count

from ..query import Capacity


def request_limit(concurrency: int, capacity: Capacity | None) -> Callable[[], int]:
    """Return the limit of requests at once: `concurrency`, or what the quota can feed, if less.

    It is 1 or more, and may change at any moment.
    """
    if capacity is None or concurrency == 1:
        return lambda: concurrency

    def limit() -> int:
        fed = capacity()
        return concurrency if fed is None else max(1, min(concurrency, fed))

    return limit


class PrioritySemaphore:
    """A semaphore with priorities and an adjustable limit."""

    __slots__ = ("_held", "_limit", "_order", "_waiters")

    def __init__(self, limit: Callable[[], int]) -> None:
        """Have as many slots as `limit()` says at the moment."""
        self._limit = limit
        self._held = 0
        self._order = count()
        self._waiters: list[tuple[int, int, asyncio.Future[None]]] = []

    async def acquire(self, priority: int = 0) -> None:
        """Wait for a slot. The waiter with the lowest `priority` is next."""
        if not self._waiters and self._held < self._limit():
            self._held += 1
            return
        slot = asyncio.get_running_loop().create_future()
        heappush(self._waiters, (priority, next(self._order), slot))
        try:
            await slot
        except asyncio.CancelledError:
            if slot.done() and not slot.cancelled():
                self.release()  # it was granted in the same step of the loop: pass it on
            raise

    def release(self) -> None:
        """Give a slot back."""
        self._held -= 1
        limit = self._limit()
        while self._waiters and self._held < limit:
            slot = heappop(self._waiters)[2]
            if not slot.done():
                self._held += 1
                slot.set_result(None)
