"""The clock and the source of random numbers, injected so that tests never sleep."""

from __future__ import annotations

import asyncio
import random
import time
from typing import Protocol


class Clock(Protocol):
    """Time and random numbers, as the library needs them."""

    def monotonic(self) -> float:
        """Seconds of a clock that never steps back, the running loop's own."""
        ...

    def time(self) -> float:
        """Seconds since the epoch, of the local wall clock."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Sleep."""
        ...

    def random(self) -> float:
        """A number in [0, 1)."""
        ...


class SystemClock:
    """The real clock: `time.monotonic`, which is asyncio's own, and `time.time`."""

    __slots__ = ()

    def monotonic(self) -> float:
        """Seconds of `time.monotonic`."""
        return time.monotonic()

    def time(self) -> float:
        """Seconds since the epoch."""
        return time.time()

    async def sleep(self, seconds: float) -> None:
        """Sleep; 0 s or less lets other tasks run once."""
        await asyncio.sleep(max(seconds, 0.0))

    def random(self) -> float:
        """A number in [0, 1); not for cryptography."""
        return random.random()  # noqa: S311


SYSTEM_CLOCK: Clock = SystemClock()
"""The one real clock."""
