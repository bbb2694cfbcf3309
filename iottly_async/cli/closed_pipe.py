"""What a command does if the reader of its output, such as `head`, has enough: it ends."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

from .exit_codes import ExitCode


def until_pipe_closes(work: Callable[[], int]) -> int:
    """Do something that prints to stdout. That nobody reads it any more is no error.

    Args:
        work: prints, and returns an exit code.

    Returns:
        The exit code.
    """
    try:
        code = work()
        sys.stdout.flush()
    except BrokenPipeError:
        _discard_stdout()
        return ExitCode.DONE
    return code


def _discard_stdout() -> None:
    # The interpreter flushes stdout when it exits: what is still buffered would fail again.
    try:
        devnull = os.open(os.devnull, os.O_WRONLY)
        os.dup2(devnull, sys.stdout.fileno())
        os.close(devnull)
    except (OSError, ValueError):
        pass
