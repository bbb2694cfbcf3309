"""pytest fixtures: an Iottly cloud for tests, and a session on it.

They are there wherever this package is installed, and cost nothing where no test takes
one: with the first that does the package is loaded, and the emulator starts.

``iottly_emulator``
    The cloud: a server in a thread of its own, one a test run (one a worker of xdist),
    as new for every test. All that `iottly_async.emulator.Surface` lists can be done
    with it: append messages, disconnect devices, let calls fail.

``iottly_session``
    An `IottlySession` on it, for coroutine tests under pytest-asyncio (either mode) or
    anyio, and for `asyncio.run` in a synchronous test. It is closed in the event loop
    that used it, at the latest when that loop ends, so that a session serves one loop.

``iottly_environment``
    Sets ``IOTTLY_API_KEY``, ``IOTTLY_BASE_URL`` and ``IOTTLY_PROJECT`` for the test, so
    that a whole application that opens its own session works on the emulator::

        def test_my_backend(iottly_environment, iottly_emulator):
            with TestClient(app) as client:
                assert client.get("/devices").json()

``iottly_emulator_options``
    To be overridden, with scope "session", in a conftest: a dict of the settings of the
    emulator (`EmulatorOptions`); by default 3 devices and 600 messages.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from ..emulator import EmulatorOptions, EmulatorThread
    from ..session import IottlySession
    from ..transport import Outgoing, Transport
    from ..wire import Answer


@pytest.fixture(scope="session")
def iottly_emulator_options() -> EmulatorOptions:
    """Settings of the emulator; override it to have others."""
    return {"devices": 3, "messages": 600}


@pytest.fixture(scope="session")
def _iottly_emulator_server(iottly_emulator_options: EmulatorOptions) -> Iterator[EmulatorThread]:
    from ..emulator import EmulatorThread

    with EmulatorThread(**iottly_emulator_options) as emulator:
        yield emulator


@pytest.fixture
def iottly_emulator(_iottly_emulator_server: EmulatorThread) -> EmulatorThread:
    """An Iottly cloud that runs in a thread, as new for this test."""
    from ..ratelimit.registry import forget_limiters

    _iottly_emulator_server.reset()
    # What the last test's sessions knew of the quota must not hold up this one's.
    forget_limiters(_iottly_emulator_server.base_url.removeprefix("http://"))
    return _iottly_emulator_server


@pytest.fixture
def iottly_environment(
    iottly_emulator: EmulatorThread, monkeypatch: pytest.MonkeyPatch
) -> EmulatorThread:
    """The environment variables that lead a program to the emulator; its value is the emulator."""
    monkeypatch.setenv("IOTTLY_API_KEY", iottly_emulator.api_key)
    monkeypatch.setenv("IOTTLY_BASE_URL", iottly_emulator.base_url)
    monkeypatch.setenv("IOTTLY_PROJECT", iottly_emulator.project_id)
    return iottly_emulator


@pytest.fixture
def iottly_session(iottly_emulator: EmulatorThread) -> Iterator[IottlySession]:
    """A session on the emulator, with a limiter of its own; closed after the test."""
    from ..config import Config
    from ..ratelimit import RateLimiter
    from ..session import IottlySession
    from ..transport import AiohttpTransport

    config = Config(base_url=iottly_emulator.base_url)
    transport = _Watched(AiohttpTransport(config))
    session = IottlySession(
        iottly_emulator.api_key, config=config, http=transport, limiter=RateLimiter()
    )
    transport.session = session
    yield session
    transport.finish()


class _Watched:
    """A transport that closes its session in the event loop that it was used in.

    A fixture without a loop cannot await `aclose`. But an asynchronous generator that
    was begun in a loop is closed by that loop before it ends.
    """

    session: IottlySession

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._loop: asyncio.AbstractEventLoop | None = None
        self._guard: AsyncGenerator[None, None] | None = None

    async def send(self, outgoing: Outgoing) -> Answer:
        """As the transport; the first one sets the guard."""
        if self._guard is None:
            self._loop = asyncio.get_running_loop()
            self._guard = self._closing()
            await anext(self._guard)
        return await self._transport.send(outgoing)

    async def aclose(self) -> None:
        """As the transport."""
        await self._transport.aclose()

    async def _closing(self) -> AsyncGenerator[None, None]:
        try:
            yield
        finally:
            await self.session.aclose()

    def finish(self) -> None:
        """Close the session where its loop has not done so: it lives on for other tests."""
        loop, guard = self._loop, self._guard
        if loop is None or guard is None or loop.is_closed():
            return
        if loop.is_running():
            asyncio.run_coroutine_threadsafe(guard.aclose(), loop).result(timeout=10)
        else:
            loop.run_until_complete(guard.aclose())
