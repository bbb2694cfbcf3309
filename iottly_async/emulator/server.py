"""The emulator as an asynchronous context manager: a real socket in the caller's event loop."""

import asyncio
import socket
from collections.abc import Callable
from types import TracebackType
from typing import Self, TypeVar, Unpack

import attrs
from aiohttp import web

from .http.dispatch import Dispatcher
from .http.routes import ROUTE_NAMES
from .settings import EmulatorOptions, EmulatorSettings
from .surface import Surface
from .world import World

T = TypeVar("T")
_GRACE = 0.05
_BACKLOG = 1024
_LINE = 32_768  # room for the longest filter that is read, percent-encoded


class Emulator(Surface):
    """A server of both generations on a loopback socket, while the ``async with`` lasts.

    Takes an ``EmulatorSettings``, its fields as keyword arguments, or both (the arguments win);
    ``ValueError`` for what the settings refuse. Its methods belong to the loop that it runs in; use
    ``EmulatorThread`` from elsewhere. Requests that still hang on leaving are cut off.
    """

    def __init__(
        self, settings: EmulatorSettings | None = None, **options: Unpack[EmulatorOptions]
    ) -> None:
        self.settings = attrs.evolve(settings or EmulatorSettings(), **options)
        self._running: World | None = None
        self._runner: web.ServerRunner | None = None
        self._url: str | None = None

    @property
    def base_url(self) -> str:
        """``http://127.0.0.1:PORT``, without a generation's path."""
        if self._url is None:
            raise RuntimeError("the emulator has not been started")
        return self._url

    @property
    def _world(self) -> World:
        if self._running is None:
            raise RuntimeError("the emulator has not been started")
        return self._running

    def _call(self, function: Callable[[], T]) -> T:
        return function()

    async def until_requests(self, count: int, *, route: str | None = None) -> None:
        """Return once ``count`` requests arrived, answered or not, of ``route`` or (None) all."""
        await self._world.journal.until(count, route)

    async def until_streams(self, count: int) -> None:
        """Return once streams have subscribed ``count`` times, those that ended included."""
        await self._world.streams.until(count)

    async def until_deliveries(self, count: int) -> None:
        """Return once ``count`` messages were sent to webhooks, answered or not."""
        await self._world.webhooks.until(count)

    async def start(self) -> Self:
        """Make the fleet, bind and serve; ``OSError`` where the port is taken."""
        if self._runner is not None:
            raise RuntimeError("the emulator is already running")
        world = await asyncio.to_thread(World, self.settings, ROUTE_NAMES)
        try:
            sock = _bind(self.settings.host, self.settings.port)
        except OSError:
            world.close()
            raise
        host, port = sock.getsockname()[:2]
        named = f"[{host}]" if ":" in host else host
        known = {named, "localhost", "127.0.0.1", "[::1]"}
        gate = Dispatcher(world, frozenset(f"{name}:{port}" for name in known))
        self._runner = web.ServerRunner(
            web.Server(gate.handle, access_log=None, max_line_size=_LINE), shutdown_timeout=_GRACE
        )
        await self._runner.setup()
        await web.SockSite(self._runner, sock, backlog=_BACKLOG).start()
        self._running, self._url = world, f"http://{named}:{port}"
        return self

    async def aclose(self) -> None:
        """Stop serving; hanging requests are cut off. The records stay readable."""
        runner, self._runner = self._runner, None
        if runner is None:
            return
        world = self._world
        world.appender.stop()
        await world.webhooks.aclose()
        world.streams.drop()
        await runner.cleanup()
        world.close()

    async def __aenter__(self) -> Self:
        return await self.start()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.aclose()


def _bind(host: str, port: int) -> socket.socket:
    address = "127.0.0.1" if host == "localhost" else host
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    return socket.create_server((address, port), family=family, backlog=_BACKLOG)
