"""The tasks of one owner: the first error ends them all, and none is left behind."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from types import TracebackType
from typing import Any, Self, TypeVar

_T = TypeVar("_T")


class TaskGroup:
    """Tasks that work for one owner, such as an async generator.

    Unlike `asyncio.TaskGroup` it does not cancel its owner when a task fails: the owner
    learns of it by `wait`, `join` or `on_error`, so that it can first yield what it has.
    The error is raised as itself, not in an exception group. Leaving `async with` cancels
    the tasks that still run, and waits for them.

    Args:
        on_error: called once, with the first error; None calls nothing.

    Attributes:
        error: the first error that a task raised; None as long as there was none. The other
            tasks are cancelled with it.
        open: whether tasks may be started: not after an error, not at the end.
        changed: set whenever a task ends. Tasks may set it for other changes that `wait`
            waits for.
    """

    __slots__ = ("_on_error", "_tasks", "changed", "error", "open")

    def __init__(self, on_error: Callable[[BaseException], None] | None = None) -> None:
        self._on_error = on_error
        self._tasks: set[asyncio.Future[Any]] = set()
        self.error: BaseException | None = None
        self.open = True
        self.changed = asyncio.Event()

    def __len__(self) -> int:
        return len(self._tasks)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    def start(self, work: Coroutine[Any, Any, _T]) -> asyncio.Task[_T]:
        """Start a task."""
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Future[Any]) -> None:
        self._tasks.discard(task)
        self.changed.set()
        error = None if task.cancelled() else task.exception()
        if error is not None and self.error is None:
            self.error = error
            self.open = False
            for other in self._tasks:
                other.cancel()
            if self._on_error is not None:
                self._on_error(error)

    async def wait(self) -> None:
        """Wait until a task ends, or sets `changed`."""
        self.changed.clear()
        await self.changed.wait()

    async def join(self) -> None:
        """Wait until all tasks have ended.

        Raises:
            BaseException: the first error of a task.
        """
        while self._tasks:
            await self.wait()
        if self.error is not None:
            raise self.error

    async def aclose(self) -> None:
        """Cancel all tasks and wait until they have ended."""
        self.open = False
        await cancel_and_wait(self._tasks)


async def run_together(work: Iterable[Coroutine[Any, Any, object]]) -> None:
    """Run coroutines at the same time until all have returned.

    Raises:
        BaseException: the first error; the other coroutines are cancelled.
    """
    async with TaskGroup() as tasks:
        for one in work:
            tasks.start(one)
        await tasks.join()


async def cancel_and_wait(tasks: Iterable[asyncio.Future[Any]]) -> None:
    """Cancel tasks and wait until they have ended; their errors are not raised."""
    tasks = [*tasks]
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
