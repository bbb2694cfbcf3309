"""One thread for a store's blocking calls."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


class StoreThread:
    """A thread that runs one call after the other. The first call starts it."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._executor: ThreadPoolExecutor | None = None

    async def run(self, function: Callable[[], T]) -> T:
        """Run `function` in the thread and return what it returns.

        If this is cancelled, it returns at once. A call that has begun runs to its end, and
        the next call waits for it.
        """
        if self._executor is None:
            self._executor = ThreadPoolExecutor(1, thread_name_prefix=self._name)
        return await asyncio.get_running_loop().run_in_executor(self._executor, function)

    async def close(self, last: Callable[[], None]) -> None:
        """Run `last` in the thread, then end the thread. Without a thread, do nothing."""
        if self._executor is None:
            return
        executor, self._executor = self._executor, None
        try:
            # Shielded: a cancelled job must not leave its file open.
            await asyncio.shield(asyncio.get_running_loop().run_in_executor(executor, last))
        finally:
            executor.shutdown(wait=False)
