"""Requests through an aiohttp session: the caller's, one that heeds the environment, or any
of ours where aiohttp is not a version whose parts are known (`own`).

Here are cookies, proxies, .netrc and whatever a caller set up, and so the way is longer
than over connections of our own. What aiohttp's session would do beyond that, redirects
and a second sending, is kept from it.
"""

from __future__ import annotations

from weakref import WeakKeyDictionary

import aiohttp
from aiohttp import ClientRequest, ClientResponse, ClientSession, DummyCookieJar
from aiohttp.connector import Connection
from yarl import URL

from ..config import Config
from ..errors import ConfigurationError
from ..wire import Answer
from .answer import read_answer
from .attempt import Outgoing, check_target
from .connection import AttemptConnection, LostError, StaleError, Used
from .settings import connector_for, timeout_of


class SessionConnections:
    """Requests through one aiohttp session.

    Args:
        config: of which it uses the URL, the time to connect and the bound.
        session: as below.
        given: whether it is the caller's, and so not closed here.
    """

    def __init__(self, config: Config, session: ClientSession, *, given: bool) -> None:
        self._base = config.base_url
        self._most = config.max_response_bytes
        self._timeout = timeout_of(config)
        self._session = session
        self._given = given
        self._used: Used = WeakKeyDictionary()

    @property
    def closed(self) -> bool:
        """Whether no request can be sent any more."""
        return self._session.closed

    async def aclose(self) -> None:
        """Close the session, unless it is the caller's."""
        if not self._given:
            await self._session.close()

    async def exchange(self, outgoing: Outgoing) -> Answer:
        """The answer to one request, whatever its status; redirects are answers.

        Raises:
            aiohttp.ClientError, LostError, OSError, ValueError, RuntimeError: there is none.
            TransportError: it is none that can be used.
            ConfigurationError: the caller's session is closed, or the target cannot stand in
                a request; nothing was sent.
        """
        check_target(outgoing.target)
        if self._given and self._session.closed:
            raise ConfigurationError("the aiohttp session given as http= is closed")
        line = AttemptConnection(outgoing, self._used)
        try:
            response = await self._session.request(
                outgoing.method,
                URL(self._base + outgoing.target, encoded=True),
                headers=outgoing.headers,
                data=outgoing.body,
                allow_redirects=False,
                raise_for_status=False,
                middlewares=(_never_resending(line),),
                timeout=self._timeout,
            )
        except BaseException:
            line.cut()
            raise
        try:
            content = response.content
            answer = await read_answer(response.status, response.headers, content, self._most)
        except BaseException:
            # With the end of the body the connection went back to the pool, and may be
            # another call's by now; before that it is ours to cut.
            if response.connection is not None:
                line.cut()
            response.close()
            raise
        if outgoing.alone:
            line.cut()
        return answer


def own_session(config: Config, *, alone: bool) -> SessionConnections:
    """Through a session of our own, which can take proxies and .netrc from the environment."""
    session = ClientSession(
        connector=connector_for(config, force_close=alone),
        cookie_jar=DummyCookieJar(),
        request_class=_CheckedRequest,
        trust_env=config.trust_env,
    )
    return SessionConnections(config, session, given=False)


class _CheckedRequest(ClientRequest):
    """A request that asks its line before it is written."""

    line: AttemptConnection | None = None

    async def send(self, conn: Connection) -> ClientResponse:
        if self.line is not None:
            self.line.take(conn)
        return await super().send(conn)


def _never_resending(line: AttemptConnection) -> aiohttp.ClientMiddlewareType:
    """A middleware that gives the request its line, and keeps aiohttp from sending it again."""

    async def mark_and_never_resend(
        request: ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> ClientResponse:
        if isinstance(request, _CheckedRequest):
            request.line = line
        else:
            line.outgoing.left = True  # a session of the caller's: when it writes is not known
        while True:
            try:
                return await handler(request)
            except StaleError:
                continue  # nothing was written; another connection, in the end a new one
            except _NEVER_CONNECTED:
                line.outgoing.left = False
                raise
            except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError):
                break
        raise LostError

    return mark_and_never_resend


_NEVER_CONNECTED = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError)
