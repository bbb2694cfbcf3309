"""Exit codes, and the error that leads to each."""

from __future__ import annotations

from enum import IntEnum

from ..errors import (
    ConfigurationError,
    CursorMismatchError,
    ForbiddenError,
    IottlyError,
    StoreInUseError,
    UnauthorizedError,
)


class ExitCode(IntEnum):
    """The exit code of a command.

    Attributes:
        DONE: The command did all of its work.
        ERROR: The service answered with an error or did not answer, or a store failed.
        USAGE: An argument or a setting is invalid; nothing was sent.
        REFUSED: The key was refused, or has no access.
        PARTLY: Some devices failed, or a store is incomplete.
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


def exit_code(error: IottlyError) -> ExitCode:
    """Choose the exit code for an error of the library."""
    if isinstance(error, ConfigurationError | CursorMismatchError):
        return ExitCode.USAGE
    if isinstance(error, UnauthorizedError | ForbiddenError):
        return ExitCode.REFUSED
    if isinstance(error, StoreInUseError):
        return ExitCode.IN_USE
    return ExitCode.ERROR


def explain(error: IottlyError) -> str:
    """Describe an error in one line, with a hint where one helps."""
    text = str(error) or type(error).__name__
    if error.request_id is not None:
        text += f" (request {error.request_id})"
    if isinstance(error, UnauthorizedError):
        text += "; is IOTTLY_API_KEY the key of this project?"
    elif isinstance(error, ForbiddenError):
        text += "; the key is valid but has no access to this project or device"
    return text
