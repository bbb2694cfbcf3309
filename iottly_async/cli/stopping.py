"""Ctrl-C and SIGTERM for a job: the first ends it cleanly, the second at once."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable, Iterator

from .exit_codes import ExitCode


@contextlib.contextmanager
def signals_stop(stop: Callable[[], None], *, at_once: Callable[[], None]) -> Iterator[None]:
    """While it lasts, the first signal calls `stop` in the loop, the next ends the process.

    Args:
        stop: asks for a clean end.
        at_once: puts the terminal in order before the process ends.
    """
    loop = asyncio.get_running_loop()
    asked = False

    def handle(number: int, frame: object) -> None:
        nonlocal asked
        if asked:
            at_once()
            # Stores bear to be killed at any moment; nothing that was committed is lost.
            os._exit(ExitCode.INTERRUPTED)
        asked = True
        loop.call_soon_threadsafe(stop)

    with contextlib.ExitStack() as before:
        for number in (signal.SIGINT, signal.SIGTERM):
            before.callback(signal.signal, number, signal.signal(number, handle))
        yield
