"""SIGTERM ends a command as Ctrl-C does: what it printed is whole, and the session is closed."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import current_thread, main_thread
from types import FrameType


@contextmanager
def sigterm_as_ctrl_c() -> Iterator[Callable[[], bool]]:
    """Let SIGTERM raise KeyboardInterrupt, or cancel the command if asyncio runs it.

    A command with a handler of its own, such as `iottly ingest`, replaces this one.

    Yields:
        A function that says whether SIGTERM came.
    """
    came = False

    def handle(number: int, frame: FrameType | None) -> None:
        nonlocal came
        came = True
        # A shell ignores SIGINT for a job in the background. SIGTERM must end that, too.
        ctrl_c = signal.getsignal(signal.SIGINT)
        (ctrl_c if callable(ctrl_c) else signal.default_int_handler)(number, frame)

    if current_thread() is not main_thread():  # where Python accepts no handler
        yield lambda: False
        return
    before = signal.signal(signal.SIGTERM, handle)
    try:
        yield lambda: came
    finally:
        signal.signal(signal.SIGTERM, before)
