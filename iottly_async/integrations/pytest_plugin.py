"""pytest fixtures: an emulated Iottly cloud, and a session that is connected to it.

pytest finds the fixtures wherever this package is installed. They load nothing until a test
uses one.

- ``iottly_emulator`` is the cloud: a server in its own thread, one for each test run (with
  xdist, one for each worker). It is reset before each test. A test can append messages,
  disconnect devices and inject faults; see `iottly_async.emulator.EmulatorHandle`.
- ``iottly_session`` is an `IottlySession` on the emulator, for coroutine tests under
  pytest-asyncio (strict or auto mode) or anyio, and for `asyncio.run` in a synchronous test.
  It serves one event loop, and is closed in that loop, at the latest when the loop ends.
- ``iottly_config`` is the `Config` of that session; override it as below. Its `settle` is 0,
  and the emulator rounds `Date` up (``date_rounding="up"``), because a walk ends at the `Date`
  of its first response. So a walk finds a message that was appended before at once.
- ``iottly_environment`` sets ``IOTTLY_API_KEY``, ``IOTTLY_BASE_URL``, ``IOTTLY_PROJECT`` and
  ``IOTTLY_SETTLE=0`` for the test, so that an application that opens its own session uses the
  emulator and finds an appended message at once, too. An application that makes its `Config`
  itself, and not by `Config.from_env`, has to set `settle` there.
- ``iottly_emulator_options`` are the emulator's settings (`EmulatorOptions`). Override it
  with scope "session" in a conftest. The default is 3 devices and 600 messages.

```python
def test_my_backend(iottly_environment, iottly_emulator):
    with TestClient(app) as client:
        assert client.get("/devices").json()


@pytest.fixture
def iottly_config(iottly_config):
    return attrs.evolve(iottly_config, timeout=2)
```
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from ..config import Config
    from ..emulator import EmulatorOptions, EmulatorThread
    from ..session import IottlySession
    from ..transport import Outgoing, Transport
    from ..wire import Answer


@pytest.fixture(scope="session")
def iottly_emulator_options() -> EmulatorOptions:
    """The settings of the emulator; override this fixture to change them."""
    return {"devices": 3, "messages": 600}


@pytest.fixture(scope="session")
def _iottly_emulator_server(iottly_emulator_options: EmulatorOptions) -> Iterator[EmulatorThread]:
    from ..emulator import EmulatorThread

    # A walk ends at the `Date` of its first response, which is in whole seconds.
    options: EmulatorOptions = {"date_rounding": "up", **iottly_emulator_options}
    with EmulatorThread(**options) as emulator:
        yield emulator


@pytest.fixture
def iottly_emulator(_iottly_emulator_server: EmulatorThread) -> EmulatorThread:
    """An emulated Iottly cloud in its own thread, reset for this test."""
    from ..ratelimit.registry import forget_limiters

    _iottly_emulator_server.reset()
    # The last test's limiter may hold an exhausted quota, which was reset as well.
    forget_limiters(_iottly_emulator_server.base_url.removeprefix("http://"))
    return _iottly_emulator_server


@pytest.fixture
def iottly_environment(
    iottly_emulator: EmulatorThread, monkeypatch: pytest.MonkeyPatch
) -> EmulatorThread:
    """Sets the environment variables of the emulator; the fixture's value is the emulator."""
    monkeypatch.setenv("IOTTLY_API_KEY", iottly_emulator.api_key)
    monkeypatch.setenv("IOTTLY_BASE_URL", iottly_emulator.base_url)
    monkeypatch.setenv("IOTTLY_PROJECT", iottly_emulator.project_id)
    # Nothing arrives late at the emulator, unless a test asks for that.
    monkeypatch.setenv("IOTTLY_SETTLE", "0")
    return iottly_emulator


@pytest.fixture
def iottly_config(iottly_emulator: EmulatorThread) -> Config:
    """The settings of ``iottly_session``; override this fixture to change them."""
    from ..config import Config

    # Nothing arrives late at the emulator, unless a test asks for that.
    return Config(base_url=iottly_emulator.base_url, settle=0)


@pytest.fixture
def iottly_session(
    iottly_emulator: EmulatorThread, iottly_config: Config
) -> Iterator[IottlySession]:
    """A session on the emulator, with its own limiter; it is closed after the test."""
    from ..ratelimit import RateLimiter
    from ..session import IottlySession
    from ..transport import AiohttpTransport

    transport = _ClosingTransport(AiohttpTransport(iottly_config))
    session = IottlySession(
        iottly_emulator.api_key, config=iottly_config, http=transport, limiter=RateLimiter()
    )
    transport.session = session
    yield session
    transport.finish()


class _ClosingTransport:
    """A transport that closes its session in the event loop in which it was used.

    A synchronous fixture cannot await `aclose`. But an event loop closes every asynchronous
    generator that was started in it before it ends, so one such generator closes the session.
    """

    session: IottlySession

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closer: AsyncGenerator[None, None] | None = None

    async def send(self, outgoing: Outgoing) -> Answer:
        """Send one attempt; the first one starts the generator."""
        if self._closer is None:
            self._loop = asyncio.get_running_loop()
            self._closer = self._close_at_end()
            await anext(self._closer)
        return await self._transport.send(outgoing)

    async def aclose(self) -> None:
        """Close every connection."""
        await self._transport.aclose()

    async def _close_at_end(self) -> AsyncGenerator[None, None]:
        try:
            yield
        finally:
            await self.session.aclose()

    def finish(self) -> None:
        """Close the session if its event loop has not, because it serves other tests, too."""
        loop, closer = self._loop, self._closer
        if loop is None or closer is None or loop.is_closed():
            return
        if loop.is_running():
            asyncio.run_coroutine_threadsafe(closer.aclose(), loop).result(timeout=10)
        else:
            loop.run_until_complete(closer.aclose())
