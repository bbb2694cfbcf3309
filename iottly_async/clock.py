"""The clock, injected wherever time or chance decides, so that tests never sleep."""

from __future__ import annotations

import asyncio
import random
import time
from typing import Protocol


class Clock(Protocol):
    """What the library needs of time and of chance."""

    def monotonic(self) -> float:
        """Seconds on a clock that never steps back; the running loop's own clock."""
        ...

    def time(self) -> float:
        """Seconds since the epoch by the local wall clock."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait so many seconds."""
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
        """Wait so many seconds; 0 or less lets other tasks run once."""
        await asyncio.sleep(max(seconds, 0.0))

    def random(self) -> float:
        """A number in [0, 1); jitter needs no cryptographic chance."""
        return random.random()  # noqa: S311


SYSTEM_CLOCK: Clock = SystemClock()
"""The one real clock."""
