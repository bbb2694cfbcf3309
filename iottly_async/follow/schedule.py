"""Which device is polled next: priority queues whose entries can be moved."""

from __future__ import annotations

import asyncio
from heapq import heappop, heappush
from itertools import count
from math import inf
from typing import Generic, Literal, TypeVar

T = TypeVar("T")

Reason = Literal["wakeup", "expected", "overdue"]
"""Why an item is due: a doorbell woke it; a message is expected; it was not polled for long."""


class _DueHeap(Generic[T]):
    """Items by the time at which each is due, each item at most once."""

    __slots__ = ("_entries", "_numbers", "_valid")

    def __init__(self) -> None:
        self._entries: list[tuple[float, int, T]] = []
        self._valid: dict[T, int] = {}
        self._numbers = count()

    def put(self, item: T, due: float) -> None:
        number = self._valid[item] = next(self._numbers)
        heappush(self._entries, (due, number, item))

    def remove(self, item: T) -> None:
        self._valid.pop(item, None)

    def first_due(self) -> float:
        entries, valid = self._entries, self._valid
        while entries and valid.get(entries[0][2]) != entries[0][1]:
            heappop(entries)  # moved or removed
        return entries[0][0] if entries else inf

    def first(self) -> T:
        self.first_due()
        return self._entries[0][2]


class Schedule(Generic[T]):
    """Items by when they are due, for each reason. An item has at most one entry a reason."""

    __slots__ = ("_changed", "_heaps")

    def __init__(self) -> None:
        self._heaps: dict[Reason, _DueHeap[T]] = {
            "wakeup": _DueHeap(),
            "expected": _DueHeap(),
            "overdue": _DueHeap(),
        }
        self._changed = asyncio.Event()

    def put(self, item: T, due: float, reason: Reason) -> None:
        """Add an item, or move it if it has an entry for that reason."""
        self._heaps[reason].put(item, due)
        self._changed.set()

    def first_due(self, reason: Reason) -> float:
        """When the first item is due for that reason; inf if there is none."""
        return self._heaps[reason].first_due()

    def first(self, reason: Reason) -> T:
        """The item that is due first for that reason."""
        return self._heaps[reason].first()

    def take(self, reason: Reason) -> T:
        """Remove the item that is due first for that reason, with all its entries."""
        item = self._heaps[reason].first()
        for heap in self._heaps.values():
            heap.remove(item)
        return item

    async def wait(self, timeout: float) -> None:
        """Wait until an item is put, at most `timeout` seconds; inf waits without a bound."""
        self._changed.clear()
        try:
            async with asyncio.timeout(None if timeout == inf else timeout):
                await self._changed.wait()
        except TimeoutError:
            pass
