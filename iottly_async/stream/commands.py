"""Commands over a stream: those under way, and how they end (D10)."""

from __future__ import annotations

import asyncio
from itertools import count

from ..errors import IottlyError
from ..models import CommandResult


class PendingCommand:
    """A command that was given to the stream.

    Attributes:
        ref: what its answers carry.
        command_id: the service's, once it was accepted.
        ended: its result, or why there is none.
    """

    __slots__ = ("command_id", "ended", "ref")

    def __init__(self, ref: str) -> None:
        self.ref = ref
        self.command_id: str | None = None
        self.ended: asyncio.Future[CommandResult | None] = (
            asyncio.get_running_loop().create_future()
        )


class PendingCommands:
    """The commands under way on the present connection."""

    __slots__ = ("_numbers", "_pending")

    def __init__(self) -> None:
        self._numbers = count(1)
        self._pending: dict[str, PendingCommand] = {}

    def begin(self) -> PendingCommand:
        """A new one."""
        command = PendingCommand(f"c{next(self._numbers)}")
        self._pending[command.ref] = command
        return command

    def forget(self, command: PendingCommand) -> None:
        """Nobody waits for it any more."""
        self._pending.pop(command.ref, None)
        if not command.ended.cancel() and not command.ended.cancelled():
            command.ended.exception()  # looked at, so that nobody is told it never was

    def accepted(self, ref: str, command_id: str) -> None:
        """The service took it."""
        if (command := self._pending.get(ref)) is not None:
            command.command_id = command_id

    def finished(self, ref: str, outcome: CommandResult | IottlyError) -> None:
        """It has ended, or was not taken."""
        command = self._pending.get(ref)
        if command is None or command.ended.done():
            return
        if isinstance(outcome, IottlyError):
            command.ended.set_exception(outcome)
        else:
            command.ended.set_result(outcome)

    def lost(self) -> None:
        """The connection is over: no more will be heard of any by it."""
        for command in self._pending.values():
            if not command.ended.done():
                command.ended.set_result(None)
        self._pending.clear()
