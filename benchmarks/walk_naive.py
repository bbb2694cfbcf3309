"""Simple walks to compare with: deep page numbers, one interval a day, bisection.

Each is correct on a server whose messages do not change meanwhile.
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
"""Walks over the year of a device of a server, with a number of requests at once."""


async def deep_pages(server: StandIn, device: str, concurrency: int) -> None:
    """Request page 1, 2, 3, … of the whole range, `concurrency` at once, in order."""
    under_way: deque[asyncio.Task[range]] = deque()
    number = 0
    while True:
        while len(under_way) < concurrency:
            page = server.page(device, EPOCH, EPOCH + YEAR, number * PAGE, PAGE)
            under_way.append(asyncio.ensure_future(page))
            number += 1
        rows = await under_way.popleft()
        server.note_delivered(device, rows)
        if len(rows) < PAGE:
            await asyncio.gather(*under_way)
            return


async def daily_windows(server: StandIn, device: str, concurrency: int) -> None:
    """Request pages by number within each day, with one worker for each request at once."""
    days = iter(range(EPOCH, EPOCH + YEAR, DAY))

    async def worker() -> None:
        for day in days:
            number = 0
            while True:
                rows = await server.page(device, day, day + DAY, number * PAGE, PAGE)
                server.note_delivered(device, rows)
                number += 1
                if len(rows) < PAGE:
                    break

    await asyncio.gather(*(worker() for _ in range(concurrency)))


async def bisection(server: StandIn, device: str, concurrency: int) -> None:
    """Halve an interval until it fits a page; read a larger millisecond by page numbers."""
    intervals = deque([(EPOCH, EPOCH + YEAR)])
    changed = asyncio.Event()
    busy = 0

    async def split(start: int, end: int) -> None:
        rows = await server.page(device, start, end, 0, PAGE)
        if len(rows) < PAGE:
            server.note_delivered(device, rows)
        elif end - start > 1:
            middle = (start + end) // 2
            intervals.extend([(start, middle), (middle, end)])
        else:
            number = 0
            while len(rows) == PAGE:
                server.note_delivered(device, rows)
                number += 1
                rows = await server.page(device, start, end, number * PAGE, PAGE)
            server.note_delivered(device, rows)

    async def worker() -> None:
        nonlocal busy
        while intervals or busy:
            if not intervals:
                changed.clear()
                await changed.wait()
                continue
            busy += 1
            await split(*intervals.pop())
            busy -= 1
            changed.set()

    await asyncio.gather(*(worker() for _ in range(concurrency)))


STRATEGIES: Final[dict[str, Strategy]] = {
    "deep pages": deep_pages,
    "daily windows": daily_windows,
    "bisection": bisection,
}
