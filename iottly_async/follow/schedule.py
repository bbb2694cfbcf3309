"""Whose turn it is next: a heap in which turns can be moved."""

from __future__ import annotations

import asyncio
from heapq import heappop, heappush
from itertools import count
from math import inf
from typing import Generic, Literal, TypeVar

T = TypeVar("T")

Kind = Literal["rung", "likely", "guard"]


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

    def next(self) -> T:
        self.first()
        return self._entries[0][2]


class Schedule(Generic[T]):
    """Schedule of three kinds; a thing may have one of each, and has none once it was taken.

    "rung": a doorbell rang. "likely": it has probably sent. "guard": whatever is thought of
    it, it was not looked at for long.
    """

    __slots__ = ("_changed", "_heaps")

    def __init__(self) -> None:
        self._heaps: dict[Kind, _Heap[T]] = {"rung": _Heap(), "likely": _Heap(), "guard": _Heap()}
        self._changed = asyncio.Event()

    def put(self, thing: T, due: float, kind: Kind) -> None:
        """Give a thing a turn, in place of the one of that kind that it has."""
        self._heaps[kind].put(thing, due)
        self._changed.set()

    def first(self, kind: Kind) -> float:
        """When the next turn of that kind is due; inf where there is none."""
        return self._heaps[kind].first()

    def next(self, kind: Kind) -> T:
        """The thing whose turn of that kind is first."""
        return self._heaps[kind].next()

    def take(self, kind: Kind) -> T:
        """The same, and it has no turn any more."""
        thing = self._heaps[kind].next()
        for heap in self._heaps.values():
            heap.forget(thing)
        return thing

    async def changed(self, patience: float) -> None:
        """Return when a turn was given, or after `patience` seconds."""
        self._changed.clear()
        try:
            async with asyncio.timeout(None if patience == inf else patience):
                await self._changed.wait()
        except TimeoutError:
            pass
