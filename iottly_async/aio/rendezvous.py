"""From hand to hand: one thing at a time from a task that makes to one that takes.

A task of its own for each page would cost a page a quarter of its CPU time: the making,
the starting and the ending of a task are each a turn of the loop. One task for the
whole walk goes on to the next request in the very step in which the last page arrived.
"""

from __future__ import annotations

import asyncio
from typing import Generic, TypeVar

T = TypeVar("T")


class Rendezvous(Generic[T]):
    """Hands things over; neither side runs ahead of the other by more than one.

    There is one giver and one taker.
    """

    __slots__ = ("_closed", "_given", "_offered", "_waiting")

    def __init__(self) -> None:
        self._waiting: asyncio.Future[T | None] | None = None
        self._offered: T | None = None
        self._given: asyncio.Future[None] | None = None
        self._closed = False

    async def give(self, thing: T) -> None:
        """Hand `thing` over: at once where it is waited for, else once it is taken."""
        waiting, self._waiting = self._waiting, None
        if waiting is not None and not waiting.done():
            waiting.set_result(thing)
            return
        self._offered = thing
        self._given = asyncio.get_running_loop().create_future()
        await self._given

    async def take(self) -> T | None:
        """The next thing; None once the giver has closed and all was taken."""
        if self._offered is not None:
            thing, self._offered = self._offered, None
            if self._given is not None and not self._given.done():
                self._given.set_result(None)
            return thing
        if self._closed:
            return None
        self._waiting = asyncio.get_running_loop().create_future()
        return await self._waiting

    def close(self) -> None:
        """Nothing more will be given."""
        self._closed = True
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)
