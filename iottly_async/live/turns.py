"""Whose turn it is next: a heap in which turns can be moved."""

from __future__ import annotations

import asyncio
from heapq import heappop, heappush
from itertools import count
from math import inf
from typing import Generic, TypeVar

T = TypeVar("T")


class _Heap(Generic[T]):
    """Things with the time at which each is due, one turn each."""

    __slots__ = ("_entries", "_numbers", "_valid")

    def __init__(self) -> None:
        self._entries: list[tuple[float, int, T]] = []
        self._valid: dict[T, int] = {}
        self._numbers = count()

    def put(self, thing: T, due: float) -> None:
        number = self._valid[thing] = next(self._numbers)
        heappush(self._entries, (due, number, thing))

    def forget(self, thing: T) -> None:
        self._valid.pop(thing, None)

    def first(self) -> float:
        entries, valid = self._entries, self._valid
        while entries and valid.get(entries[0][2]) != entries[0][1]:
            heappop(entries)  # moved, or forgotten
        return entries[0][0] if entries else inf

    def take(self) -> T:
        self.first()
        return heappop(self._entries)[2]


class Turns(Generic[T]):
    """Ordinary turns, and urgent ones; a thing may have one of each, and has none once taken."""

    __slots__ = ("_changed", "_ordinary", "_urgent")

    def __init__(self) -> None:
        self._ordinary: _Heap[T] = _Heap()
        self._urgent: _Heap[T] = _Heap()
        self._changed = asyncio.Event()

    def put(self, thing: T, due: float, *, urgent: bool = False) -> None:
        """Give a thing a turn, in place of the one of that kind that it has."""
        (self._urgent if urgent else self._ordinary).put(thing, due)
        self._changed.set()

    def first(self, *, urgent: bool) -> float:
        """When the next turn of that kind is due; inf where there is none."""
        return (self._urgent if urgent else self._ordinary).first()

    def take(self, *, urgent: bool) -> T:
        """The thing whose turn of that kind is first."""
        thing = (self._urgent if urgent else self._ordinary).take()
        self._ordinary.forget(thing)
        self._urgent.forget(thing)
        return thing

    async def changed(self, patience: float) -> None:
        """Return when a turn was given, or after `patience` seconds."""
        self._changed.clear()
        try:
            async with asyncio.timeout(None if patience == inf else patience):
                await self._changed.wait()
        except TimeoutError:
            pass
