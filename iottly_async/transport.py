"""One attempt over HTTP: the one room that knows aiohttp.

What aiohttp does that this room works around, each seen in 3.14.5 and held by a test
that tells when it is gone (``tests/faults/test_aiohttp_facts.py``):

- A waiter on a bounded connector that is cancelled in the tick in which it is woken
  loses the wake-up and the pool hangs: the connector is unbounded and a semaphore of
  our own stands before it.
- The `Authentication` header travels to another origin on a redirect, and so does the
  body on 307 and 308: redirects are never followed (D12).
- GET and PUT are silently sent twice on a lost connection: a middleware turns the loss
  into an exception that aiohttp does not resend on. Retries are `retry`'s alone.
- A POST on a stale kept-alive connection fails although nothing was sent: commands use
  a connection of their own each.
- Bytes that arrive on an idle kept connection are handed out as the answer to the next
  question, and all later answers are shifted by one; what the loop had no time to read
  is not seen at all: a kept connection is looked at, in the kernel too, before the first
  byte is written to it, and replaced if anything is there.
- TLS connections that are closed before their time wait half a minute for the peer's
  farewell, and outlive the session: they are aborted.
- Closing the session leaves whoever reads a body hanging: `deadlines` ends calls first.
- `read()` decompresses without a bound: bodies are read in chunks under one.
- A gzip stream that is cut in good framing passes for whole: nothing is done here, for
  no JSON object is whole when cut, and the codec says so.
- Time limits above five seconds are rounded up to whole ones: the threshold is lifted.
- Its exceptions' reprs and tracebacks hold headers: they are translated here, and ours
  are raised outside the `except` block, so that none is chained to them.
"""

from __future__ import annotations

import asyncio
import os
import select
import ssl
from collections.abc import Mapping, Sequence
from functools import cache
from math import inf
from typing import Any, Protocol, runtime_checkable
from weakref import WeakSet

import aiohttp
from aiohttp import ClientRequest, ClientResponse, ClientSession, ClientTimeout, DummyCookieJar
from yarl import URL

from .config import Config
from .errors import (
    ConfigurationError,
    ConnectError,
    ConnectionLostError,
    DeadlineExceededError,
    ProtocolError,
    ResponseTooLargeError,
    SessionClosedError,
    TLSError,
    TransportError,
    TruncatedResponseError,
)
from .wire import Answer, Method


class Outgoing:
    """One attempt: what is sent, and whether it may have left.

    Attributes:
        method, target, headers, body: the request; the target from the host on.
        alone: whether it needs a connection of its own, as a command does.
        left: whether a byte of it may have been sent; set by the transport.
    """

    __slots__ = ("alone", "body", "headers", "left", "method", "target")

    def __init__(
        self,
        method: Method,
        target: str,
        headers: Mapping[str, str],
        body: bytes | None = None,
        *,
        alone: bool = False,
    ) -> None:
        self.method = method
        self.target = target
        self.headers = headers
        self.body = body
        self.alone = alone
        self.left = False


@runtime_checkable
class Transport(Protocol):
    """Sends one attempt and returns its answer; what `IottlySession(http=...)` may be."""

    async def send(self, outgoing: Outgoing) -> Answer:
        """The answer, whatever its status; sets `outgoing.left` before a byte is sent.

        Raises:
            TransportError: there is no answer, or no whole one.
        """
        ...

    async def aclose(self) -> None:
        """Close every connection."""
        ...


@runtime_checkable
class Upgrading(Protocol):
    """A transport that can open WebSockets too."""

    def for_upgrades(self, *middlewares: aiohttp.ClientMiddlewareType) -> ClientSession:
        """A session with the transport's own connection settings; closed with it, or before."""
        ...


class _LostError(Exception):
    """A connection was lost; unknown to aiohttp, which therefore does not resend."""


class _StaleError(Exception):
    """A kept connection was closed, or spoke unasked, before anything was written to it."""


class _Line:
    """The connection of one attempt: looked at before the first byte, and cut when it fails."""

    __slots__ = ("_used", "outgoing", "transport")

    def __init__(self, outgoing: Outgoing, used: WeakSet[Any]) -> None:
        self.outgoing = outgoing
        self.transport: asyncio.Transport | None = None
        self._used = used

    def take(self, connection: aiohttp.connector.Connection) -> None:
        """Mark the request as about to leave by this connection, if nothing waits on it."""
        protocol, transport = connection.protocol, connection.transport
        if protocol is None:
            raise _StaleError
        if protocol in self._used and (protocol.should_close or _has_spoken(transport)):
            if transport is not None:
                transport.abort()
            raise _StaleError
        self._used.add(protocol)
        self.transport = transport
        self.outgoing.left = True

    def cut(self) -> None:
        """Close at once, without the farewell of TLS, for which a silent peer lets us wait."""
        if self.transport is not None:
            self.transport.abort()


def _has_spoken(transport: asyncio.Transport | None) -> bool:
    """Whether bytes or an end wait on a connection that the loop had no time to read yet."""
    sock = None if transport is None else transport.get_extra_info("socket")
    if sock is None:
        return False
    if not hasattr(select, "poll"):
        return bool(select.select([sock.fileno()], [], [], 0)[0])
    poll = select.poll()
    poll.register(sock.fileno(), select.POLLIN)
    return bool(poll.poll(0))


class _MarkedRequest(ClientRequest):
    """A request that asks its line before it is written."""

    line: _Line | None = None

    async def send(self, conn: aiohttp.connector.Connection) -> ClientResponse:
        if self.line is not None:
            self.line.take(conn)
        return await super().send(conn)


def _middleware(line: _Line) -> aiohttp.ClientMiddlewareType:
    async def mark_and_never_resend(
        request: ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> ClientResponse:
        if isinstance(request, _MarkedRequest):
            request.line = line
        else:
            line.outgoing.left = True  # a session of the caller's: when it writes is not known
        while True:
            try:
                return await handler(request)
            except _StaleError:
                continue  # nothing was written; another connection, in the end a new one
            except _NEVER_CONNECTED:
                line.outgoing.left = False
                raise
            except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError):
                break
        raise _LostError

    return mark_and_never_resend


_NEVER_CONNECTED = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError)


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
        """
        async with self._gate:
            session = self._session(outgoing.alone)
            limit = asyncio.timeout(self._config.attempt_timeout)
            try:
                async with limit:
                    return await self._exchange(session, outgoing)
            except TransportError:
                raise
            except TimeoutError as late:
                error = self._late(outgoing) if limit.expired() else _translated(late, outgoing)
            except (aiohttp.ClientError, _LostError, OSError, ValueError) as foreign:
                error = _translated(foreign, outgoing)
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
        line = _Line(outgoing, self._used)
        try:
            response = await session.request(
                outgoing.method,
                URL(self._config.base_url + outgoing.target, encoded=True),
                headers=outgoing.headers,
                data=outgoing.body,
                allow_redirects=False,
                raise_for_status=False,
                middlewares=(_middleware(line),),
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
            request_class=_MarkedRequest,
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


def _translated(foreign: Exception, outgoing: Outgoing) -> TransportError:
    """Our error for aiohttp's: its class and whether the request left, nothing else of it."""
    if isinstance(foreign, aiohttp.ClientSSLError):
        reason = _tls_reason(foreign)
        return TLSError(f"TLS with the service failed: {reason}", sent="no")
    if isinstance(foreign, aiohttp.ClientConnectorDNSError):
        return ConnectError("the name of the service was not found", sent="no")
    if isinstance(foreign, aiohttp.ConnectionTimeoutError):
        return ConnectError("connecting to the service took too long", sent="no")
    if isinstance(foreign, aiohttp.ClientConnectorError):
        return ConnectError(f"no connection to the service: {_os_reason(foreign)}", sent="no")
    if not outgoing.left:
        return ConnectError(
            "the connection to the service was lost before anything was sent", sent="no"
        )
    if isinstance(foreign, aiohttp.ClientPayloadError):
        return TruncatedResponseError("the answer's body ended early or was damaged", sent="maybe")
    if isinstance(foreign, _LostError | OSError):
        return ConnectionLostError("the connection was lost before an answer", sent="maybe")
    return ProtocolError("what arrived is not an HTTP answer", sent="maybe")


def _tls_reason(foreign: Exception) -> str:
    inner = getattr(foreign, "certificate_error", None) or getattr(foreign, "os_error", foreign)
    message = getattr(inner, "verify_message", "") or getattr(inner, "reason", "")
    return message or type(inner).__name__


def _os_reason(foreign: aiohttp.ClientConnectorError) -> str:
    error = foreign.os_error
    if error.errno is not None and error.errno > 0:
        return os.strerror(error.errno).lower()  # asyncio's own text does not tell why
    return error.strerror or type(error).__name__


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
