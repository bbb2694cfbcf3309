"""A doorbell: what makes a follower look at once instead of at its next turn.

It brings no message, only the word that there may be one: the walk is the only source of
messages. So a ring that is lost costs time and never a message, and one too many costs a
request.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

from ..models import Message


class Doorbell:
    """A bell that anything may ring: a webhook's handler, a stream, a test.

    Rings are remembered until they are heard, each device once, so ringing is cheap. One
    follower at a time listens.
    """

    __slots__ = ("_all", "_devices", "_rung")

    def __init__(self) -> None:
        self._devices: dict[str, None] = {}
        self._all = False
        self._rung = asyncio.Event()

    def ring(self, device_id: str | None = None) -> None:
        """There may be news of the device `device_id`; None: of any."""
        if device_id is None:
            self._all = True
        else:
            self._devices[device_id] = None
        self._rung.set()

    def __aiter__(self) -> AsyncIterator[str | None]:
        """The devices that were rung for, None for all; never ends."""
        return self._heard()

    async def _heard(self) -> AsyncIterator[str | None]:
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
    """The device that a ring is about: a text is its id, a message names it; else None, all."""
    if isinstance(ring, str):
        return ring
    return ring.device_id if isinstance(ring, Message) else None


async def listen(doorbell: Any, heard: Callable[[str | None], None]) -> None:
    """Hear `doorbell` until it ends; what it raises passes through.

    Args:
        doorbell: an async-iterable, each of whose items is a ring (a `Doorbell`, a
            `Stream`); or a callable whose result is awaited again and again, each time a
            ring (`asyncio.Queue().get`); or one awaitable, which rings once.
        heard: called with each ring's device, None for all.
    """
    if hasattr(doorbell, "__aiter__"):
        async for ring in doorbell:
            heard(device_of(ring))
            await asyncio.sleep(0)  # one that never waits must not stop all else
    elif callable(doorbell):
        while True:
            heard(device_of(await doorbell()))
            await asyncio.sleep(0)
    else:
        heard(device_of(await doorbell))


def is_doorbell(doorbell: object) -> bool:
    """Whether it is one of the things that `listen` takes."""
    return callable(doorbell) or hasattr(doorbell, "__aiter__") or hasattr(doorbell, "__await__")
