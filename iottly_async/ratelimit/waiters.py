"""Who waits for a turn, and in which order.

First the refused, who had their turn taken away by a 429. Then the lanes by priority,
first in first out within each; while several lanes wait, every fourth turn goes to
whoever has waited longest of all, so that a busy high lane starves no low one.
"""

from __future__ import annotations

import asyncio
from collections import deque
from heapq import heapify, heappop, heappush
from math import inf
from typing import Generic, TypeVar

__all__ = ["PriorityClass", "WaiterQueue"]

_OLDEST_EVERY = 4
"""Of so many turns under contention one goes to the longest wait, whatever its lane."""

_SLACK = 64
"""So many leftovers of cancelled waiters are not worth clearing away."""

_T = TypeVar("_T")


class PriorityClass(Generic[_T]):
    """The waiters of one priority, in the order of their coming."""

    __slots__ = ("live", "waiters")

    def __init__(self) -> None:
        self.waiters: deque[tuple[int, asyncio.Future[_T]]] = deque()
        self.live = 0
        """How many of them still wait; the others were cancelled and will be skipped."""

    def head(self) -> int | None:
        """The number of the first who still waits; None where nobody does."""
        waiters = self.waiters
        while waiters and waiters[0][1].done():
            waiters.popleft()
        return waiters[0][0] if waiters else None


class WaiterQueue(Generic[_T]):
    """The lanes, and the deadlines of those who have one."""

    __slots__ = ("_arrivals", "_contended", "_deadlines", "_lanes", "_refused", "_single", "live")

    def __init__(self) -> None:
        self._refused: PriorityClass[_T] = PriorityClass()
        self._lanes: dict[int, PriorityClass[_T]] = {}  # highest priority first
        self._single: PriorityClass[_T] | None = None  # the only lane, as long as there is one
        self._deadlines: list[tuple[float, int, asyncio.Future[_T], PriorityClass[_T]]] = []
        self._arrivals = 0
        self._contended = 0
        self.live = 0
        """How many wait."""

    def add(
        self,
        future: asyncio.Future[_T],
        priority: int,
        refused: bool,
        deadline: float | None,
    ) -> PriorityClass[_T]:
        """Stand in line; returns the lane, which is told when the waiter gives up."""
        lane = self._refused if refused else self._lane(priority)
        self._arrivals += 1
        lane.waiters.append((self._arrivals, future))
        lane.live += 1
        self.live += 1
        if deadline is not None:
            heappush(self._deadlines, (deadline, self._arrivals, future, lane))
            if len(self._deadlines) > 2 * self.live + _SLACK:
                self._deadlines = [entry for entry in self._deadlines if not entry[2].done()]
                heapify(self._deadlines)
        return lane

    def _lane(self, priority: int) -> PriorityClass[_T]:
        lane = self._lanes.get(priority)
        if lane is None:
            self._lanes[priority] = lane = PriorityClass()
            self._lanes = dict(sorted(self._lanes.items(), reverse=True))
            self._single = lane if len(self._lanes) == 1 else None
        return lane

    def ahead(self, priority: int, *, refused: bool) -> int:
        """How many would have their turn before a newcomer."""
        live = self._refused.live
        if not refused:
            live += sum(lane.live for p, lane in self._lanes.items() if p >= priority)
        return live

    def pop(self) -> asyncio.Future[_T] | None:
        """Take out who has the next turn; None where nobody waits any more."""
        refused = self._refused
        lane = self._single
        if lane is None or refused.live:
            lane = self._next_lane()
            if lane is None:
                return None
        waiters = lane.waiters
        while waiters:
            future = waiters.popleft()[1]
            if not future.done():
                lane.live -= 1
                self.live -= 1
                return future
        return None

    def forget(self, lane: PriorityClass[_T]) -> None:
        """One of `lane` was cancelled."""
        lane.live -= 1
        self.live -= 1
        if not self.live:
            self._deadlines.clear()
        if len(lane.waiters) > 2 * lane.live + _SLACK:
            lane.waiters = deque(waiter for waiter in lane.waiters if not waiter[1].done())

    def _next_lane(self) -> PriorityClass[_T] | None:
        """The lane whose first waiter has the next turn; None where nobody waits."""
        if self._refused.live and self._refused.head() is not None:
            return self._refused
        first: PriorityClass[_T] | None = None
        oldest: PriorityClass[_T] | None = None
        oldest_head = 0
        for lane in self._lanes.values():
            head = lane.head()
            if head is None:
                continue
            if first is None:
                first = lane
            if oldest is None or head < oldest_head:
                oldest, oldest_head = lane, head
        if first is oldest:
            return first
        self._contended += 1
        return first if self._contended % _OLDEST_EVERY else oldest

    def expired(self, turn: float) -> list[asyncio.Future[_T]]:
        """Take out those whose deadline lies before `turn`, the next one that there can be."""
        futures = []
        deadlines = self._deadlines
        while deadlines and (deadlines[0][0] < turn or deadlines[0][2].done()):
            _, _, future, lane = heappop(deadlines)
            if not future.done():
                lane.live -= 1
                self.live -= 1
                futures.append(future)
        return futures

    def next_deadline(self) -> float:
        """The soonest deadline of a waiter; inf where nobody has one."""
        deadlines = self._deadlines
        while deadlines and deadlines[0][2].done():
            heappop(deadlines)
        return deadlines[0][0] if deadlines else inf

    def clear(self) -> list[asyncio.Future[_T]]:
        """Take everybody out; returns those who still wait."""
        lanes = [self._refused, *self._lanes.values()]
        # New lanes, for those who leave still hold the old ones.
        self._refused, self._lanes, self._deadlines, self.live = PriorityClass(), {}, [], 0
        self._single = None
        return [future for lane in lanes for _, future in lane.waiters if not future.done()]
