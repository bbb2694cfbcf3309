"""The transport over aiohttp: its sessions, its gate, one attempt, and closing."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Sequence
from functools import cache
from math import inf
from typing import Any
from weakref import WeakSet

import aiohttp
from aiohttp import ClientResponse, ClientSession, ClientTimeout, DummyCookieJar
from yarl import URL

from ..config import Config
from ..errors import (
    ConfigurationError,
    ConnectionLostError,
    DeadlineExceededError,
    IottlyError,
    ProtocolError,
    ResponseTooLargeError,
    SessionClosedError,
    TransportError,
)
from ..wire import Answer
from .line import Line, LostError, MarkedRequest, never_resending
from .outgoing import Outgoing, Transport
from .translation import translated


class AiohttpTransport:
    """The transport over aiohttp, with sessions of its own or one of the caller's.

    Args:
        config: of which it uses the URL, the timeouts, the bounds and the TLS settings.
        session: a ClientSession of the caller's, used for every call and never closed
            here; None opens two, one with kept-alive connections and one for commands.
            With one of the caller's, whether a command left is not known once it had a
            connection, and its cookies, proxies and bounds are the caller's concern.
    """

    def __init__(self, config: Config, session: ClientSession | None = None) -> None:
        self._config = config
        self._given = session
        self._kept: ClientSession | None = None
        self._alone: ClientSession | None = None
        self._closed = False
        self._gate = asyncio.Semaphore(config.max_connections)
        self._used: WeakSet[Any] = WeakSet()
        self._upgrades: WeakSet[ClientSession] = WeakSet()
        self._timeout = ClientTimeout(
            total=None,
            connect=config.connect_timeout,
            sock_connect=config.connect_timeout,
            ceil_threshold=inf,  # else seconds above five are rounded up
        )

    async def send(self, outgoing: Outgoing) -> Answer:
        """The answer to one attempt, whatever its status.

        Raises:
            TransportError: no whole answer; `sent` and the class tell what happened.
            ConfigurationError: the settings do not make a request; nothing was sent.
        """
        async with self._gate:
            session = self._session(outgoing.alone)
            limit = asyncio.timeout(self._config.attempt_timeout)
            error: IottlyError
            try:
                async with limit:
                    return await self._exchange(session, outgoing)
            except TransportError:
                raise
            except TimeoutError as late:
                error = self._late(outgoing) if limit.expired() else translated(late, outgoing)
            except (aiohttp.ClientError, LostError, OSError, ValueError) as foreign:
                error = translated(foreign, outgoing)
            except RuntimeError:
                if not session.closed:  # aiohttp's word for that, which has no class
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

    async def _exchange(self, session: ClientSession, outgoing: Outgoing) -> Answer:
        line = Line(outgoing, self._used)
        try:
            response = await session.request(
                outgoing.method,
                URL(self._config.base_url + outgoing.target, encoded=True),
                headers=outgoing.headers,
                data=outgoing.body,
                allow_redirects=False,
                raise_for_status=False,
                middlewares=(never_resending(line),),
                timeout=self._timeout,
            )
        except BaseException:
            line.cut()
            raise
        try:
            body = await self._read(response)
        except BaseException:
            # With the end of the body the connection went back to the pool, and may be
            # another call's by now; before that it is ours to cut.
            if response.connection is not None:
                line.cut()
            response.close()
            raise
        if outgoing.alone:
            line.cut()
        return Answer(response.status, _lowered(response), body)

    async def _read(self, response: ClientResponse) -> bytes:
        """The body, decoded, in chunks: a bomb is stopped where it passes the bound."""
        if response.status < 200:
            raise ProtocolError(
                f"the service wants another protocol ({response.status})", sent="maybe"
            )
        most, content = self._config.max_response_bytes, response.content
        chunks: list[bytes] = []
        size = 0
        while chunk := await content.readany():
            size += len(chunk)
            if size > most:
                raise ResponseTooLargeError(
                    f"the answer is larger than max_response_bytes, {most} bytes",
                    status=response.status,
                    sent="maybe",
                )
            chunks.append(chunk)
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)

    def _session(self, alone: bool) -> ClientSession:
        if self._closed:
            raise SessionClosedError("the session is closed; open another", sent="no")
        if self._given is not None:
            if self._given.closed:
                raise ConfigurationError("the aiohttp session given as http= is closed")
            return self._given
        if alone:
            self._alone = self._alone or self._open(force_close=True)
            return self._alone
        self._kept = self._kept or self._open(force_close=False)
        return self._kept

    def _connector(self, *, force_close: bool) -> aiohttp.TCPConnector:
        return aiohttp.TCPConnector(
            limit=0,
            ssl=self._config.ssl or _default_context(),
            force_close=force_close,
        )

    def _open(self, *, force_close: bool) -> ClientSession:
        return ClientSession(
            connector=self._connector(force_close=force_close),
            cookie_jar=DummyCookieJar(),
            request_class=MarkedRequest,
            trust_env=self._config.trust_env,
        )

    def for_upgrades(self, *middlewares: aiohttp.ClientMiddlewareType) -> ClientSession:
        """A session for WebSockets, with the TLS, proxy and cookie settings of all others.

        Each has connections of its own, outside `max_connections`, as they last. With a
        session of the caller's it is one over that one's connector.
        """
        given = self._given
        session = ClientSession(
            connector=self._connector(force_close=True) if given is None else given.connector,
            connector_owner=given is None,
            cookie_jar=DummyCookieJar() if given is None else given.cookie_jar,
            trust_env=self._config.trust_env if given is None else given.trust_env,
            timeout=self._timeout,
            middlewares=middlewares,
        )
        self._upgrades.add(session)
        return session

    async def aclose(self) -> None:
        """Close the sessions that this transport opened; one that was given stays open."""
        self._closed = True
        opened = [session for session in (self._kept, self._alone) if session is not None]
        opened += self._upgrades
        self._kept = self._alone = None
        await _close_all(opened)


async def _close_all(sessions: Sequence[ClientSession]) -> None:
    # Each one, even where waiting for another was cancelled.
    if sessions:
        try:
            await sessions[0].close()
        finally:
            await _close_all(sessions[1:])


@cache
def _default_context() -> ssl.SSLContext:
    """The system's trust, verified; its version set here, not by the system's configuration."""
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def _lowered(response: ClientResponse) -> dict[str, str]:
    headers: dict[str, str] = {}
    for name, value in response.headers.items():
        headers.setdefault(name.lower(), value)
    return headers


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
