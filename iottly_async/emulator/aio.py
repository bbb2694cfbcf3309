"""Small asyncio tools that several files of the emulator use."""

import asyncio
import contextlib
import socket
import struct
from collections.abc import Callable

_LINGER_ZERO = struct.pack("ii", 1, 0)


class Signal:
    """Wakes the tasks that wait for it; it can be sent any number of times."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def send(self) -> None:
        """Wake every task that waits at present."""
        self._event.set()
        self._event = asyncio.Event()

    async def wait(self, timeout: float | None = None) -> None:
        """Return at the next ``send``, or after ``timeout`` seconds (None: no limit)."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                await self._event.wait()

    async def until(self, condition: Callable[[], bool]) -> None:
        """Return once ``condition`` is true; it is checked at every ``send``."""
        while not condition():
            await self.wait()


def reset_connection(transport: asyncio.Transport | None) -> None:
    """Close a connection with RST instead of FIN, so that the client sees a reset."""
    # Not isinstance: uvloop's transports are no asyncio.Transport.
    if transport is None or transport.is_closing():
        return
    sock = transport.get_extra_info("socket")
    if sock is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_ZERO)
    transport.abort()
