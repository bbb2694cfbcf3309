"""A command of the fleet API (generation v1) and its result."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from attrs import field, frozen

from ._values import OpenEnum


class CommandStatus(OpenEnum):
    """How far a command is.

    The documents show pending and completed; the others are the usual words for
    what lies between and beside, and any further value is kept.
    """

    PENDING = "pending"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    TIMEOUT = "timeout"

    @property
    def finished(self) -> bool:
        """Whether nothing more will come: neither pending nor running."""
        return self not in (CommandStatus.PENDING, CommandStatus.RUNNING)


@frozen(kw_only=True)
class Command:
    """A command that the service took (v1, "Send a command").

    Attributes:
        id: such as "cmd_…"; what `commands.wait` takes.
        status: pending, as a rule.
        extra: fields that the documents do not name, by their names on the wire.
    """

    id: str
    status: CommandStatus
    extra: Mapping[str, Any] = field(factory=dict, hash=False)


@frozen(kw_only=True)
class CommandResult:
    """What became of a command (v1, "Get command result").

    Attributes:
        id: such as "cmd_…".
        status: pending, completed, or a value the documents do not name.
        exit_code: of the command on the device; None before it ended.
        stdout, stderr: what it printed; None before it ended.
        completed_at: aware, UTC; None before it ended.
        extra: fields that the documents do not name, by their names on the wire.
    """

    id: str
    status: CommandStatus
    exit_code: int | None = None
    stdout: str | None = None
    stderr: str | None = None
    completed_at: datetime | None = None
    extra: Mapping[str, Any] = field(factory=dict, hash=False)
