"""The transport over aiohttp: its gate, one attempt, its errors, and closing."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from weakref import WeakSet

import aiohttp
from aiohttp import ClientSession, DummyCookieJar
from aiohttp.http import HttpProcessingError

from ..aio.deadlines import Deadlines
from ..config import Config
from ..errors import (
    ConfigurationError,
    ConnectionLostError,
    DeadlineExceededError,
    IottlyError,
    SessionClosedError,
    TransportError,
)
from ..wire import Answer
from .attempt import Outgoing, Transport
from .connection import LostError
from .errors import translated
from .pooled import PooledConnections, parts_are_known
from .session import SessionConnections, own_session
from .settings import connector_for, timeout_of

_FOREIGN = (aiohttp.ClientError, HttpProcessingError, LostError, OSError, ValueError)


class AiohttpTransport:
    """The transport over aiohttp, with connections of its own or a session of the caller's.

    Args:
        config: of which it uses the URL, the timeouts, the bounds and the TLS settings.
        session: a ClientSession of the caller's, used for every call and never closed
            here; None opens connections, kept ones and for commands one each. With one of
            the caller's, whether a command left is not known once it had a connection,
            and its cookies, proxies and bounds are the caller's concern.
    """

    def __init__(self, config: Config, session: ClientSession | None = None) -> None:
        self._config = config
        self._given = session
        self._kept: PooledConnections | SessionConnections | None = None
        self._alone: PooledConnections | SessionConnections | None = None
        self._closed = False
        self._gate = asyncio.Semaphore(config.max_connections)
        self._attempts = Deadlines()
        self._upgrades: WeakSet[ClientSession] = WeakSet()

    async def send(self, outgoing: Outgoing) -> Answer:
        """The answer to one attempt, whatever its status.

        Raises:
            TransportError: no whole answer; `sent` and the class tell what happened.
            ConfigurationError: the settings do not make a request; nothing was sent.
        """
        await self._gate.acquire()
        try:
            return await self._attempt(outgoing)
        finally:
            self._gate.release()

    async def _attempt(self, outgoing: Outgoing) -> Answer:
        way = self._way(outgoing.alone)
        limit = self._attempts.scope(self._config.attempt_timeout)
        error: IottlyError
        try:
            with limit:
                return await way.exchange(outgoing)
        except TransportError:
            raise
        except TimeoutError as late:
            error = self._late(outgoing) if limit.expired() else translated(late, outgoing)
        except _FOREIGN as foreign:
            error = translated(foreign, outgoing)
        except RuntimeError:
            if not way.closed:  # aiohttp's word for that, which has no class
                raise
            error = ConnectionLostError(
                "the connections were closed under this call",
                sent="maybe" if outgoing.left else "no",
            )
        raise error

    def _late(self, outgoing: Outgoing) -> TransportError:
        seconds = self._config.attempt_timeout
        return DeadlineExceededError(
            f"no answer within attempt_timeout, {seconds:g} s",
            sent="maybe" if outgoing.left else "no",
        )

    def _way(self, alone: bool) -> PooledConnections | SessionConnections:
        if self._closed:
            raise SessionClosedError("the session is closed; open another", sent="no")
        if alone and self._given is None:
            self._alone = self._alone or self._open(alone=True)
            return self._alone
        self._kept = self._kept or self._open(alone=False)
        return self._kept

    def _open(self, *, alone: bool) -> PooledConnections | SessionConnections:
        if self._given is not None:
            return SessionConnections(self._config, self._given, given=True)
        if self._config.trust_env or not parts_are_known():
            return own_session(self._config, alone=alone)
        return PooledConnections(self._config, alone=alone)

    def for_upgrades(self, *middlewares: aiohttp.ClientMiddlewareType) -> ClientSession:
        """A session for WebSockets, with the TLS, proxy and cookie settings of all others.

        Each has connections of its own, outside `max_connections`, as they last. With a
        session of the caller's it is one over that one's connector.
        """
        given, config = self._given, self._config
        session = ClientSession(
            connector=connector_for(config, force_close=True) if given is None else given.connector,
            connector_owner=given is None,
            cookie_jar=DummyCookieJar() if given is None else given.cookie_jar,
            trust_env=config.trust_env if given is None else given.trust_env,
            timeout=timeout_of(config),
            middlewares=middlewares,
        )
        self._upgrades.add(session)
        return session

    async def aclose(self) -> None:
        """Close the connections that this transport opened; a session that was given stays."""
        self._closed = True
        self._attempts.rest()
        closing: list[Callable[[], Awaitable[None]]] = []
        closing += [way.aclose for way in (self._kept, self._alone) if way is not None]
        closing += [session.close for session in self._upgrades]
        self._kept = self._alone = None
        await _close_all(closing)


async def _close_all(closing: Sequence[Callable[[], Awaitable[None]]]) -> None:
    # Each one, even where waiting for another was cancelled.
    if closing:
        try:
            await closing[0]()
        finally:
            await _close_all(closing[1:])


def as_transport(http: object, config: Config) -> Transport:
    """The transport to use for `http`.

    Args:
        http: None, an `aiohttp.ClientSession`, or a `Transport`.
        config: the session's settings.

    Raises:
        ConfigurationError: it is none of these.
    """
    if http is None:
        return AiohttpTransport(config)
    if isinstance(http, ClientSession):
        return AiohttpTransport(config, http)
    if isinstance(http, Transport):
        return http
    raise ConfigurationError(
        f"http must be an aiohttp.ClientSession or a Transport, not {type(http).__name__}"
    )
