"""A doorbell: it wakes a follower, so that a device is polled before it is due.

A wake-up carries no message. Messages come from polls alone. So a wake-up that is lost
costs time and never a message, and one that is superfluous costs a request.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

from ..models import Message


class Doorbell:
    """Wakes a follower when there may be new messages.

    Anything may ring it: the handler of a webhook, a stream, a test. Rings are remembered
    until the follower takes them, each device once, so ringing is cheap. One follower at a
    time can listen to it.

    Example:
        A webhook rings, and the follower polls that device at once:

        ```python
        bell = Doorbell()

        async def on_webhook(message: Message) -> None:
            bell.ring(message.device_id)

        async for batch in project.messages.follow_many(doorbell=bell):
            ...
        ```
    """

    __slots__ = ("_all", "_devices", "_rung")

    def __init__(self) -> None:
        self._devices: dict[str, None] = {}
        self._all = False
        self._rung = asyncio.Event()

    def ring(self, device_id: str | None = None) -> None:
        """Tell the follower that there may be new messages.

        Call it in the thread of the follower's event loop.

        Args:
            device_id: the device that may have sent. None (the default) is any device.
        """
        if device_id is None:
            self._all = True
        else:
            self._devices[device_id] = None
        self._rung.set()

    def __aiter__(self) -> AsyncIterator[str | None]:
        """Yield the ids of devices that may have sent, None for all of them, without end."""
        return self._rings()

    async def _rings(self) -> AsyncIterator[str | None]:
        while True:
            await self._rung.wait()
            if self._all:
                self._all = False
                self._devices.clear()
                yield None
            elif self._devices:
                device_id = next(iter(self._devices))
                del self._devices[device_id]
                yield device_id
            else:
                self._rung.clear()


def device_of(ring: object) -> str | None:
    """The device that an item of a doorbell names: a text is its id, a message has it.

    Returns:
        None for anything else, which concerns all devices.
    """
    if isinstance(ring, str):
        return ring
    return ring.device_id if isinstance(ring, Message) else None


async def listen(doorbell: Any, wake: Callable[[str | None], None]) -> None:
    """Listen to a doorbell until it ends. Its errors pass through.

    Args:
        doorbell: an async-iterable, each of whose items is a ring (a `Doorbell`, a
            `Stream`); or a callable whose result is awaited again and again, each time a
            ring (`asyncio.Queue().get`); or one awaitable, which rings once.
        wake: called with each ring's device, None for all devices.
    """
    if hasattr(doorbell, "__aiter__"):
        async for ring in doorbell:
            wake(device_of(ring))
            await asyncio.sleep(0)  # a doorbell that never waits must not block the event loop
    elif callable(doorbell):
        while True:
            wake(device_of(await doorbell()))
            await asyncio.sleep(0)
    else:
        wake(device_of(await doorbell))


def is_doorbell(doorbell: object) -> bool:
    """Whether `listen` accepts it."""
    return callable(doorbell) or hasattr(doorbell, "__aiter__") or hasattr(doorbell, "__await__")
