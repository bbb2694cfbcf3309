"""The emulator in a thread of its own, with a handle for any thread."""

import asyncio
import threading
from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import Any, Self, TypeVar, Unpack

from .handle import EmulatorHandle
from .server import Emulator
from .settings import EmulatorOptions, EmulatorSettings
from .state import EmulatorState

T = TypeVar("T")


class EmulatorThread(EmulatorHandle):
    """The same server and methods as ``Emulator``, for synchronous code.

    A thread with its own event loop runs for as long as the ``with`` lasts. Method calls run in
    that loop, one at a time, and return when they are done.

    Args:
        settings: The settings. None takes the defaults.
        **options: Fields of ``EmulatorSettings``, which override ``settings``.

    Raises:
        ValueError: A setting is not allowed.

    Example:
        ```python
        with EmulatorThread(devices=3, messages=500) as emulator:
            os.environ["IOTTLY_BASE_URL"] = emulator.base_url
        ```
    """

    def __init__(
        self, settings: EmulatorSettings | None = None, **options: Unpack[EmulatorOptions]
    ) -> None:
        super().__init__(settings, **options)
        self._emulator = Emulator(self.settings)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    @property
    def base_url(self) -> str:
        """The server's address, ``http://127.0.0.1:PORT``, without a generation's path."""
        return self._emulator.base_url

    @property
    def _state(self) -> EmulatorState:
        return self._emulator._state

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
        """Wait for requests to arrive, answered or not.

        Args:
            count: How many requests must have arrived since the start.
            route: Count only requests of this route. None: all requests.
            timeout: How many seconds to wait. None: without limit.

        Raises:
            TimeoutError: Too few requests arrived in time.
        """
        self._run(self._emulator.until_requests(count, route=route), timeout)

    def until_streams(self, count: int, *, timeout: float | None = None) -> None:
        """Wait for streams to subscribe.

        Args:
            count: How many times a stream must have subscribed; streams that have closed count.
            timeout: How many seconds to wait. None: without limit.

        Raises:
            TimeoutError: Too few streams subscribed in time.
        """
        self._run(self._emulator.until_streams(count), timeout)

    def until_deliveries(self, count: int, *, timeout: float | None = None) -> None:
        """Wait for messages to be delivered to webhooks.

        Args:
            count: How many deliveries must have been tried, whatever their outcome.
            timeout: How many seconds to wait. None: without limit.

        Raises:
            TimeoutError: Too few deliveries were tried in time.
        """
        self._run(self._emulator.until_deliveries(count), timeout)

    def start(self) -> Self:
        """Start the thread and the server in it; ``with`` does this.

        Returns:
            The emulator itself.

        Raises:
            OSError: The port is in use, or a file cannot be read.
            ValueError: ``jsonl`` or ``database`` does not hold what the settings say.
            RuntimeError: The emulator is already running.
        """
        if self._thread is not None:
            raise RuntimeError("the emulator is already running")
        loop = asyncio.new_event_loop()
        self._thread = threading.Thread(
            target=_run_loop, args=(loop,), name="iottly-emulator", daemon=True
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
        """Stop the server and its thread; the records stay readable."""
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


def _run_loop(loop: asyncio.AbstractEventLoop) -> None:
    asyncio.set_event_loop(loop)
    try:
        loop.run_forever()
        # A request that stalls, and whose client has gone, outlives the server.
        tasks = asyncio.all_tasks(loop)
        for task in tasks:
            task.cancel()
        loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.run_until_complete(loop.shutdown_default_executor())
    finally:
        asyncio.set_event_loop(None)
        loop.close()
