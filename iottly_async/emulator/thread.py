"""The emulator in a thread of its own, with a handle that any thread may use."""

import asyncio
import threading
from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import Any, Self, TypeVar, Unpack

import attrs

from .server import Emulator
from .settings import EmulatorOptions, EmulatorSettings
from .surface import Surface
from .world import World

T = TypeVar("T")


class EmulatorThread(Surface):
    """The same server and methods as ``Emulator``, for synchronous code.

    A thread with an event loop of its own runs while the ``with`` lasts; calls are carried out
    there, one at a time, and return when done. Takes the same settings.
    """

    def __init__(
        self, settings: EmulatorSettings | None = None, **options: Unpack[EmulatorOptions]
    ) -> None:
        self.settings = attrs.evolve(settings or EmulatorSettings(), **options)
        self._emulator = Emulator(self.settings)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    @property
    def base_url(self) -> str:
        """``http://127.0.0.1:PORT``, without a generation's path."""
        return self._emulator.base_url

    @property
    def _world(self) -> World:
        return self._emulator._world

    def _call(self, function: Callable[[], T]) -> T:
        async def call() -> T:
            return function()

        return function() if self._loop is None else self._run(call())

    def _run(self, work: Coroutine[Any, Any, T], timeout: float | None = None) -> T:
        if self._loop is None:
            work.close()
            raise RuntimeError("the emulator is not running")
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result(timeout)
        except TimeoutError:
            future.cancel()
            raise

    def until_requests(
        self, count: int, *, route: str | None = None, timeout: float | None = None
    ) -> None:
        """Return once ``count`` requests arrived, of one ``route`` or (None) in all.

        Raises ``TimeoutError`` after ``timeout`` seconds; None waits as long as it takes.
        """
        self._run(self._emulator.until_requests(count, route=route), timeout)

    def until_streams(self, count: int, *, timeout: float | None = None) -> None:
        """Return once streams have subscribed ``count`` times; ``timeout`` as above."""
        self._run(self._emulator.until_streams(count), timeout)

    def until_deliveries(self, count: int, *, timeout: float | None = None) -> None:
        """Return once ``count`` messages were sent to webhooks; ``timeout`` as above."""
        self._run(self._emulator.until_deliveries(count), timeout)

    def start(self) -> Self:
        """Start the thread and the server in it; raises what starting the server raises."""
        if self._thread is not None:
            raise RuntimeError("the emulator is already running")
        loop = asyncio.new_event_loop()
        self._thread = threading.Thread(
            target=_serve_loop, args=(loop,), name="iottly-emulator", daemon=True
        )
        self._thread.start()
        self._loop = loop
        try:
            self._run(self._emulator.start())
        except BaseException:
            self._stop_loop()
            raise
        return self

    def close(self) -> None:
        """Stop the server and its thread. The records stay readable."""
        if self._loop is None:
            return
        try:
            self._run(self._emulator.aclose())
        finally:
            self._stop_loop()

    def _stop_loop(self) -> None:
        loop, thread = self._loop, self._thread
        self._loop = self._thread = None
        if loop is not None and thread is not None:
            loop.call_soon_threadsafe(loop.stop)
            thread.join()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _serve_loop(loop: asyncio.AbstractEventLoop) -> None:
    asyncio.set_event_loop(loop)
    try:
        loop.run_forever()
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.run_until_complete(loop.shutdown_default_executor())
    finally:
        asyncio.set_event_loop(None)
        loop.close()
