"""The commands that run over a stream and wait for their results (D10)."""

from __future__ import annotations

import asyncio
from itertools import count

from ..errors import IottlyError
from ..models import CommandResult


class PendingCommand:
    """A command that was sent, or is about to be sent, over the stream.

    Attributes:
        ref: the text that the service repeats in its answers to this command.
        command_id: the service's id of the command; None until the service accepts it.
        outcome: a future of the result. It holds None if the connection ended first, and
            an error if the service refused the command.
    """

    __slots__ = ("command_id", "outcome", "ref")

    def __init__(self, ref: str) -> None:
        self.ref = ref
        self.command_id: str | None = None
        self.outcome: asyncio.Future[CommandResult | None] = (
            asyncio.get_running_loop().create_future()
        )


class PendingCommands:
    """The commands of the current connection that have no result yet."""

    __slots__ = ("_numbers", "_pending")

    def __init__(self) -> None:
        self._numbers = count(1)
        self._pending: dict[str, PendingCommand] = {}

    def add(self) -> PendingCommand:
        """Register a new command."""
        command = PendingCommand(f"c{next(self._numbers)}")
        self._pending[command.ref] = command
        return command

    def remove(self, command: PendingCommand) -> None:
        """Forget a command that nothing waits for any more."""
        self._pending.pop(command.ref, None)
        if not command.outcome.cancel() and not command.outcome.cancelled():
            # Without this, asyncio logs an exception that was never retrieved.
            command.outcome.exception()

    def accept(self, ref: str, command_id: str) -> None:
        """Record that the service accepted a command."""
        if (command := self._pending.get(ref)) is not None:
            command.command_id = command_id

    def finish(self, ref: str, outcome: CommandResult | IottlyError) -> None:
        """Record the result of a command, or the error with which it was refused."""
        command = self._pending.get(ref)
        if command is None or command.outcome.done():
            return
        if isinstance(outcome, IottlyError):
            command.outcome.set_exception(outcome)
        else:
            command.outcome.set_result(outcome)

    def connection_lost(self) -> None:
        """End all waits: no result comes over this connection any more."""
        for command in self._pending.values():
            if not command.outcome.done():
                command.outcome.set_result(None)
        self._pending.clear()
