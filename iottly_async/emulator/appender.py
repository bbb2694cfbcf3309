"""Appends new messages at a steady rate while the emulator runs."""

import asyncio
from collections.abc import Callable, Sequence

_INTERVAL = 0.05


class Appender:
    """One task that calls ``append`` with each device id in turn.

    ``rate`` is in messages a second; None while nothing is appended.
    """

    def __init__(self, append: Callable[[str], object]) -> None:
        self._append = append
        self._task: asyncio.Task[None] | None = None
        self.rate: float | None = None

    def start(self, rate: float, device_ids: Sequence[str]) -> None:
        """Append ``rate`` messages a second from now on; replaces an earlier rate.

        Raises ``ValueError`` for a rate that is not positive or a list without devices.
        """
        if not rate > 0:
            raise ValueError(f"rate={rate!r}: must be more than 0 messages a second")
        if not device_ids:
            raise ValueError("a fleet without devices sends no messages")
        self.stop()
        self.rate = rate
        self._task = asyncio.get_running_loop().create_task(self._run(rate, device_ids))

    def stop(self) -> None:
        """Stop appending."""
        if self._task is not None:
            self._task.cancel()
        self._task, self.rate = None, None

    async def _run(self, rate: float, device_ids: Sequence[str]) -> None:
        loop = asyncio.get_running_loop()
        started, appended = loop.time(), 0
        while True:
            await asyncio.sleep(max(_INTERVAL, 1 / rate))
            due = int((loop.time() - started) * rate)
            while appended < due:
                self._append(device_ids[appended % len(device_ids)])
                appended += 1
