"""New messages at a steady rate, while the emulator runs."""

import asyncio
from typing import Protocol

from .fleet.devices import Fleet

_TICK = 0.05


class _Target(Protocol):
    fleet: Fleet

    def append(self, device_id: str, messages: int = 1) -> list[int]: ...


class Appender:
    """One task that appends; the devices take turns."""

    def __init__(self, target: "_Target") -> None:
        self._target = target
        self._task: asyncio.Task[None] | None = None
        self.rate: float | None = None

    def start(self, rate: float, device_ids: list[str] | None = None) -> None:
        """Append ``rate`` messages a second from now on, to these devices or to all in turn.

        Replaces what was going on. Must be called in a running loop. ``ValueError`` for a rate that
        is not positive, ``KeyError`` for an unknown device.
        """
        if not rate > 0:
            raise ValueError(f"rate={rate!r}: messages a second, more than 0")
        fleet = self._target.fleet
        ids = [fleet.find(each).id for each in device_ids or [d.id for d in fleet.devices]]
        if not ids:
            raise ValueError("a fleet without devices sends nothing")
        self.stop()
        self.rate = rate
        self._task = asyncio.get_running_loop().create_task(self._run(rate, ids))

    def stop(self) -> None:
        """Append no more."""
        if self._task is not None:
            self._task.cancel()
        self._task, self.rate = None, None

    async def _run(self, rate: float, ids: list[str]) -> None:
        loop = asyncio.get_running_loop()
        begun, sent = loop.time(), 0
        while True:
            await asyncio.sleep(max(_TICK, 1 / rate))
            due = int((loop.time() - begun) * rate)
            while sent < due:
                self._target.append(ids[sent % len(ids)])
                sent += 1
