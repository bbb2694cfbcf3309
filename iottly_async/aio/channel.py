"""A bounded channel from several tasks to one consumer."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Generic, TypeVar

T = TypeVar("T")


class Channel(Generic[T]):
    """A queue with a limited size; an error ends it.

    Args:
        size: how many items it holds before `put` waits.
    """

    __slots__ = ("_error", "_has_items", "_has_room", "_items", "_size")

    def __init__(self, size: int) -> None:
        self._size = size
        self._items: deque[T] = deque()
        self._error: BaseException | None = None
        self._has_items = asyncio.Event()
        self._has_room = asyncio.Event()
        self._has_room.set()

    async def put(self, item: T) -> None:
        """Add an item, once there is room."""
        while len(self._items) >= self._size:
            self._has_room.clear()
            await self._has_room.wait()
        self._items.append(item)
        self._has_items.set()

    def fail(self, error: BaseException) -> None:
        """Let `get` raise an error once the channel is empty; only the first one counts."""
        self._error = self._error or error
        self._has_items.set()

    async def get(self) -> T:
        """Take the oldest item, once there is one.

        Raises:
            BaseException: the error given to `fail`; the channel is empty.
        """
        while not self._items:
            if self._error is not None:
                raise self._error
            self._has_items.clear()
            await self._has_items.wait()
        item = self._items.popleft()
        self._has_room.set()
        return item
