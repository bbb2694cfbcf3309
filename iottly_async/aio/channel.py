"""From several tasks to one consumer: bounded, and the first failure ends it."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Generic, TypeVar

T = TypeVar("T")


class Channel(Generic[T]):
    """Things on their way to one who takes them, `size` at most."""

    __slots__ = ("_error", "_room", "_size", "_some", "_things")

    def __init__(self, size: int) -> None:
        self._size = size
        self._things: deque[T] = deque()
        self._error: BaseException | None = None
        self._some = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()

    async def put(self, thing: T) -> None:
        """Add one, when there is room."""
        while len(self._things) >= self._size:
            self._room.clear()
            await self._room.wait()
        self._things.append(thing)
        self._some.set()

    def fail(self, error: BaseException) -> None:
        """Whoever takes is given this, once nothing else is left."""
        self._error = self._error or error
        self._some.set()

    async def get(self) -> T:
        """The oldest.

        Raises:
            BaseException: the first failure, once nothing else is left.
        """
        while not self._things:
            if self._error is not None:
                raise self._error
            self._some.clear()
            await self._some.wait()
        thing = self._things.popleft()
        self._room.set()
        return thing
