"""Telling the live channels of each new message, at the moment when it becomes visible (D11)."""

import asyncio
from collections.abc import Callable, Iterable
from heapq import heappop, heappush

from .clock import EmulatorClock
from .fleet.devices import Device
from .rows import Row

_TICK = 0.01

Listener = Callable[[Device, Row], None]


class Visibility:
    """Appended messages on their way to a listener, in the order in which they become visible.

    Late ones are looked at every 10 ms, by the server's clock, which may be pinned or moved.
    """

    def __init__(self, clock: EmulatorClock, tell: Listener) -> None:
        self._clock = clock
        self._tell = tell
        self._coming: list[tuple[int, int, Device, Row]] = []
        self._timer: asyncio.TimerHandle | None = None

    def appended(self, device: Device, rows: Iterable[Row]) -> None:
        """Messages were stored: tell of those that are visible, and later of the others."""
        now = self._clock.now_ms()
        for row in rows:
            if row.visible_at <= now:
                self._tell(device, row)
            else:
                heappush(self._coming, (row.visible_at, row.id, device, row))
        self._look_again()

    def clear(self) -> None:
        """Forget the messages that are still to come."""
        self._coming.clear()
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None

    def _look(self) -> None:
        self._timer = None
        now = self._clock.now_ms()
        while self._coming and self._coming[0][0] <= now:
            _, _, device, row = heappop(self._coming)
            self._tell(device, row)
        self._look_again()

    def _look_again(self) -> None:
        if self._coming and self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_TICK, self._look)
