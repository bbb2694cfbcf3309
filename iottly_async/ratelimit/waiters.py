"""Who waits for a permit, and in which order.

Requests that were refused before go first. Then come the priority classes, highest first,
each in the order of arrival. While several classes wait, every fourth permit goes to the
longest wait of all, so that a busy high class starves no low one.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from heapq import heapify, heappop, heappush
from math import inf
from typing import Final, Generic, TypeVar

__all__ = ["WaiterQueue"]

_OLDEST_EVERY: Final = 4
"""Of this many permits under contention one goes to the longest wait, whatever its class."""

_SLACK: Final = 64
"""This many deadlines of waiters that have left are not worth clearing away."""

_T = TypeVar("_T")


class WaiterQueue(Generic[_T]):
    """Futures of those who wait, by priority class, and their deadlines.

    Its length is the number of waiters. A waiter that has left is removed at most once,
    however often it says so.

    Attributes:
        classes: the waiters of each priority class, highest first; refused requests have an
            infinite priority. No class is empty, so this is true if anybody waits.
    """

    __slots__ = ("_arrivals", "_contended", "_deadlines", "classes")

    def __init__(self) -> None:
        self.classes: dict[float, OrderedDict[asyncio.Future[_T], int]] = {}
        self._deadlines: list[tuple[float, int, asyncio.Future[_T]]] = []
        self._arrivals = 0
        self._contended = 0

    def __len__(self) -> int:
        return sum(map(len, self.classes.values()))

    def __bool__(self) -> bool:
        return bool(self.classes)

    def add(
        self, future: asyncio.Future[_T], priority: int, refused: bool, deadline: float | None
    ) -> None:
        """Add a waiter at the end of its class.

        Args:
            future: of the waiter.
            priority: of its class; higher goes first.
            refused: whether its request was refused before.
            deadline: monotonic time at which it gives up; None if it does not.
        """
        key = inf if refused else priority
        waiters = self.classes.get(key)
        if waiters is None:
            self.classes[key] = waiters = OrderedDict()
            self.classes = dict(sorted(self.classes.items(), reverse=True))
        self._arrivals += 1
        waiters[future] = self._arrivals
        if deadline is not None:
            heappush(self._deadlines, (deadline, self._arrivals, future))
            if len(self._deadlines) > 2 * len(self) + _SLACK:
                self._deadlines = [entry for entry in self._deadlines if not entry[2].done()]
                heapify(self._deadlines)

    def ahead(self, priority: int, *, refused: bool) -> int:
        """How many would have their permit before a newcomer."""
        key = inf if refused else priority
        return sum(len(waiters) for each, waiters in self.classes.items() if each >= key)

    def remove(self, future: asyncio.Future[_T]) -> bool:
        """Remove a waiter that has left; False if it is not here."""
        for key, waiters in self.classes.items():
            if waiters.pop(future, None) is not None:
                if not waiters:
                    del self.classes[key]
                if not self.classes:
                    self._deadlines.clear()
                return True
        return False

    def pop(self) -> asyncio.Future[_T] | None:
        """Remove the waiter that has the next permit, and return it; None if there is none."""
        while self.classes:
            key = self._next_class()
            waiters = self.classes[key]
            future, _ = waiters.popitem(last=False)
            if not waiters:
                del self.classes[key]
            if not future.done():
                return future
        return None

    def _next_class(self) -> float:
        """The priority of the class whose first waiter has the next permit."""
        classes = self.classes
        first = next(iter(classes))
        if len(classes) == 1 or first == inf:
            return first
        oldest = min(classes, key=lambda key: next(iter(classes[key].values())))
        if oldest == first:
            return first
        self._contended += 1
        return first if self._contended % _OLDEST_EVERY else oldest

    def expired(self, at: float) -> list[asyncio.Future[_T]]:
        """Remove the waiters whose deadline lies before `at`, and return them."""
        futures = []
        deadlines = self._deadlines
        while deadlines and (deadlines[0][0] < at or deadlines[0][2].done()):
            future = heappop(deadlines)[2]
            if not future.done() and self.remove(future):
                futures.append(future)
        return futures

    def next_deadline(self) -> float:
        """The soonest deadline of a waiter; infinity if none has one."""
        deadlines = self._deadlines
        while deadlines and deadlines[0][2].done():
            heappop(deadlines)
        return deadlines[0][0] if deadlines else inf

    def clear(self) -> list[asyncio.Future[_T]]:
        """Remove all waiters, and return those that still wait."""
        futures = [future for waiters in self.classes.values() for future in waiters]
        self.classes, self._deadlines = {}, []
        return [future for future in futures if not future.done()]
