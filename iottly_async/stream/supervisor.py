"""The task behind a stream: connects, reads messages into the buffer, and reconnects."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import datetime
from math import inf
from typing import Final

from attrs import define

from ..clock import Clock
from ..config import Config
from ..errors import BadRequestError, ConnectionLostError, DecodeError, IottlyError
from ..models import Message
from ..retry import is_passing, retry_delay
from ..transport.websocket import WebSocketClosedError, WebSocketConnection
from .buffer import MessageBuffer
from .commands import PendingCommands
from .gap import BufferedGap, Gap, GapReason
from .options import StreamOptions
from .protocol import (
    CommandAccepted,
    CommandFinished,
    CommandRefused,
    Frame,
    Heartbeat,
    MessageFrame,
    Subscribed,
    Welcome,
)
from .reorder import MissingMessages, ReorderBuffer

_log = logging.getLogger("iottly_async")

_REORDER_WAIT: Final = 0.5
"""Seconds to wait for a message whose number was skipped."""

_STABLE: Final = 10.0
"""Seconds that a connection must last before the reconnect pause starts small again. What
came over the connection does not count: else a service that accepts and drops connections
would be flooded."""

_MESSAGE_TOO_BIG: Final = 1009
"""The close code of a peer that got a frame too large for it (RFC 6455)."""

_CLOSE_WAIT: Final = 0.1
"""Seconds to wait for a close code after a send has failed."""


@define
class StreamStats:
    """The counters of a stream since it was opened.

    Attributes:
        connections: connections that were opened.
        messages: messages that came by the stream; those that filled gaps do not count.
        gaps: gaps, whatever their reason.
        lost: messages whose numbers never came.
    """

    connections: int = 0
    messages: int = 0
    gaps: int = 0
    lost: int = 0


class Supervisor:
    """Keeps a stream connected and its buffer filled.

    Args:
        options: the stream's options.
        buffer: gets the messages and the gaps.
        connect: opens a connection.
        config: the session's settings; `attempt_timeout` bounds the time from the
            connection to the subscription, `retry` the pauses between connections.
        clock: the time, and random numbers for the pauses.
        pause: waits for a number of seconds; raises if the session is closed.

    Attributes:
        protocol: the address and the frames.
        connection: the connection, if it is subscribed; else None.
        commands: the commands that wait for a result.
        stats: the counters.
    """

    def __init__(
        self,
        options: StreamOptions,
        buffer: MessageBuffer,
        *,
        connect: Callable[[], Awaitable[WebSocketConnection]],
        config: Config,
        clock: Clock,
        pause: Callable[[float], Awaitable[None]],
    ) -> None:
        self.protocol = options.protocol
        self.connection: WebSocketConnection | None = None
        self.commands = PendingCommands()
        self.stats = StreamStats()
        self._subscription = options.subscription
        self._buffer = buffer
        self._connect = connect
        self._subscribe_timeout = config.attempt_timeout
        self._retry = config.retry
        self._clock = clock
        self._pause = pause
        self._reorder = ReorderBuffer(max_wait=_REORDER_WAIT)
        # Every message sent before this time was delivered, or is in a reported gap.
        self._complete_until = options.since
        self._was_subscribed = False
        self._connected_at = inf
        self._failures = 0
        self._subscribed = asyncio.Event()

    async def run(self) -> None:
        """Keep connected until this is cancelled or fails for good.

        Raises:
            IottlyError: the service refuses the stream: the key is not accepted, there is
                no such address, ...
        """
        while True:
            retry_after: float | None = None
            try:
                await self._run_connection()
            except WebSocketClosedError as closed:
                final = None if closed.code is None else self.protocol.final(closed.code)
                if final is not None:
                    await self._deliver(self._reorder.end(self._clock.monotonic()))
                    raise final from None
                reason = str(closed)
            except DecodeError as error:
                reason = f"{error} at {error.path}"
            except IottlyError as error:
                if not is_passing(error):
                    raise
                reason, retry_after = str(error), error.retry_after
            await self._deliver(self._reorder.end(self._clock.monotonic()))
            if self._clock.monotonic() - self._connected_at > _STABLE:
                self._failures = 0
            self._failures += 1
            seconds = retry_delay(
                self._failures, self._retry, self._clock.random, retry_after=retry_after
            )
            _log.info("the stream is disconnected (%s); reconnecting in %.2f s", reason, seconds)
            await self._pause(seconds)

    async def until_connected(self) -> WebSocketConnection:
        """Wait for a subscribed connection and return it."""
        while self.connection is None:
            self._subscribed.clear()
            await self._subscribed.wait()
        return self.connection

    async def _run_connection(self) -> None:
        """Open one connection and read from it until it ends.

        Raises:
            WebSocketClosedError: the connection ended; every connection ends so.
            IottlyError: the connection could not be opened, or a frame could not be read.
        """
        self._connected_at = inf
        connection = await self._connect()
        self._connected_at = self._clock.monotonic()
        self.stats.connections += 1
        try:
            await self._subscribe(connection)
            await self._read_frames(connection)
        except WebSocketClosedError as closed:
            if closed.code != _MESSAGE_TOO_BIG or self.connection is not None:
                raise
            raise BadRequestError(
                "stream: the subscription is too large for the service (close code 1009); "
                "name fewer devices, or None for all devices of the project",
                sent="yes",
            ) from None
        finally:
            self.connection = None
            self.commands.connection_lost()
            await connection.aclose()

    async def _subscribe(self, connection: WebSocketConnection) -> None:
        """Send the hello and the subscription."""
        subscription = self.protocol.subscribe(self._subscription)
        try:
            async with asyncio.timeout(self._subscribe_timeout):
                for text in (self.protocol.hello(), subscription):
                    if text is not None:
                        await connection.send(text)
        except ConnectionLostError:
            # A close frame may have come before; then `receive` raises it with its code.
            while await connection.receive(self._clock.monotonic() + _CLOSE_WAIT) is not None:
                pass
            raise
        except TimeoutError:
            raise WebSocketClosedError("the service does not read what is sent") from None
        if subscription is None:
            self._on_subscribed(connection, Subscribed())

    async def _read_frames(self, connection: WebSocketConnection) -> None:
        """Handle frames until the connection ends."""
        subscribe_by = self._connected_at + self._subscribe_timeout
        while True:
            subscribed = self.connection is not None
            until = self._reorder.deadline if subscribed else subscribe_by
            data = await connection.receive(until)
            if data is not None:
                frame = self.protocol.read(data)
                if frame is not None:
                    await self._handle(connection, frame)
            elif subscribed:
                await self._deliver(self._reorder.give_up(self._clock.monotonic()))
            else:
                raise WebSocketClosedError(
                    f"the service did not confirm the subscription within "
                    f"{self._subscribe_timeout:g} s"
                )

    async def _handle(self, connection: WebSocketConnection, frame: Frame) -> None:
        now = self._clock.monotonic()
        match frame:
            case MessageFrame():
                await self._deliver(self._reorder.push(frame.message, frame.seq, now))
            case Heartbeat():
                self._reorder.note_sent(frame.seq, now)
                if self._reorder.deadline is None:
                    self._set_complete_until(frame.at)
            case Welcome():
                connection.expect_frames(frame.heartbeat)
            case Subscribed():
                self._on_subscribed(connection, frame)
            case CommandAccepted():
                self.commands.accept(frame.ref, frame.command_id)
            case CommandFinished():
                self.commands.finish(frame.ref, frame.result)
            case CommandRefused():
                self.commands.finish(frame.ref, frame.error)

    def _on_subscribed(self, connection: WebSocketConnection, frame: Subscribed) -> None:
        """Report the gap before this subscription, and start to number its messages."""
        if self._was_subscribed:
            self._report_gap("reconnect", frame.at)
        elif self._complete_until is not None:
            self._report_gap("since", frame.at)
        self._was_subscribed = True
        self._reorder.begin(frame.seq)
        self._set_complete_until(frame.at)
        self.connection = connection
        self._subscribed.set()

    async def _deliver(self, entries: list[Message | MissingMessages]) -> None:
        """Put messages into the buffer, and a gap for those that are missing."""
        now = self._clock.monotonic()
        for index, entry in enumerate(entries):
            if isinstance(entry, Message):
                self.stats.messages += 1
                await self._buffer.put(entry, now)
                self._set_complete_until(entry.timestamp)
            else:
                self.stats.lost += entry.count
                later = [m.timestamp for m in entries[index:] if isinstance(m, Message)]
                self._report_gap("lost", max(later, default=None), missed=entry.count)

    def _report_gap(
        self, reason: GapReason, end: datetime | None, missed: int | None = None
    ) -> None:
        self.stats.gaps += 1
        start = self._complete_until
        if start is not None and end is not None:
            end = max(start, end)
        gap = Gap(start=start, end=end, reason=reason, missed=missed)
        self._buffer.put_gap(BufferedGap(gap, self._clock.monotonic()))

    def _set_complete_until(self, at: datetime | None) -> None:
        if at is not None and (self._complete_until is None or at > self._complete_until):
            self._complete_until = at
