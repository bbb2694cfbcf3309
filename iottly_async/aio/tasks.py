"""The tasks of a parallel walk: one owner, one first error, none left behind."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable
from typing import Any, TypeVar

_T = TypeVar("_T")


class TaskGroup:
    """Tasks that work for a generator.

    Attributes:
        error: the first that one of them raised; the others are cancelled with it.
        open: whether more may be set to work: not after an error, not at the end.
        news: set whenever a task ends; the tasks set it for what else is new.
    """

    __slots__ = ("_tasks", "error", "news", "open")

    def __init__(self) -> None:
        self._tasks: set[asyncio.Future[Any]] = set()
        self.error: BaseException | None = None
        self.open = True
        self.news = asyncio.Event()

    def __len__(self) -> int:
        return len(self._tasks)

    def start(self, work: Coroutine[Any, Any, _T]) -> asyncio.Task[_T]:
        """Set a task to work."""
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Future[Any]) -> None:
        self._tasks.discard(task)
        self.news.set()
        error = None if task.cancelled() else task.exception()
        if error is not None and self.error is None:
            self.error = error
            self.open = False
            for other in self._tasks:
                other.cancel()

    async def wait(self) -> None:
        """Wait for news."""
        self.news.clear()
        await self.news.wait()

    async def dismiss(self) -> None:
        """Cancel all tasks and wait until they have ended."""
        self.open = False
        await cancel_and_wait(self._tasks)


async def cancel_and_wait(tasks: Iterable[asyncio.Future[Any]]) -> None:
    """Cancel what is under way and wait until it has ended; how it ended is of no concern."""
    tasks = [*tasks]
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
