"""The task behind a stream: connect, read into the buffer, and connect again."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import datetime
from math import inf
from typing import Final

from attrs import define, frozen

from ..clock import Clock
from ..config import RetryPolicy
from ..errors import BadRequestError, ConnectionLostError, DecodeError, IottlyError
from ..models import Message
from ..retry import is_passing, retry_delay
from ..transport.websocket import WebSocketClosedError, WebSocketConnection
from .buffer import BufferedGap, MessageBuffer
from .commands import PendingCommands
from .events import Gap, GapReason
from .protocol import (
    Accepted,
    Finished,
    Frame,
    Heartbeat,
    MessageFrame,
    Refused,
    StreamProtocol,
    Subscribed,
    Subscription,
    Welcome,
)
from .reorder import MissingMessages, ReorderBuffer

_log = logging.getLogger("iottly_async")

_STEADY: Final = 10.0
"""Seconds after which a connection that ends was a good one. One that ends sooner was none,
whatever came by it: else a service that welcomes and drops would be stormed."""

_TOO_BIG: Final = 1009
_LAST_WORDS: Final = 0.1


@define
class StreamStats:
    """Counters of a stream since it was opened.

    Attributes:
        connections: that were opened.
        messages: that came, before gaps were filled.
        gaps: of every reason.
        lost: messages whose numbers never came.
    """

    connections: int = 0
    messages: int = 0
    gaps: int = 0
    lost: int = 0


@frozen(kw_only=True)
class StreamSetup:
    """What a stream is made of; put together by the session.

    Attributes:
        dial: opens a connection.
        protocol, wanted: what is spoken, and asked for.
        policy: how soon after a failure the next connection is tried.
        clock: time and chance.
        pause: waits; ends with an error when the session closes.
        opening: seconds from the connection to the word that messages come.
        patience: seconds that a frame which was overtaken is waited for.
        since: messages from then on are wanted; None: from the first connection on.
    """

    dial: Callable[[], Awaitable[WebSocketConnection]]
    protocol: StreamProtocol
    wanted: Subscription
    policy: RetryPolicy
    clock: Clock
    pause: Callable[[float], Awaitable[None]]
    opening: float
    patience: float
    since: datetime | None


class Supervisor:
    """Keeps a stream connected and its buffer fed.

    Attributes:
        line: the connection, once it has subscribed; None while there is none.
        commands: under way.
        stats: counters.
    """

    def __init__(self, wiring: StreamSetup, buffer: MessageBuffer) -> None:
        self.line: WebSocketConnection | None = None
        self.commands = PendingCommands()
        self.stats = StreamStats()
        self._wiring = wiring
        self._buffer = buffer
        self._sequence = ReorderBuffer(patience=wiring.patience)
        self._complete = wiring.since
        self._begun = False
        self._opened_at = inf
        self._failures = 0
        self._connected = asyncio.Event()

    async def run(self) -> None:
        """Until cancelled, or until a failure that will not pass.

        Raises:
            IottlyError: the failure: the key is not accepted, no such address, ...
        """
        wiring = self._wiring
        while True:
            retry_after: float | None = None
            try:
                await self._connection()
            except WebSocketClosedError as ended:
                final = None if ended.code is None else wiring.protocol.final(ended.code)
                if final is not None:
                    await self._hand_on(self._sequence.end(wiring.clock.monotonic()))
                    raise final from None
                reason = str(ended)
            except DecodeError as error:
                reason = f"{error} at {error.path}"
            except IottlyError as error:
                if not is_passing(error):
                    raise
                reason, retry_after = str(error), error.retry_after
            await self._hand_on(self._sequence.end(wiring.clock.monotonic()))
            if wiring.clock.monotonic() - self._opened_at > _STEADY:
                self._failures = 0
            self._failures += 1
            seconds = retry_delay(
                self._failures, wiring.policy, wiring.clock.random, retry_after=retry_after
            )
            _log.info("the stream is down: %s; connecting again in %.2f s", reason, seconds)
            await wiring.pause(seconds)

    async def until_connected(self) -> WebSocketConnection:
        """The connection, once there is one that has subscribed."""
        while self.line is None:
            self._connected.clear()
            await self._connected.wait()
        return self.line

    async def _connection(self) -> None:
        """One connection from its opening to its end.

        Raises:
            WebSocketClosedError: always in the end, or an `IottlyError` before.
        """
        wiring = self._wiring
        self._opened_at = inf
        line = await wiring.dial()
        self._opened_at = wiring.clock.monotonic()
        self.stats.connections += 1
        try:
            await self._begin(line)
            await self._listen(line)
        except WebSocketClosedError as ended:
            if ended.code != _TOO_BIG or self.line is not None:
                raise
            raise BadRequestError(
                "stream: the subscription is too large for the service (close code 1009); "
                "name fewer devices, or None for all of the project",
                sent="yes",
            ) from None
        finally:
            self.line = None
            self.commands.lost()
            await line.aclose()

    async def _listen(self, line: WebSocketConnection) -> None:
        """Take what comes, until the connection ends."""
        wiring = self._wiring
        begun_by = self._opened_at + wiring.opening
        while True:
            subscribed = self.line is not None
            data = await line.receive(self._sequence.deadline if subscribed else begun_by)
            if data is not None:
                frame = wiring.protocol.read(data)
                if frame is not None:
                    await self._take(line, frame)
            elif subscribed:
                await self._hand_on(self._sequence.give_up(wiring.clock.monotonic()))
            else:
                raise WebSocketClosedError(f"it did not subscribe us within {wiring.opening:g} s")

    async def _begin(self, line: WebSocketConnection) -> None:
        """Greet, and ask for the messages."""
        wiring, protocol = self._wiring, self._wiring.protocol
        subscription = protocol.subscribe(wiring.wanted)
        try:
            async with asyncio.timeout(wiring.opening):
                for text in (protocol.hello(), subscription):
                    if text is not None:
                        await line.send(text)
        except ConnectionLostError:
            # It may have said why before it went.
            while await line.receive(wiring.clock.monotonic() + _LAST_WORDS) is not None:
                pass
            raise
        except TimeoutError:
            raise WebSocketClosedError("it does not read what is sent") from None
        if subscription is None:
            self._subscribed(line, Subscribed())

    async def _take(self, line: WebSocketConnection, frame: Frame) -> None:
        now = self._wiring.clock.monotonic()
        match frame:
            case MessageFrame():
                await self._hand_on(self._sequence.take(frame.message, frame.seq, now))
            case Heartbeat():
                self._sequence.beat(frame.seq, now)
                if self._sequence.deadline is None:
                    self._completed(frame.at)
            case Welcome():
                line.promise(frame.heartbeat)
            case Subscribed():
                self._subscribed(line, frame)
            case Accepted():
                self.commands.accepted(frame.ref, frame.command_id)
            case Finished():
                self.commands.finished(frame.ref, frame.result)
            case Refused():
                self.commands.finished(frame.ref, frame.error)

    def _subscribed(self, line: WebSocketConnection, frame: Subscribed) -> None:
        """Messages come from now on; between this and what came before there is a gap."""
        if self._begun:
            self._gap("reconnect", frame.at)
        elif self._complete is not None:
            self._gap("since", frame.at)
        self._begun = True
        self._sequence = ReorderBuffer(patience=self._wiring.patience)
        self._sequence.begin(frame.seq)
        self._completed(frame.at)
        self.line = line
        self._connected.set()

    async def _hand_on(self, found: list[Message | MissingMessages]) -> None:
        now = self._wiring.clock.monotonic()
        for index, entry in enumerate(found):
            if isinstance(entry, Message):
                self.stats.messages += 1
                await self._buffer.put(entry, now)
                self._completed(entry.timestamp)
            else:
                self.stats.lost += entry.count
                later = [m.timestamp for m in found[index:] if isinstance(m, Message)]
                self._gap("lost", max(later, default=None), missed=entry.count)

    def _gap(self, reason: GapReason, end: datetime | None, missed: int | None = None) -> None:
        self.stats.gaps += 1
        start = self._complete
        if start is not None and end is not None:
            end = max(start, end)
        gap = Gap(start=start, end=end, reason=reason, missed=missed)
        self._buffer.put_hole(BufferedGap(gap, self._wiring.clock.monotonic()))

    def _completed(self, at: datetime | None) -> None:
        """All that was sent until `at` has come, or lies in a gap that was reported."""
        if at is not None and (self._complete is None or at > self._complete):
            self._complete = at
