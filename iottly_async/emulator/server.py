"""The emulator as an asynchronous context manager: a real socket in the caller's event loop."""

import asyncio
import contextlib
import logging
import signal
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self, TypeVar, Unpack

from aiohttp import web

from .handle import EmulatorHandle
from .http.dispatch import Dispatcher
from .http.hosts import named
from .http.listener import Listener, bind
from .http.routes import ROUTE_NAMES
from .settings import EmulatorOptions, EmulatorSettings
from .state import EmulatorState

_LOGGER = logging.getLogger("iottly_async.emulator")

T = TypeVar("T")
_SHUTDOWN_TIMEOUT = 0.05
_MAX_LINE = 32_768  # bytes: the longest filter that is read fits in, percent-encoded


class Emulator(EmulatorHandle):
    """An Iottly cloud on a loopback socket, for as long as the ``async with`` lasts.

    Its methods must be called in the event loop that it runs in; ``EmulatorThread`` can be called
    from any thread. On leaving, requests that still hang are cut off.

    Args:
        settings: The settings. None takes the defaults.
        **options: Fields of ``EmulatorSettings``, which override ``settings``.

    Raises:
        ValueError: A setting is not allowed.

    Example:
        ```python
        async with Emulator(devices=3, messages=500, rate_limit="pro") as emulator:
            config = Config(base_url=emulator.base_url)
            async with IottlySession(emulator.api_key, config=config) as session:
                ...
        ```
    """

    def __init__(
        self, settings: EmulatorSettings | None = None, **options: Unpack[EmulatorOptions]
    ) -> None:
        super().__init__(settings, **options)
        self._running: EmulatorState | None = None
        self._server: web.Server | None = None
        self._listener: Listener | None = None
        self._url: str | None = None

    @property
    def base_url(self) -> str:
        """The server's address, ``http://127.0.0.1:PORT``, without a generation's path."""
        if self._url is None:
            raise RuntimeError("the emulator has not been started")
        return self._url

    @property
    def _state(self) -> EmulatorState:
        if self._running is None:
            raise RuntimeError("the emulator has not been started")
        return self._running

    def _call(self, function: Callable[[], T]) -> T:
        return function()

    async def until_requests(self, count: int, *, route: str | None = None) -> None:
        """Wait for requests to arrive, answered or not.

        Args:
            count: How many requests must have arrived since the start.
            route: Count only requests of this route. None: all requests.
        """
        await self._state.records.until_requests(count, route)

    async def until_streams(self, count: int) -> None:
        """Wait for streams to subscribe.

        Args:
            count: How many times a stream must have subscribed; streams that have closed count.
        """
        await self._state.streams.until_subscribed(count)

    async def until_deliveries(self, count: int) -> None:
        """Wait for messages to be delivered to webhooks.

        Args:
            count: How many deliveries must have been tried, whatever their outcome.
        """
        await self._state.webhooks.until_delivered(count)

    async def start(self) -> Self:
        """Make the fleet, bind the socket and serve; ``async with`` does this.

        Returns:
            The emulator itself.

        Raises:
            OSError: The port is in use, or a file cannot be read.
            ValueError: ``jsonl`` or ``database`` does not hold what the settings say.
            RuntimeError: The emulator is already running.
        """
        if self._server is not None:
            raise RuntimeError("the emulator is already running")
        state = await asyncio.to_thread(EmulatorState, self.settings, ROUTE_NAMES)
        try:
            bound = bind(self.settings.host, self.settings.port)
        except OSError:
            state.close()
            raise
        address = bound.getsockname()[:2]
        dispatcher = Dispatcher(state, address)
        server = web.Server(dispatcher.handle, access_log=None, max_line_size=_MAX_LINE)
        listener = Listener(server, bound)
        await listener.start()
        state.outages.port = listener
        self._running, self._url = state, f"http://{named(address[0])}:{address[1]}"
        self._warn_if_open(address)
        self._server, self._listener = server, listener
        return self

    def _warn_if_open(self, address: tuple[str, int]) -> None:
        settings = self.settings
        if settings.allowed_hosts or settings.open_control:
            _LOGGER.warning(
                "the emulator listens on %s, port %d, for %s: whoever reaches it can use it; its "
                "control address %s",
                *address,
                ", ".join(settings.allowed_hosts) or "this machine",
                "answers everyone"
                if settings.open_control
                else "answers this machine only"
                if settings.control_token is None
                else "needs a token",
            )

    async def aclose(self) -> None:
        """Stop serving and cut off hanging requests; the records stay readable."""
        server, self._server = self._server, None
        listener, self._listener = self._listener, None
        if server is None or listener is None:
            return
        state = self._state
        state.outages.port = None
        state.outages.end()
        state.appender.stop()
        await state.webhooks.aclose()
        state.streams.drop()
        await listener.aclose()
        await asyncio.sleep(0)  # requests that have arrived are handled before connections close
        server.pre_shutdown()
        await server.shutdown(_SHUTDOWN_TIMEOUT)
        state.close()

    async def __aenter__(self) -> Self:
        return await self.start()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.aclose()


Ready = Callable[[Emulator], None]


async def serve(settings: EmulatorSettings | None = None, *, ready: Ready | None = None) -> None:
    """Run an emulator until SIGINT or SIGTERM, then close it and return.

    Signals are handled in the main thread only; elsewhere, cancel the task. Nothing is printed.

    Args:
        settings: The settings. None takes the defaults.
        ready: Called once with the running emulator. None: nothing is called.

    Raises:
        OSError: The port is in use, or a file cannot be read.
        ValueError: ``jsonl`` or ``database`` does not hold what the settings say.
    """
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    with contextlib.ExitStack() as handlers:
        in_main = threading.current_thread() is threading.main_thread()
        for number in (signal.SIGINT, signal.SIGTERM) if in_main else ():
            handlers.callback(signal.signal, number, signal.getsignal(number))
            try:
                loop.add_signal_handler(number, stop.set)
            except NotImplementedError:  # on Windows, where each signal wakes the loop
                signal.signal(number, lambda *_: loop.call_soon_threadsafe(stop.set))
            else:
                handlers.callback(loop.remove_signal_handler, number)
        async with Emulator(settings) as emulator:
            if ready is not None:
                ready(emulator)
            await stop.wait()


def run(settings: EmulatorSettings | None = None, *, ready: Ready | None = None) -> None:
    """``serve`` in an event loop of its own; returns after a signal.

    Args:
        settings: The settings. None takes the defaults.
        ready: Called once with the running emulator. None: nothing is called.
    """
    asyncio.run(serve(settings, ready=ready))
