"""Exit codes, and the error that leads to each."""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from ..errors import IottlyError


class ExitCode(IntEnum):
    """The exit code of a command; `MEANINGS` is the list that users read.

    Attributes:
        DONE: The command did all of its work.
        ERROR: The service answered with an error or did not answer, a device did not succeed
            in a command, or a store failed.
        USAGE: An argument or a setting is invalid; nothing was sent.
        REFUSED: The key was refused, or has no access.
        PARTLY: Some devices failed, some rows cannot be read, or a store is incomplete.
        IN_USE: Another job writes to the store.
        INTERRUPTED: Ctrl-C ended the command.
        TERMINATED: SIGTERM ended the command.
    """

    DONE = 0
    ERROR = 1
    USAGE = 2
    REFUSED = 3
    PARTLY = 4
    IN_USE = 5
    INTERRUPTED = 130
    TERMINATED = 143


MEANINGS: Final[Mapping[ExitCode, str]] = {
    ExitCode.DONE: "done, or the reader of the pipe closed it",
    ExitCode.ERROR: "an error of the service, no answer, no such device, a command that did not "
    "succeed on its device, or a store that failed",
    ExitCode.USAGE: "an argument or a setting is invalid; nothing was sent",
    ExitCode.REFUSED: "the key was refused (401) or has no access (403)",
    ExitCode.PARTLY: "partly done: devices failed, rows cannot be read, or a store is incomplete",
    ExitCode.IN_USE: "another run writes to the store",
    ExitCode.INTERRUPTED: "interrupted by Ctrl-C",
    ExitCode.TERMINATED: "ended by SIGTERM",
}
"""What each exit code means, for `--help` and the documentation."""


def exit_code(error: IottlyError) -> ExitCode:
    """Choose the exit code for an error of the library."""
    # Imported here and below, so that `iottly --help` loads no attrs.
    from ..errors import (
        ConfigurationError,
        CursorMismatchError,
        ForbiddenError,
        StoreInUseError,
        UnauthorizedError,
    )

    if isinstance(error, ConfigurationError | CursorMismatchError):
        return ExitCode.USAGE
    if isinstance(error, UnauthorizedError | ForbiddenError):
        return ExitCode.REFUSED
    if isinstance(error, StoreInUseError):
        return ExitCode.IN_USE
    return ExitCode.ERROR


def explain(error: IottlyError) -> str:
    """Describe an error in one line, with a hint where one helps."""
    from ..errors import ForbiddenError, UnauthorizedError

    text = str(error) or type(error).__name__
    if error.request_id is not None:
        text += f" (request {error.request_id})"
    if isinstance(error, UnauthorizedError):
        text += "; is it the key of this project?"
    elif isinstance(error, ForbiddenError):
        text += "; the key is valid but has no access to this project or device"
    return text
