"""The open streams: which messages each gets, and what can be disturbed about them."""

import asyncio
from collections import deque
from typing import Any

from aiohttp import web

from .aio import Signal, reset_connection
from .clock import EmulatorClock
from .fleet.devices import Device
from .rows import Row, dump_json, message_json
from .settings import check_number
from .times import date_text

_MAX_QUEUED = 100_000


class StreamConnection:
    """One open stream: its subscription, and the frames that wait to be sent.

    Frames with messages are numbered from 1, in the order in which the messages became visible.
    A frame that is lost on purpose uses up its number.
    """

    def __init__(self, ws: web.WebSocketResponse, transport: asyncio.Transport | None) -> None:
        self.ws = ws
        self._transport = transport
        self._queue: deque[str] = deque()
        self._held_back: list[str] = []
        self._queued = asyncio.Event()
        self._running = asyncio.Event()
        self._running.set()
        self._devices: frozenset[str] | None = None
        self._type = "all"
        self.subscribed = False
        self.number = 0
        self.to_lose = 0
        self.to_reverse = 0

    def subscribe(self, devices: frozenset[str] | None, kind: str) -> None:
        """Send messages of these devices (None: all) and this type from now on."""
        self.subscribed, self._devices, self._type = True, devices, kind

    def publish(self, device: Device, row: Row, project_id: str) -> None:
        """Queue a message if it is subscribed to."""
        if not self.subscribed or (self._devices is not None and device.id not in self._devices):
            return
        if self._type not in ("all", row.type):
            return
        self.number += 1
        if self.to_lose:
            self.to_lose -= 1
            return
        message = message_json(device.id, project_id, row)
        frame = f'{{"type":"message","seq":{self.number},"message":{message}}}'
        if not self.to_reverse:
            self.put(frame)
            return
        self.to_reverse -= 1
        self._held_back.append(frame)
        if not self.to_reverse:
            self.put(*reversed(self._held_back))
            self._held_back.clear()

    def put(self, *frames: str) -> None:
        """Queue frames; a client that reads far too slowly is cut off."""
        self._queue.extend(frames)
        self._queued.set()
        if len(self._queue) > _MAX_QUEUED:
            self.abort()

    def put_json(self, frame: dict[str, Any]) -> None:
        """Queue one frame, given as a JSON object."""
        self.put(dump_json(frame))

    async def next_frames(self, timeout: float) -> list[str]:
        """The frames to send now; none if nothing was queued for ``timeout`` seconds."""
        await self._running.wait()
        if not self._queue:
            self._queued.clear()
            try:
                async with asyncio.timeout(timeout):
                    await self._queued.wait()
            except TimeoutError:
                pass
            await self._running.wait()
        frames = list(self._queue)
        self._queue.clear()
        return frames

    async def until_running(self) -> None:
        """Return once the stream is not half-open."""
        await self._running.wait()

    def stall(self) -> None:
        """Become half-open: nothing is sent or read."""
        self._running.clear()

    def release(self) -> None:
        """End the stall and go on."""
        self._running.set()

    def abort(self) -> None:
        """Reset the connection."""
        self._running.set()
        reset_connection(self._transport)


def check_code(code: object) -> None:
    """``ValueError`` unless ``code`` is a WebSocket close code, or None for a reset."""
    if code is not None and (type(code) is not int or not 1000 <= code <= 4999):
        raise ValueError(f"code={code!r}: must be 1000 to 4999, or None for a reset")


class Streams:
    """All open streams."""

    def __init__(self, clock: EmulatorClock) -> None:
        self.heartbeat = 10.0
        self._clock = clock
        self._open: set[StreamConnection] = set()
        self._closing: set[asyncio.Task[bool]] = set()
        self._subscriptions = 0
        self._subscribed = Signal()

    @property
    def count(self) -> int:
        """How many streams are subscribed at present."""
        return sum(connection.subscribed for connection in self._open)

    def now_text(self) -> str:
        """The server's present time, as it stands in a frame."""
        return date_text(self._clock.now_ms())

    def set_heartbeat(self, seconds: float) -> None:
        """Set after how many silent seconds a heartbeat is sent; ``ValueError`` unless above 0."""
        check_number("heartbeat", seconds, 0, above=True)
        self.heartbeat = seconds

    def add(self, connection: StreamConnection) -> None:
        """Add a stream that was opened."""
        self._open.add(connection)

    def remove(self, connection: StreamConnection) -> None:
        """Remove a stream that has closed."""
        self._open.discard(connection)

    def count_subscription(self) -> None:
        """Note that a stream has subscribed."""
        self._subscriptions += 1
        self._subscribed.send()

    async def until_subscribed(self, count: int) -> None:
        """Return once ``count`` subscriptions were made; streams that have closed count."""
        await self._subscribed.until(lambda: self._subscriptions >= count)

    def publish(self, device: Device, row: Row, project_id: str) -> None:
        """Send a message that has become visible to the streams that subscribe to it."""
        for connection in tuple(self._open):
            connection.publish(device, row, project_id)

    def drop(self, code: int | None = None) -> int:
        """Close every stream with a close code, or reset it (None); returns how many."""
        check_code(code)
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
        """Make every open stream half-open."""
        for connection in self._open:
            connection.stall()

    def release(self) -> None:
        """Let the half-open streams go on."""
        for connection in self._open:
            connection.release()

    def lose(self, count: int) -> None:
        """Lose the next ``count`` messages of every open stream."""
        check_number("lose", count, 0)
        for connection in self._open:
            connection.to_lose = count

    def reverse(self, count: int) -> None:
        """Send the next ``count`` messages of every open stream in reverse order."""
        check_number("reverse", count, 0)
        for connection in self._open:
            connection.to_reverse = count
