"""The stream of generation v1: messages as the service sends them, and commands."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import aclosing
from types import TracebackType
from typing import Any, Final, Self, TypeVar

from attrs import evolve

from ..aio.tasks import cancel_and_wait
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
from ..resources import FleetCommands
from ..wire import segment
from .backfill import Backfill, BackfillRun
from .buffer import MessageBuffer
from .commands import PendingCommand
from .gap import BufferedGap, Gap
from .supervisor import StreamStats, Supervisor

T = TypeVar("T")

Hold = Callable[[Callable[[], Coroutine[Any, Any, None]]], Coroutine[Any, Any, None]]
"""Runs a coroutine function, and ends it when the session closes."""

_LEAST_TIMEOUT: Final = 0.001
_MAY_BE_SENT: Final = (
    "iottly-async: the command may have reached the device when this was cancelled"
)


class _ClosedHereError(Exception):
    """Ends an iteration: `aclose` was called."""


class Stream:
    """A stream of messages that reconnects by itself, and runs commands.

    It is made by `IottlySession.stream`. Whenever a connection ends, the stream pauses (full
    jitter below a bound that doubles) and opens another, until it is closed. One task at a
    time may iterate over it.

    Example:
        ```python
        async with session.stream(project_id=project_id, fill_gaps=True) as stream:
            await stream.until_connected()
            async for event in stream:
                match event:
                    case Message():
                        print(event.device_id, event.payload)
                    case Gap():
                        print("messages may be missing from", event.start)
        ```

    Attributes:
        connected: whether the stream is connected and subscribed.
        stats: counters since the stream was opened.
    """

    def __init__(
        self,
        supervisor: Supervisor,
        buffer: MessageBuffer,
        backfill: Backfill | None,
        *,
        hold: Hold,
        commands: FleetCommands,
    ) -> None:
        self._supervisor = supervisor
        self._buffer = buffer
        self._backfill = backfill
        self._backfill_run: BackfillRun | None = None
        self._hold = hold
        self._commands = commands
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
        """Whether the stream is connected and subscribed, so that messages come.

        Returns:
            True or False; False before the first connection and between two.
        """
        return self._supervisor.connection is not None

    @property
    def stats(self) -> StreamStats:
        """Counters since the stream was opened.

        Returns:
            A copy, which does not change.
        """
        return evolve(self._supervisor.stats)

    async def until_connected(self) -> None:
        """Wait until the stream is connected and subscribed.

        Messages that the service sends after this returns are not missed.

        Raises:
            SessionClosedError: the stream is closed, or is closed during the wait.
            UnauthorizedError: the key is not accepted.
            ForbiddenError: the key gives no access.
            NotFoundError: the service has no stream at the protocol's address.
            BadRequestError: the subscription names too many devices.
            UnexpectedRedirectError: the service redirects, which is not followed (D12).
            StreamClosedError: the service accepted five connections in a row and closed them.
        """
        await self._while_open(self._supervisor.until_connected())

    async def aclose(self) -> None:
        """Close the connection and end the stream.

        An iteration yields what is in the buffer and then ends. Closing twice does nothing.
        """
        self._closed = True
        task, self._task = self._task, None
        if task is None:
            self._buffer.fail(_ClosedHereError())
        else:
            task.cancel()
            await asyncio.wait([task])

    def __aiter__(self) -> AsyncGenerator[Message | Gap, None]:
        """Iterate over messages and gaps until the stream is closed.

        A stream that is not open yet is opened here, and closed when the iteration ends.

        The messages of one device come in the order in which the service shows them. This
        is the order of their times, except for late messages (D11). With `fill_gaps` the
        missing messages follow their gap, device by device, and every message is yielded
        exactly once.

        If an iteration is cancelled, as by a timeout around `anext`, a new iteration over
        the same open stream continues after the last message that was yielded.

        Yields:
            A `Message`, or a `Gap` where messages may be missing.

        Raises:
            SessionClosedError: the session was closed.
            UnauthorizedError: the key is not accepted.
            ForbiddenError: the key gives no access.
            NotFoundError: the service has no stream at the protocol's address.
            BadRequestError: the subscription names too many devices.
            UnexpectedRedirectError: the service redirects, which is not followed (D12).
            StreamClosedError: the service accepted five connections in a row and closed them.
        """
        return self._events()

    async def messages(self) -> AsyncGenerator[Message, None]:
        """Iterate over the messages without the gaps.

        Everything else is as when iterating over the stream itself.

        Yields:
            A `Message`.

        Raises:
            SessionClosedError: the session was closed.
            UnauthorizedError: the key is not accepted.
            ForbiddenError: the key gives no access.
            NotFoundError: the service has no stream at the protocol's address.
            BadRequestError: the subscription names too many devices.
            UnexpectedRedirectError: the service redirects, which is not followed (D12).
            StreamClosedError: the service accepted five connections in a row and closed them.
        """
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
                except _ClosedHereError:
                    return
                if event is not None:
                    yield event
        finally:
            if self._backfill_run is not None:
                await self._backfill_run.aclose_walk()
            if opened_here:
                await self.aclose()

    async def _next(self) -> Message | Gap | None:
        """The next event; None for a message that was yielded before.

        It may be cancelled at any moment: a backfill that has begun is kept in `_backfill_run`.
        """
        if self._backfill_run is not None:
            missing = await self._backfill_run.next()
            if missing is not None:
                return missing
            self._backfill_run = None
        entry = await self._buffer.get()
        if isinstance(entry, BufferedGap):
            if self._backfill is not None:
                self._backfill_run = BackfillRun(self._backfill, entry)
            return evolve(entry.gap, filled=self._backfill is not None)
        seen = None if self._backfill is None else self._backfill.seen
        if seen is None or seen.add_streamed(entry.message, entry.complete_until):
            return entry.message
        return None

    async def run(self, device_id: str, command: str, *, timeout: Seconds = 10.0) -> CommandResult:
        """Run a command on a device over the stream, and wait for its result.

        The command is sent once (D10). If the connection ends after the service has accepted
        the command, the result is fetched over HTTP. If the buffer is full and `overflow`
        is "wait", results wait as well.

        Example:
            ```python
            result = await stream.run("dev_01j3k", "uptime", timeout=5)
            print(result.stdout)
            ```

        Args:
            device_id: the id of generation v1, such as "dev_01j3k".
            command: what the device runs.
            timeout: seconds, or a `timedelta`. It bounds the time on the device, and the
                whole wait. Default 10.

        Returns:
            The result, with exit code, stdout and stderr.

        Raises:
            ConfigurationError: an argument is not accepted, or the stream's protocol has no
                commands; the command was not sent.
            DeviceOfflineError: the device is not connected; it did not get the command.
            NotFoundError: there is no such device.
            BadRequestError: the service did not accept the command.
            DeadlineExceededError: there was no connection in time (`sent` is "no"), or the
                command was accepted and did not end in time (`sent` is "yes").
            CommandOutcomeUnknownError: it is not known whether the command reached the
                device; it was not sent again.
            SessionClosedError: the stream is closed; the command was not sent.
        """
        within = seconds(timeout, name="timeout")
        segment(device_id, name="device_id")
        encode_fleet_command(command, within)  # refuses an invalid command
        pending: PendingCommand | None = None
        deadline = asyncio.get_running_loop().time() + within
        limit = asyncio.timeout_at(deadline)
        try:
            async with limit:
                connection = await self._while_open(self._supervisor.until_connected())
                pending = self._supervisor.commands.add()
                frame = self._supervisor.protocol.command(pending.ref, device_id, command, within)
                error: TransportError | None = None
                try:
                    await connection.send(frame)
                except TransportError as failed:
                    error = failed
                else:
                    result = await pending.outcome
                    if result is not None:
                        return result
                return await self._result_over_http(pending, deadline, error)
        except asyncio.CancelledError as cancelled:
            if pending is not None:
                cancelled.add_note(_MAY_BE_SENT)
            raise
        except TimeoutError:
            if not limit.expired():
                raise
        finally:
            if pending is not None:
                self._supervisor.commands.remove(pending)
        raise _too_late(pending, within)

    async def _result_over_http(
        self, pending: PendingCommand, deadline: float, cause: TransportError | None
    ) -> CommandResult:
        """The result of a command whose connection has ended."""
        if pending.command_id is None:
            raise CommandOutcomeUnknownError(
                "the connection ended before the service accepted or refused the command; "
                "it was not sent again"
            ) from cause
        remaining = deadline - asyncio.get_running_loop().time()
        timeout = max(remaining, _LEAST_TIMEOUT)
        return await self._commands.wait(pending.command_id, timeout=timeout)

    def _start(self) -> asyncio.Task[None]:
        if self._closed:
            raise SessionClosedError("the stream is closed; open another", sent="no")
        if self._task is None:
            self._task = asyncio.ensure_future(self._hold(self._supervisor.run))
            self._task.add_done_callback(self._on_end)
        return self._task

    def _on_end(self, task: asyncio.Task[None]) -> None:
        error = None if task.cancelled() else task.exception()
        self._buffer.fail(error or _ClosedHereError())

    async def _while_open(self, work: Coroutine[Any, Any, T]) -> T:
        """The result of `work`; if the stream ends first, the error with which it ends."""
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
            await cancel_and_wait([waiting])
        if not task.cancelled() and (error := task.exception()) is not None:
            raise error
        raise SessionClosedError("the stream was closed during this wait", sent="no")


def _too_late(pending: PendingCommand | None, within: float) -> IottlyError:
    if pending is None:
        return DeadlineExceededError(
            f"the stream was not connected within {within:g} s; the command was not sent",
            sent="no",
        )
    if pending.command_id is None:
        return CommandOutcomeUnknownError(
            f"the service neither accepted nor refused the command within {within:g} s"
        )
    return DeadlineExceededError(
        f"command {pending.command_id} did not end within {within:g} s; it may still end",
        sent="yes",
    )
