"""The emulator as a process: it serves until it is told to stop.

Prints nothing; who starts it is called back with the handle once it is ready.
"""

import asyncio
import contextlib
import signal
import threading
from collections.abc import Callable

from .server import Emulator
from .settings import EmulatorSettings

Ready = Callable[[Emulator], None]


async def serve(settings: EmulatorSettings | None = None, *, ready: Ready | None = None) -> None:
    """Serve until SIGINT or SIGTERM, then close cleanly and return.

    ``settings``: None takes the defaults. ``ready`` is called once, with the running emulator.
    Raises what starting raises (``OSError`` for a port that is taken). Only the main
    thread can handle signals; elsewhere cancel it.
    """
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    with contextlib.ExitStack() as handlers:
        in_main = threading.current_thread() is threading.main_thread()
        for number in (signal.SIGINT, signal.SIGTERM) if in_main else ():
            before = signal.signal(number, lambda *_: loop.call_soon_threadsafe(stop.set))
            handlers.callback(signal.signal, number, before)
        async with Emulator(settings) as emulator:
            if ready is not None:
                ready(emulator)
            await stop.wait()


def run(settings: EmulatorSettings | None = None, *, ready: Ready | None = None) -> None:
    """``serve`` in an event loop of its own, with the same ``settings`` and ``ready``.

    Returns once a signal has ended it.
    """
    asyncio.run(serve(settings, ready=ready))
