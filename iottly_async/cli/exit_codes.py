"""ExitCode codes, and the errors that lead to them."""

from __future__ import annotations

from enum import IntEnum

from ..errors import (
    ConfigurationError,
    CursorMismatchError,
    ForbiddenError,
    IottlyError,
    UnauthorizedError,
)


class ExitCode(IntEnum):
    """What a command ends with."""

    DONE = 0
    ERROR = 1
    USAGE = 2
    REFUSED = 3
    PARTLY = 4
    INTERRUPTED = 130


def exit_code(error: IottlyError) -> ExitCode:
    """The exit code for an error of the library."""
    if isinstance(error, ConfigurationError | CursorMismatchError):
        return ExitCode.USAGE
    if isinstance(error, UnauthorizedError | ForbiddenError):
        return ExitCode.REFUSED
    return ExitCode.ERROR


def explain(error: IottlyError) -> str:
    """An error as a line for people."""
    text = str(error) or type(error).__name__
    if error.request_id is not None:
        text += f" (request {error.request_id})"
    if isinstance(error, UnauthorizedError):
        text += "; is IOTTLY_API_KEY the key of this project?"
    elif isinstance(error, ForbiddenError):
        text += "; the key is valid, and gives no access to this project or device"
    return text
