"""Coroutines run together: the first error ends the others and is raised as itself."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable
from typing import Any


async def run_together(work: Iterable[Coroutine[Any, Any, None]]) -> None:
    """Return once all have returned; none is left running, however this ends."""
    tasks = [asyncio.ensure_future(one) for one in work]
    try:
        for done in asyncio.as_completed(tasks):
            await done
    finally:
        await end(tasks)


async def end(tasks: Iterable[asyncio.Future[Any]]) -> None:
    """Cancel what still runs, and wait until it has ended; how is of no concern."""
    tasks = list(tasks)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
