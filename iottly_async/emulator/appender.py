"""Appends new messages at a steady rate while the emulator runs."""

import asyncio
import itertools
from collections.abc import Callable, Sequence

from .fleet.devices import Device
from .settings import check_number

_INTERVAL = 0.05
_MAX_RATE = 100_000


class Appender:
    """One task that calls ``append`` with each connected device in turn.

    ``rate`` is in messages a second; None while nothing is appended.
    """

    def __init__(self, append: Callable[[Device], object]) -> None:
        self._append = append
        self._task: asyncio.Task[None] | None = None
        self.rate: float | None = None

    def start(self, rate: float, devices: Sequence[Device]) -> None:
        """Append ``rate`` messages a second from now on; replaces an earlier rate.

        Raises ``ValueError`` for a rate that is not positive or above 100,000, and for a list
        without devices.
        """
        check_number("rate", rate, 0, _MAX_RATE, above=True)
        if not devices:
            raise ValueError("a fleet without devices sends no messages")
        self.stop()
        self.rate = rate
        self._task = asyncio.get_running_loop().create_task(self._run(rate, devices))

    def stop(self) -> None:
        """Stop appending."""
        if self._task is not None:
            self._task.cancel()
        self._task, self.rate = None, None

    async def _run(self, rate: float, devices: Sequence[Device]) -> None:
        loop = asyncio.get_running_loop()
        turns = itertools.cycle(devices)
        started, appended = loop.time(), 0
        while True:
            await asyncio.sleep(max(_INTERVAL, 1 / rate))
            due = int((loop.time() - started) * rate)
            while appended < due:
                appended += 1
                turn = itertools.islice(turns, len(devices))
                device = next((device for device in turn if device.connected), None)
                if device is not None:
                    self._append(device)
