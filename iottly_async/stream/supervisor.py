"""The task behind a stream: connects, reads messages into the buffer, and reconnects."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from math import inf
from typing import Final

from attrs import define, evolve, frozen

from ..clock import Clock
from ..config import Config
from ..errors import (
    BadRequestError,
    ConnectionLostError,
    DecodeError,
    IottlyError,
    StreamClosedError,
)
from ..models import Message
from ..retry import is_passing, retry_delay
from ..transport.websocket import WebSocketClosedError, WebSocketConnection
from .buffer import BufferedMessage, MessageBuffer
from .commands import PendingCommands
from .gap import BufferedGap, Gap, GapReason
from .options import StreamOptions
from .position import StreamPosition
from .protocol import (
    CommandAccepted,
    CommandFinished,
    CommandRefused,
    Frame,
    Heartbeat,
    MessageFrame,
    Subscribed,
    UnreadableMessage,
    Welcome,
)
from .reorder import MissingMessages, ReorderBuffer

_log = logging.getLogger("iottly_async.stream")

_REORDER_WAIT: Final = 0.5
"""Seconds to wait for a message whose number was skipped."""

_STABLE: Final = 10.0
"""Seconds that a connection must last before the reconnect pause starts small again. What
came over the connection does not count: else a service that accepts and drops connections
would be flooded."""

_IDLE: Final = 60.0
"""Seconds after which a connection without a frame counts as used, if the protocol promises
no confirmation: there may be nothing to send."""

_MOST_FRUITLESS: Final = 5
"""After so many connections in a row that carried nothing, a stream ends."""

_RESTARTS: Final = frozenset({None, 1001, 1011, 1012, 1013, 1014})
"""Close codes of services that restart or fail (RFC 6455 and IANA's registry), and none."""

_LOUD: Final = 3
"""The number of connections in a row that carried nothing, or could not be opened, after which
a warning is logged."""

_PERHAPS_NO_STREAM: Final = frozenset(range(400, 500)) - {408, 425, 429}
"""Statuses of a proxy that pass in an outage. Again and again, they mean a wrong address."""

_MESSAGE_TOO_BIG: Final = 1009
"""The close code of a peer that got a frame too large for it (RFC 6455)."""

_CLOSE_WAIT: Final = 0.1
"""Seconds to wait for a close code after a send has failed."""

_UNCONFIRMED_WAIT: Final = 1.0
"""Seconds to wait for a sign that the opening frames have arrived, if the protocol promises
no confirmation."""

_MARGIN: Final = timedelta(seconds=0.25)
"""A gap is read for this much longer, because no message arrives at the moment of its stamp."""

_SKEW: Final = timedelta(seconds=60)
"""A difference between the service's clocks that is worth a warning."""


@frozen
class _Arrival:
    """A message that arrived, and when: a moment of the monotonic clock."""

    message: Message
    moment: float


class _NotConfirmedError(WebSocketClosedError):
    """The service accepted a connection and did not confirm the subscription."""


@define
class StreamStats:
    """The counters of a stream since it was opened.

    Attributes:
        connections: connections that were opened.
        messages: messages that came by the stream; those that filled gaps do not count.
        gaps: gaps, whatever their reason.
        lost: messages whose numbers never came, or which could not be read.
        unreadable: messages that could not be read.
    """

    connections: int = 0
    messages: int = 0
    gaps: int = 0
    lost: int = 0
    unreadable: int = 0


class Supervisor:
    """Keeps a stream connected and its buffer filled.

    Args:
        options: the stream's options.
        buffer: gets the messages and the gaps.
        connect: opens a connection.
        opening: makes the frames to send first on a connection.
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
        opening: Callable[[], Sequence[str | bytes]],
        config: Config,
        clock: Clock,
        pause: Callable[[float], Awaitable[None]],
    ) -> None:
        self.protocol = options.protocol
        self.connection: WebSocketConnection | None = None
        self.commands = PendingCommands()
        self.stats = StreamStats()
        self._project_id = options.project_id
        self._devices = None if options.devices is None else frozenset(options.devices)
        self._type = options.type
        self._buffer = buffer
        self._connect = connect
        self._opening = opening
        self._subscribe_timeout = config.attempt_timeout
        self._retry = config.retry
        self._clock = clock
        self._pause = pause
        self._reorder: ReorderBuffer[_Arrival] = ReorderBuffer(max_wait=_REORDER_WAIT)
        self._position = StreamPosition(options.since, timedelta(seconds=options.settle))
        # No message that the consumer has yet to take is followed by a gap that starts earlier.
        self._complete_until = options.since
        self._first_reason: GapReason | None = None if options.since is None else "since"
        self._connected_at = inf
        self._failures = 0
        self._fruitless = 0
        self._dry = 0
        self._lost_at = 0.0
        # Of the current connection: whether it carried something, and whether the service
        # confirmed the subscription, which alone may be a refusal that comes a little later.
        self._carried = self._confirmed = False
        self._skew_logged = False
        self._subscribed = asyncio.Event()

    async def run(self) -> None:
        """Keep connected until this is cancelled or fails for good.

        Raises:
            StreamClosedError: five connections in a row carried nothing.
            DecodeError: what five connections in a row carried could not be read.
            NotFoundError: a proxy says, five times in a row, that there is no such address.
            IottlyError: the service refuses the stream: the key is not accepted, there is
                no such address, ...
        """
        while True:
            retry_after: float | None = None
            lasting: IottlyError | None = None
            self._carried = self._confirmed = False
            try:
                await self._run_connection()
            except WebSocketClosedError as closed:
                reason = str(closed)
                self._carried |= self._confirmed and closed.code in _RESTARTS
                final = None if closed.code is None else self.protocol.final(closed.code)
                if final is not None:
                    await self._deliver(self._reorder.end())
                    raise final from None
                if closed.code is not None or isinstance(closed, _NotConfirmedError):
                    lasting = _closed_error(closed)
            except DecodeError as error:
                reason, lasting = f"{error} at {error.path}", error
            except IottlyError as error:
                if not is_passing(error):
                    raise
                reason, retry_after = str(error), error.retry_after
                if error.status is not None and error.status in _PERHAPS_NO_STREAM:
                    lasting = error
            await self._deliver(self._reorder.end())
            lasted = self._clock.monotonic() - self._connected_at
            self._carried |= self._confirmed and lasted > _STABLE
            self._count_fruitless(lasting)
            if self._carried or self._failures == 0:
                self._lost_at = self._clock.monotonic()
            self._failures = 1 if lasted > _STABLE else self._failures + 1
            seconds = retry_delay(
                self._failures, self._retry, self._clock.random, retry_after=retry_after
            )
            # A single failure is ordinary. The third in a row that carried nothing is said once.
            self._dry = 0 if self._carried else self._dry + 1
            level = logging.WARNING if self._dry == _LOUD else logging.INFO
            _log.log(
                level, "the stream is disconnected (%s); reconnecting in %.2f s", reason, seconds
            )
            await self._pause(seconds)

    def _count_fruitless(self, lasting: IottlyError | None) -> None:
        """Count a connection that ended; raise `lasting` if too many carried nothing."""
        if self._carried:
            self._fruitless = 0
        elif lasting is not None:
            self._fruitless += 1
            if self._fruitless >= _MOST_FRUITLESS:
                raise lasting

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
        self._connected_at = now = self._clock.monotonic()
        self.stats.connections += 1
        if connection.server_time is None:
            self._position.note_server_time(_utc(self._clock.time()), now, guess=True)
        else:
            self._position.note_server_time(_utc(connection.server_time), now, exact=False)
        try:
            await self._open(connection)
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
            if not self.protocol.confirms_subscription:
                self._carried |= self._clock.monotonic() - self._connected_at > _IDLE
            self.connection = None
            self.commands.connection_lost()
            await connection.aclose()

    async def _open(self, connection: WebSocketConnection) -> None:
        """Send the opening frames."""
        try:
            async with asyncio.timeout(self._subscribe_timeout):
                for frame in self._opening():
                    await connection.send(frame)
        except ConnectionLostError:
            # A close frame may have come before; then `receive` raises it with its code.
            while await connection.receive(self._clock.monotonic() + _CLOSE_WAIT) is not None:
                pass
            raise
        except TimeoutError:
            raise WebSocketClosedError("the service does not read what is sent") from None

    async def _read_frames(self, connection: WebSocketConnection) -> None:
        """Handle frames until the connection ends."""
        confirms = self.protocol.confirms_subscription
        within = self._subscribe_timeout if confirms else _UNCONFIRMED_WAIT
        subscribe_by = self._clock.monotonic() + within
        if not confirms:
            # A service that handles frames in order answers this after the opening frames.
            await connection.ping()
        while True:
            subscribed = self.connection is not None
            until = self._reorder.deadline if subscribed else subscribe_by
            data = await connection.receive(until, or_pong=not subscribed and not confirms)
            if data is not None:
                frames = self.protocol.read(data)
                if not (subscribed or confirms):
                    self._on_subscribed(connection, Subscribed())
                self._carried |= not confirms
                for frame in frames:
                    await self._handle(connection, frame)
            elif subscribed:
                await self._deliver(self._reorder.give_up(self._clock.monotonic()))
            elif confirms:
                raise _NotConfirmedError(
                    f"the service did not confirm the subscription within {within:g} s"
                )
            else:
                self._on_subscribed(connection, Subscribed())

    async def _handle(self, connection: WebSocketConnection, frame: Frame) -> None:
        now = self._clock.monotonic()
        self._carried |= not isinstance(frame, Welcome | Subscribed)
        match frame:
            case MessageFrame():
                self._position.note_arrival(frame.message.timestamp, now)
                arrival = _Arrival(frame.message, now)
                await self._deliver(self._reorder.push(arrival, frame.seq, now))
            case UnreadableMessage():
                await self._note_unreadable(frame, now)
            case Heartbeat():
                if frame.at is not None:
                    self._position.note_server_time(frame.at, now)
                self._reorder.note_sent(frame.seq, now)
                if self._reorder.deadline is None:
                    self._position.advance(now)
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
        now = self._clock.monotonic()
        if frame.at is not None:
            self._position.note_server_time(frame.at, now)
        self._confirmed = self.protocol.confirms_subscription
        if self.connection is not None:
            # A confirmation that was not promised, and comes late: only its numbers are new.
            if frame.seq is not None:
                self._reorder.begin(frame.seq)
            return
        if self._first_reason is not None:
            self._report_gap(self._first_reason, frame.at)
        if self._failures:
            seconds = now - self._lost_at
            _log.info("the stream is connected again, after %.2f s", seconds)
        self._first_reason = "reconnect"
        self._reorder.begin(frame.seq)
        self._position.advance(now)
        self.connection = connection
        self._subscribed.set()

    async def _note_unreadable(self, frame: UnreadableMessage, now: float) -> None:
        """Report a message that cannot be read as missing."""
        level = logging.DEBUG if self.stats.unreadable else logging.WARNING
        self.stats.unreadable += 1
        _log.log(
            level,
            "a message of the stream cannot be read (at %s); it is reported as a gap",
            frame.path,
        )
        if frame.seq is None:
            await self._deliver([MissingMessages(1)])
        else:
            self._reorder.note_sent(frame.seq, now)

    async def _deliver(self, entries: Sequence[_Arrival | MissingMessages]) -> None:
        """Put messages into the buffer, and a gap for those that are missing."""
        now = self._clock.monotonic()
        # While messages are held back behind a missing one, nothing is forgotten, whatever
        # time they span: the backfill of the gap yields all of them, and then they come.
        held = any(isinstance(entry, MissingMessages) for entry in entries)
        for index, entry in enumerate(entries):
            if isinstance(entry, MissingMessages):
                self.stats.lost += entry.count
                stamps = [
                    each.message.timestamp for each in entries[index:] if isinstance(each, _Arrival)
                ]
                self._report_lost(entry.count, stamps, now)
                continue
            if not held and self._reorder.deadline is None:
                self._complete_until = self._position.complete_until
            message = entry.message
            self._position.deliver(message.timestamp, entry.moment)
            if self._is_wanted(message):
                if message.project_id is None and self._project_id is not None:
                    # Over REST the same message has it, and it is part of the digest.
                    message = evolve(message, project_id=self._project_id)
                self.stats.messages += 1
                await self._buffer.put(BufferedMessage(message, self._complete_until), now)
        self._warn_of_skew()

    def _is_wanted(self, message: Message) -> bool:
        """Whether a message is of the stream's devices and type, whatever the service sends."""
        if self._devices is not None and message.device_id not in self._devices:
            return False
        return self._type == "all" or message.type == self._type

    def _report_gap(self, reason: GapReason, end: datetime | None) -> None:
        """Report the gap before a subscription; `end` is the service's time, if it says it."""
        now = self._clock.monotonic()
        self._put_gap(reason, end, None, self._position.earliest(now), now)

    def _report_lost(self, missed: int, stamps: Sequence[datetime], now: float) -> None:
        """Report messages as lost; `stamps` are those of the messages held back behind them."""
        sane = [stamp for stamp in stamps if not self._position.is_wild(stamp, now)]
        overlap_from = min([*stamps, self._position.earliest(now)])
        self._put_gap("lost", max(sane, default=None), missed, overlap_from, now)

    def _put_gap(
        self,
        reason: GapReason,
        end: datetime | None,
        missed: int | None,
        overlap_from: datetime,
        now: float,
    ) -> None:
        self.stats.gaps += 1
        start = self._position.complete_until
        if start is not None and end is not None:
            end = max(start, end)
        read_until = end
        if not self._position.is_guess:
            latest = self._position.latest(now) + _MARGIN
            read_until = latest if end is None else max(latest, end)
        gap = Gap(start=start, end=end, reason=reason, missed=missed)
        has_wild = self._position.has_wild
        self._buffer.put_gap(BufferedGap(gap, now, read_until, overlap_from, has_wild))

    def _warn_of_skew(self) -> None:
        """Log once that the service's clocks differ."""
        offset = self._position.stamp_offset
        if self._skew_logged or offset is None or abs(offset) < _SKEW:
            return
        self._skew_logged = True
        _log.warning(
            "the stream's messages are stamped %.0f s %s the service's own time: its clocks "
            "differ, or the stream lags",
            abs(offset.total_seconds()),
            "ahead of" if offset > timedelta() else "behind",
        )


def _closed_error(closed: WebSocketClosedError) -> StreamClosedError:
    return StreamClosedError(
        f"{_MOST_FRUITLESS} connections of the stream in a row carried nothing; of the last: "
        f"{closed}",
        close_code=closed.code,
        close_reason=closed.close_reason,
    )


def _utc(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
