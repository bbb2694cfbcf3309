"""The streams that are open: who gets which message, and what goes wrong with them on command."""

import asyncio
import socket
import struct
from collections import deque
from typing import Any

from aiohttp import web

from .clock import EmulatorClock
from .fleet.devices import Device
from .rows import Row, dump_json
from .times import date_text
from .webhooks import message_json

_LINGER_ZERO = struct.pack("ii", 1, 0)
_MOST_QUEUED = 100_000


class StreamConnection:
    """One open stream: what it has subscribed to, and the frames that wait to go out.

    Frames of messages are numbered from 1 in the order in which the messages became visible;
    a frame that is lost on command has a number all the same.
    """

    def __init__(self, ws: web.WebSocketResponse, transport: asyncio.Transport | None) -> None:
        self.ws = ws
        self._transport = transport
        self._queue: deque[str] = deque()
        self._held: list[str] = []
        self._wake = asyncio.Event()
        self._moving = asyncio.Event()
        self._moving.set()
        self._subscribed = False
        self._devices: frozenset[str] | None = None
        self._type: str | None = None
        self.number = 0
        self.to_lose = 0
        self.to_reverse = 0

    @property
    def subscribed(self) -> bool:
        """Whether it gets messages."""
        return self._subscribed

    def subscribe(self, devices: frozenset[str] | None, kind: str | None) -> None:
        """From now on it gets the messages of these devices (None: all) and this type."""
        self._subscribed, self._devices, self._type = True, devices, kind

    def tell(self, device: Device, row: Row, project_id: str) -> None:
        """A message became visible."""
        if not self._subscribed or (self._devices is not None and device.id not in self._devices):
            return
        if self._type not in (None, row.type):
            return
        self.number += 1
        if self.to_lose:
            self.to_lose -= 1
            return
        message = message_json(device, row, project_id)
        frame = f'{{"type":"message","seq":{self.number},"message":{message}}}'
        if not self.to_reverse:
            self.put(frame)
            return
        self.to_reverse -= 1
        self._held.append(frame)
        if not self.to_reverse:
            self.put(*reversed(self._held))
            self._held.clear()

    def put(self, *frames: str) -> None:
        """Let frames go out; a reader far too slow is cut off."""
        self._queue.extend(frames)
        self._wake.set()
        if len(self._queue) > _MOST_QUEUED:
            self.abort()

    def put_json(self, frame: dict[str, Any]) -> None:
        """Let one frame go out."""
        self.put(dump_json(frame))

    async def next_frames(self, patience: float) -> list[str]:
        """The frames that may go out now; none where there were none for ``patience`` seconds."""
        await self._moving.wait()
        if not self._queue:
            self._wake.clear()
            try:
                async with asyncio.timeout(patience):
                    await self._wake.wait()
            except TimeoutError:
                pass
            await self._moving.wait()
        frames = list(self._queue)
        self._queue.clear()
        return frames

    @property
    def stalled(self) -> bool:
        """Whether it is half-open: nothing goes out, and nothing that comes in is looked at."""
        return not self._moving.is_set()

    async def while_stalled(self) -> None:
        """Wait until it is no longer half-open."""
        await self._moving.wait()

    def stall(self) -> None:
        """Become half-open."""
        self._moving.clear()

    def release(self) -> None:
        """Go on where it stalled."""
        self._moving.set()

    def abort(self) -> None:
        """Cut the connection, without a word."""
        self._moving.set()
        transport = self._transport
        if transport is not None and not transport.is_closing():
            sock = transport.get_extra_info("socket")
            if sock is not None:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_ZERO)
            transport.abort()


class Streams:
    """All open streams."""

    def __init__(self, clock: EmulatorClock) -> None:
        self.heartbeat = 10.0
        self._clock = clock
        self._open: set[StreamConnection] = set()
        self._closing: set[asyncio.Task[bool]] = set()
        self._opened = 0
        self._watchers: set[asyncio.Future[None]] = set()

    @property
    def count(self) -> int:
        """How many are subscribed at present."""
        return sum(connection.subscribed for connection in self._open)

    def now_text(self) -> str:
        """The server's time as it stands in a frame."""
        return date_text(self._clock.now_ms())

    def opened(self, connection: StreamConnection) -> None:
        """A stream was opened."""
        self._open.add(connection)

    def subscribed(self) -> None:
        """A stream has subscribed: wake who waits for it."""
        self._opened += 1
        for watcher in self._watchers:
            if not watcher.done():
                watcher.set_result(None)

    def closed(self, connection: StreamConnection) -> None:
        """A stream has ended."""
        self._open.discard(connection)

    async def until(self, count: int) -> None:
        """Return once ``count`` subscriptions were made, those of ended streams included."""
        while self._opened < count:
            watcher = asyncio.get_running_loop().create_future()
            self._watchers.add(watcher)
            try:
                await watcher
            finally:
                self._watchers.discard(watcher)

    def tell(self, device: Device, row: Row, project_id: str) -> None:
        """A message became visible."""
        for connection in tuple(self._open):
            connection.tell(device, row, project_id)

    def drop(self, code: int | None = None) -> int:
        """End every stream, by a reset or with a close code; how many there were."""
        connections = tuple(self._open)
        for connection in connections:
            self._open.discard(connection)
            if code is None:
                connection.abort()
            else:
                connection.release()
                task = asyncio.get_running_loop().create_task(connection.ws.close(code=code))
                self._closing.add(task)
                task.add_done_callback(self._closing.discard)
        return len(connections)

    def stall(self) -> None:
        """Let every open stream become half-open."""
        for connection in self._open:
            connection.stall()

    def release(self) -> None:
        """Let the half-open ones go on."""
        for connection in self._open:
            connection.release()

    def lose(self, frames: int) -> None:
        """Lose the next so many messages of every open stream."""
        for connection in self._open:
            connection.to_lose = frames

    def reverse(self, frames: int) -> None:
        """Send the next so many messages of every open stream in reverse, once all are there."""
        for connection in self._open:
            connection.to_reverse = frames
