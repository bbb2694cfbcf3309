"""Publishes new messages to webhooks and streams when they become visible (D11)."""

import asyncio
from collections.abc import Callable, Iterable
from heapq import heappop, heappush

from .clock import EmulatorClock
from .fleet.devices import Device
from .rows import Row

_INTERVAL = 0.01

Publish = Callable[[Device, Row], None]


class Publisher:
    """Calls ``publish`` for each new message, in the order in which messages become visible.

    Late messages are checked every 10 ms: the server's clock may be pinned or moved, so no timer
    can be set for the moment itself.
    """

    def __init__(self, clock: EmulatorClock, publish: Publish) -> None:
        self._clock = clock
        self._publish = publish
        self._late: list[tuple[int, int, Device, Row]] = []
        self._timer: asyncio.TimerHandle | None = None

    def add(self, device: Device, rows: Iterable[Row]) -> None:
        """Publish new rows: visible ones now, late ones later."""
        now = self._clock.now_ms()
        for row in rows:
            if row.visible_at <= now:
                self._publish(device, row)
            else:
                heappush(self._late, (row.visible_at, row.id, device, row))
        self._set_timer()

    def clear(self) -> None:
        """Drop the messages that are not visible yet."""
        self._late.clear()
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None

    def _check(self) -> None:
        self._timer = None
        now = self._clock.now_ms()
        while self._late and self._late[0][0] <= now:
            _, _, device, row = heappop(self._late)
            self._publish(device, row)
        self._set_timer()

    def _set_timer(self) -> None:
        if self._late and self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_INTERVAL, self._check)
