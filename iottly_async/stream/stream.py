"""The stream of generation v1: messages as they are sent, without gaps where that is asked for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine
from contextlib import aclosing
from types import TracebackType
from typing import Any, Final, Self, TypeVar

from attrs import evolve

from ..codec import encode_fleet_command
from ..config import Seconds, seconds
from ..errors import (
    CommandOutcomeUnknownError,
    DeadlineExceededError,
    IottlyError,
    SessionClosedError,
    TransportError,
)
from ..models import CommandResult, Message
from ..transport.websocket import WebSocketConnection
from ..wire import segment
from .backfill import Backfill, BackfillRun
from .buffer import BufferedGap, MessageBuffer, Overflow
from .commands import PendingCommand
from .events import Gap
from .supervisor import StreamSetup, StreamStats, Supervisor

T = TypeVar("T")

Hold = Callable[[Callable[[], Coroutine[Any, Any, None]]], Coroutine[Any, Any, None]]
"""Carries out what it is given, and ends it when the session closes."""

_SHORT: Final = 0.001
_LONG: Final = 3600.0
_MAY_HAVE_LEFT: Final = (
    "iottly-async: the command may have reached the device when this was cancelled"
)


class _ClosedError(Exception):
    """The stream was closed by its owner."""


class Stream:
    """Messages as the service sends them, and commands with their results.

    ::

        async with session.stream(project_id=..., fill_gaps=True) as stream:
            async for event in stream:
                match event:
                    case Message():
                        ...
                    case Gap():
                        ...

    It is kept connected until it is closed: however a connection ends, another is made,
    after a pause with full jitter. One task at a time may iterate over it.

    Attributes:
        stats: counters.
    """

    def __init__(
        self,
        wiring: StreamSetup,
        *,
        size: int,
        overflow: Overflow,
        filler: Backfill | None,
        hold: Hold,
        result: Callable[[str, float], Awaitable[CommandResult]],
    ) -> None:
        self._buffer = MessageBuffer(size, overflow)
        self._keeper = Supervisor(wiring, self._buffer)
        self._wiring = wiring
        self._filler = filler
        self._filling: BackfillRun | None = None
        self._hold = hold
        self._result = result
        self._task: asyncio.Task[None] | None = None
        self._closed = False

    async def __aenter__(self) -> Self:
        self._start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    @property
    def connected(self) -> bool:
        """Whether messages come at present: connected and subscribed."""
        return self._keeper.line is not None

    @property
    def stats(self) -> StreamStats:
        """Counters since it was opened; a copy."""
        return evolve(self._keeper.stats)

    async def until_connected(self) -> None:
        """Return once messages come.

        Raises:
            SessionClosedError: the stream is closed, or closed meanwhile.
            IottlyError: it ended for good: the key is not accepted, no such address.
        """
        await self._meanwhile(self._keeper.until_connected())

    async def aclose(self) -> None:
        """End the connection; iterating ends with what is in the buffer. Twice does nothing."""
        self._closed = True
        task, self._task = self._task, None
        if task is None:
            self._buffer.fail(_ClosedError())
        else:
            task.cancel()
            await asyncio.wait([task])

    def __aiter__(self) -> AsyncGenerator[Message | Gap, None]:
        """Messages and gaps in order, until it is closed; opened here if it is not yet.

        Messages of one device come in the order in which the service shows them, which is
        that of their time but for late ones (D11). With `fill_gaps` a gap's messages
        follow it at once, device by device, and every message comes exactly once. Where
        it is cancelled, as by a timeout around `anext`, another iteration over the same
        open stream goes on behind what was handed out.

        Raises:
            SessionClosedError: the session was closed under it.
            UnauthorizedError, ForbiddenError, NotFoundError: the service refuses the
                stream for good.
        """
        return self._events()

    async def messages(self) -> AsyncGenerator[Message, None]:
        """Messages alone, as iterating over the stream but without the gaps."""
        async with aclosing(self._events()) as events:
            async for event in events:
                if isinstance(event, Message):
                    yield event

    async def _events(self) -> AsyncGenerator[Message | Gap, None]:
        opened_here = self._task is None and not self._closed
        if opened_here:
            self._start()
        try:
            while True:
                try:
                    event = await self._next()
                except _ClosedError:
                    return
                if event is not None:
                    yield event
        finally:
            if self._filling is not None:
                await self._filling.pause()
            if opened_here:
                await self.aclose()

    async def _next(self) -> Message | Gap | None:
        """The next event; None for what was handed out before.

        Cancelled at any moment, it loses nothing: what was begun is kept by the stream.
        """
        if self._filling is not None:
            missing = await self._filling.next()
            if missing is not None:
                return missing
            self._filling = None
        entry = await self._buffer.get()
        if isinstance(entry, BufferedGap):
            if self._filler is not None:
                self._filling = self._filler.fill(entry)
            return evolve(entry.gap, filled=self._filler is not None)
        return entry if self._filler is None or self._filler.handed.is_new(entry) else None

    async def run(self, device_id: str, command: str, *, timeout: Seconds = 10.0) -> CommandResult:
        """Run a command on a device over the stream, and wait for its result.

        It is sent once, on the connection there is (D10). Where that ends before the
        result, the result is asked for over HTTP. While a full buffer makes the stream
        wait, results wait too.

        Args:
            device_id: such as "dev_01j3k".
            command: what the device is to run.
            timeout: seconds that the device gives it, and that is waited in all.

        Raises:
            ConfigurationError: an argument is not as above; it was not sent.
            DeviceOfflineError, NotFoundError, BadRequestError: it was not taken.
            DeadlineExceededError: no connection in time (sent is "no"), or it was taken
                and has not ended in time (sent is "yes").
            CommandOutcomeUnknownError: it may or may not have reached the device.
            SessionClosedError: the stream is closed; it was not sent.
        """
        left = seconds(timeout, name="timeout")
        segment(device_id, name="device_id")
        encode_fleet_command(command, left)  # refuses what is no command before anything is sent
        pending: list[PendingCommand] = []
        limit = asyncio.timeout(left)
        try:
            async with limit:
                line = await self._meanwhile(self._keeper.until_connected())
                pending.append(self._keeper.commands.begin())
                frame = self._wiring.protocol.command(pending[0].ref, device_id, command, left)
                return await self._outcome(line, pending[0], frame, limit)
        except asyncio.CancelledError as cancelled:
            if pending:
                cancelled.add_note(_MAY_HAVE_LEFT)
            raise
        except TimeoutError:
            if not limit.expired():
                raise
        finally:
            for command_sent in pending:
                self._keeper.commands.forget(command_sent)
        raise _too_late(pending[0] if pending else None, left)

    async def _outcome(
        self, line: WebSocketConnection, pending: PendingCommand, frame: str, limit: asyncio.Timeout
    ) -> CommandResult:
        """Send a command and wait for its result, over HTTP where the connection ends."""
        result: CommandResult | None = None
        cause: IottlyError | None = None
        try:
            await line.send(frame)
        except TransportError as error:
            cause = error
        else:
            result = await pending.ended
        if result is not None:
            return result
        if pending.command_id is not None:
            ends = limit.when()
            left = _LONG if ends is None else ends - asyncio.get_running_loop().time()
            return await self._result(pending.command_id, max(left, _SHORT))
        raise CommandOutcomeUnknownError(
            "the stream ended before it said whether it took the command; it was not sent again"
        ) from cause

    def _start(self) -> asyncio.Task[None]:
        if self._closed:
            raise SessionClosedError("the stream is closed; open another", sent="no")
        if self._task is None:
            self._task = asyncio.ensure_future(self._hold(self._keeper.run))
            self._task.add_done_callback(self._over)
        return self._task

    def _over(self, task: asyncio.Task[None]) -> None:
        error = None if task.cancelled() else task.exception()
        self._buffer.fail(error or _ClosedError())

    async def _meanwhile(self, work: Coroutine[Any, Any, T]) -> T:
        """The result of `work`, or the error with which the stream ends before."""
        try:
            task = self._start()
        except SessionClosedError:
            work.close()
            raise
        waiting = asyncio.ensure_future(work)
        try:
            await asyncio.wait((waiting, task), return_when=asyncio.FIRST_COMPLETED)
            if waiting.done():
                return waiting.result()
        finally:
            waiting.cancel()
            await asyncio.gather(waiting, return_exceptions=True)
        if not task.cancelled() and (error := task.exception()) is not None:
            raise error
        raise SessionClosedError("the stream was closed meanwhile", sent="no")


def _too_late(pending: PendingCommand | None, waited: float) -> IottlyError:
    if pending is None:
        return DeadlineExceededError(f"no stream within {waited:g} s; not sent", sent="no")
    if pending.command_id is None:
        return CommandOutcomeUnknownError("the stream did not say whether it took the command")
    return DeadlineExceededError(
        f"command {pending.command_id} has not ended within {waited:g} s; it may still end",
        sent="yes",
    )
