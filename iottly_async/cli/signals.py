"""SIGTERM ends a command as Ctrl-C does: what it printed is whole, and the session is closed."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
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


@contextmanager
def signals_wake_loop() -> Iterator[None]:
    """Let SIGINT and SIGTERM wake the running event loop. Their handlers stay as they are.

    Python runs a handler in the main thread, when that executes Python code. A loop that waits
    does not, if another thread took the signal, or if it came just before the wait.
    """
    from asyncio import get_running_loop

    loop = get_running_loop()
    numbers = (signal.SIGINT, signal.SIGTERM) if current_thread() is main_thread() else ()
    with suppress(NotImplementedError):  # on Windows, each signal wakes the loop
        for number in numbers:
            handler = signal.getsignal(number)
            loop.add_signal_handler(number, _do_nothing)  # sets what wakes the loop
            signal.signal(number, handler)
    try:
        yield
    finally:
        with suppress(NotImplementedError):
            for number in numbers:
                handler = signal.getsignal(number)
                loop.remove_signal_handler(number)
                signal.signal(number, handler)


def _do_nothing() -> None:
    """The handler does the work."""
