"""The transport over aiohttp: one attempt, its time limit, its errors, and closing."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from weakref import WeakSet

import aiohttp
from aiohttp import ClientSession
from aiohttp.http import HttpProcessingError

from ..aio.deadlines import Deadlines
from ..config import Config
from ..errors import (
    ConfigurationError,
    ConnectionLostError,
    DeadlineExceededError,
    IottlyError,
    Sent,
    SessionClosedError,
)
from ..wire import Answer
from .attempt import Outgoing, Transport
from .connection import LostError, UnusableError
from .errors import translated
from .patched import aiohttp_is_patched, check_session_class
from .pooled import PooledConnections, parts_are_known
from .session import SessionConnections, own_session
from .upgrades import upgrade_session

_FOREIGN = (
    *(aiohttp.ClientError, HttpProcessingError, LostError, UnusableError),
    *(OSError, ValueError),
)


class AiohttpTransport:
    """The transport over aiohttp, with connections of its own or a session of the caller's.

    Args:
        config: its `base_url`, time limits, `max_connections`, `max_response_bytes`,
            `trust_env` and `ssl` are used.
        session: a `ClientSession` of the caller's, which sends every request and is never
            closed here. Its cookies, proxies, traces and limits are the caller's concern.
            None opens connections: pooled ones, and a new one for each command. Where
            aiohttp's session class is mocked or instrumented, a session of our own is used.
    """

    def __init__(self, config: Config, session: ClientSession | None = None) -> None:
        self._config = config
        self._given = session
        self._may_pool = session is None and not config.trust_env and parts_are_known()
        self._opened: dict[tuple[bool, bool], PooledConnections | SessionConnections] = {}
        self._closed = False
        self._slots = asyncio.Semaphore(config.max_connections)
        self._attempts = Deadlines()
        self._upgrades: WeakSet[ClientSession] = WeakSet()

    async def send(self, outgoing: Outgoing) -> Answer:
        """Send one attempt.

        Args:
            outgoing: the request; its `may_have_left` tells whether a byte may have been sent.

        Returns:
            The answer, whatever its status.

        Raises:
            TransportError: no whole answer arrived; its class and `sent` say what happened.
            SessionClosedError: the transport is closed; no byte was sent.
            ConfigurationError: the settings do not make a request.
        """
        outgoing.may_have_left = False  # it waits for a free connection
        await self._slots.acquire()
        try:
            return await self._attempt(outgoing)
        finally:
            self._slots.release()

    async def _attempt(self, outgoing: Outgoing) -> Answer:
        connections = self._connections(outgoing.alone)
        limit = self._attempts.scope(self._config.attempt_timeout)
        error: IottlyError
        try:
            with limit:
                return await connections.exchange(outgoing)
        except IottlyError:
            raise
        except TimeoutError as late:
            error = self._late(outgoing) if limit.expired() else translated(late, outgoing)
        except _FOREIGN as foreign:
            error = translated(foreign, outgoing)
        except RuntimeError:
            if not connections.closed:  # aiohttp's error for that has no class of its own
                raise
            error = ConnectionLostError(
                "the connections were closed under this call", sent=_sent(outgoing)
            )
        if error.sent == "no":
            outgoing.may_have_left = False
        raise error

    def _late(self, outgoing: Outgoing) -> DeadlineExceededError:
        seconds = self._config.attempt_timeout
        return DeadlineExceededError(
            f"no answer within attempt_timeout, {seconds:g} s", sent=_sent(outgoing)
        )

    def _connections(self, alone: bool) -> PooledConnections | SessionConnections:
        """The connections for the next request; mocks come and go while a session is open."""
        if self._closed:
            raise SessionClosedError("the session is closed; open another", sent="no")
        pooled = self._given is None and not aiohttp_is_patched() and self._may_pool
        alone = alone and self._given is None
        connections = self._opened.get((pooled, alone))
        if connections is None:
            connections = self._opened[pooled, alone] = self._open(pooled=pooled, alone=alone)
        return connections

    def _open(self, *, pooled: bool, alone: bool) -> PooledConnections | SessionConnections:
        if self._given is not None:
            return SessionConnections(self._config, self._given, given=True)
        if pooled:
            return PooledConnections(self._config, alone=alone)
        return own_session(self._config, alone=alone)

    def for_upgrades(self, *middlewares: aiohttp.ClientMiddlewareType) -> ClientSession:
        """Make a session for WebSockets, with the TLS, proxy and cookie settings of requests.

        Its connections last, and so `max_connections` does not count them. With a session of
        the caller's, the new one has that session's connector and settings.

        Args:
            middlewares: of aiohttp, for every request of the new session.

        Returns:
            A session that is closed with the transport, or before.

        Raises:
            SetupError: the caller's session is closed, or cannot be copied.
        """
        if self._given is None:
            check_session_class()
        session = upgrade_session(self._config, self._given, *middlewares)
        self._upgrades.add(session)
        return session

    async def aclose(self) -> None:
        """Close the connections that this transport opened; a caller's session stays open."""
        self._closed = True
        self._attempts.cancel_idle_timer()
        closing: list[Callable[[], Awaitable[None]]] = []
        closing += [connections.aclose for connections in self._opened.values()]
        closing += [session.close for session in self._upgrades]
        self._opened.clear()
        await _close_all(closing)


def _sent(outgoing: Outgoing) -> Sent:
    return "maybe" if outgoing.may_have_left else "no"


async def _close_all(closing: Sequence[Callable[[], Awaitable[None]]]) -> None:
    # The others are closed even if waiting for one is cancelled.
    if closing:
        try:
            await closing[0]()
        finally:
            await _close_all(closing[1:])


def as_transport(http: object, config: Config) -> Transport:
    """Make a transport of what the user gave as `http`.

    Args:
        http: None, an `aiohttp.ClientSession`, or a `Transport`.
        config: the session's settings.

    Returns:
        The transport.

    Raises:
        ConfigurationError: `http` is none of these.
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
