"""Walks as one would write them: deep page numbers, fixed windows, bisection.

All of them are right on a server that stands still. What they cost is another matter.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Final

from .walk_data import EPOCH, YEAR
from .walk_server import PAGE, StandIn

DAY: Final = 86_400_000

Strategy = Callable[[StandIn, str, int], Awaitable[None]]
"""Walks over the year of a device of a server, with so many requests at once."""


async def deep_pages(server: StandIn, device: str, concurrency: int) -> None:
    """Page 1, 2, 3, … of the whole range, so many in flight, in order."""
    flying: deque[asyncio.Task[range]] = deque()
    number = 0
    while True:
        while len(flying) < concurrency:
            page = server.page(device, EPOCH, EPOCH + YEAR, number * PAGE, PAGE)
            flying.append(asyncio.ensure_future(page))
            number += 1
        rows = await flying.popleft()
        server.handed_out(device, rows)
        if len(rows) < PAGE:
            await asyncio.gather(*flying)
            return


async def daily_windows(server: StandIn, device: str, concurrency: int) -> None:
    """A window a day, pages by number within it, workers side by side."""
    days = iter(range(EPOCH, EPOCH + YEAR, DAY))

    async def worker() -> None:
        for day in days:
            number = 0
            while True:
                rows = await server.page(device, day, day + DAY, number * PAGE, PAGE)
                server.handed_out(device, rows)
                number += 1
                if len(rows) < PAGE:
                    break

    await asyncio.gather(*(worker() for _ in range(concurrency)))


async def bisection(server: StandIn, device: str, concurrency: int) -> None:
    """Halve a window until it fits a page; a millisecond that does not is read by numbers."""
    windows = deque([(EPOCH, EPOCH + YEAR)])
    news = asyncio.Event()
    busy = 0

    async def split(start: int, end: int) -> None:
        rows = await server.page(device, start, end, 0, PAGE)
        if len(rows) < PAGE:
            server.handed_out(device, rows)
        elif end - start > 1:
            middle = (start + end) // 2
            windows.extend([(start, middle), (middle, end)])
        else:
            number = 0
            while len(rows) == PAGE:
                server.handed_out(device, rows)
                number += 1
                rows = await server.page(device, start, end, number * PAGE, PAGE)
            server.handed_out(device, rows)

    async def worker() -> None:
        nonlocal busy
        while windows or busy:
            if not windows:
                news.clear()
                await news.wait()
                continue
            busy += 1
            await split(*windows.pop())
            busy -= 1
            news.set()

    await asyncio.gather(*(worker() for _ in range(concurrency)))


STRATEGIES: Final[dict[str, Strategy]] = {
    "deep pages": deep_pages,
    "daily windows": daily_windows,
    "bisection": bisection,
}
