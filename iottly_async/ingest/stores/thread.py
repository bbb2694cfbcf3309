"""A thread of a store's own: its calls run there one after the other, the loop goes on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


class StoreThread:
    """One thread, made by the first call, ended by `close`."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._executor: ThreadPoolExecutor | None = None

    async def run(self, function: Callable[[], T]) -> T:
        """What `function` returns, once it was its turn in the thread.

        Cancelled, it returns at once, while a call that began goes on to its end: the
        next one waits for it.
        """
        if self._executor is None:
            self._executor = ThreadPoolExecutor(1, thread_name_prefix=self._name)
        return await asyncio.get_running_loop().run_in_executor(self._executor, function)

    async def close(self, last: Callable[[], None]) -> None:
        """Run `last` in the thread and end it; nothing where no call was made before."""
        if self._executor is None:
            return
        executor, self._executor = self._executor, None
        try:
            # Not given up when cancelled: a file is not left open behind the caller.
            await asyncio.shield(asyncio.get_running_loop().run_in_executor(executor, last))
        finally:
            executor.shutdown(wait=False)
