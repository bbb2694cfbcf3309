"""A rendezvous: one task makes items, another takes them one by one.

A task for each page would cost a quarter of the page's CPU time: making, starting and ending
a task take an iteration of the loop each. With a rendezvous one task makes all requests of a
walk, and sends the next one in the same iteration in which the last page arrived.
"""

from __future__ import annotations

import asyncio
from typing import Generic, TypeVar

T = TypeVar("T")


class Rendezvous(Generic[T]):
    """Passes items from one giver to one taker.

    Neither runs ahead of the other by more than one item.
    """

    __slots__ = ("_closed", "_offered", "_taken", "_waiting")

    def __init__(self) -> None:
        self._waiting: asyncio.Future[T | None] | None = None
        self._offered: T | None = None
        self._taken: asyncio.Future[None] | None = None
        self._closed = False

    async def give(self, item: T) -> None:
        """Pass an item; return at once if the taker waits, else once it was taken."""
        waiting, self._waiting = self._waiting, None
        if waiting is not None and not waiting.done():
            waiting.set_result(item)
            return
        self._offered = item
        self._taken = asyncio.get_running_loop().create_future()
        await self._taken

    async def take(self) -> T | None:
        """Take the next item; None once the giver has closed and all items were taken."""
        if self._offered is not None:
            item, self._offered = self._offered, None
            if self._taken is not None and not self._taken.done():
                self._taken.set_result(None)
            return item
        if self._closed:
            return None
        self._waiting = asyncio.get_running_loop().create_future()
        return await self._waiting

    def close(self) -> None:
        """End the rendezvous: `take` returns None after the last item."""
        self._closed = True
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)
