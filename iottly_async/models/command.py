"""A command of the fleet API (generation v1) and its result."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from attrs import field, frozen

from ._model import Model
from ._values import OpenEnum


class CommandStatus(OpenEnum):
    """The state of a command.

    The documents name "pending" and "completed". The others are usual words for the states
    between and beside them. Any further value is kept.
    """

    PENDING = "pending"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    TIMEOUT = "timeout"

    @property
    def finished(self) -> bool:
        """Whether the command has ended: it is neither pending nor running."""
        return self not in (CommandStatus.PENDING, CommandStatus.RUNNING)


@frozen(kw_only=True)
class Command(Model):
    """A command that the service accepted (v1, "Send a command").

    Attributes:
        id: such as "cmd_…"; an argument of `commands.wait` and `commands.get`.
        status: usually pending.
        extra: fields that the documents do not name, and optional fields that cannot be
            read, by their names on the wire (D8).
    """

    id: str
    status: CommandStatus
    extra: Mapping[str, Any] = field(factory=dict, hash=False)


@frozen(kw_only=True)
class CommandResult(Model):
    """The state and the result of a command (v1, "Get command result").

    Attributes:
        id: such as "cmd_…".
        status: pending, completed, or a value that the documents do not name.
        exit_code: of the command on the device; None until it has ended.
        stdout: what it wrote to standard output; None until it has ended.
        stderr: what it wrote to standard error; None until it has ended.
        completed_at: aware, UTC; None until it has ended.
        extra: fields that the documents do not name, and optional fields that cannot be
            read, by their names on the wire (D8).
    """

    id: str
    status: CommandStatus
    exit_code: int | None = None
    stdout: str | None = None
    stderr: str | None = None
    completed_at: datetime | None = None
    extra: Mapping[str, Any] = field(factory=dict, hash=False)
