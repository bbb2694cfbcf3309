"""Requests through an aiohttp session.

The session is the caller's (`http=`), or one of our own: where the environment's proxies
and .netrc apply (`trust_env`), where aiohttp is mocked or instrumented (`patched`), and where
aiohttp's version is one that `pooled` does not know. Such requests cost more CPU time than
those over pooled connections. Redirects and aiohttp's own second sending are switched off.
"""

from __future__ import annotations

from collections.abc import Sequence
from weakref import WeakKeyDictionary

import aiohttp
from aiohttp import ClientRequest, ClientResponse, ClientSession, DummyCookieJar
from aiohttp.connector import Connection
from yarl import URL

from ..config import Config
from ..wire import Answer
from .attempt import Outgoing, check_target
from .connection import AttemptConnection, LostError, UnusableError, UsedConnections, answer_of
from .connector import connector_for, timeout_of
from .given import check_given, middlewares_of
from .patched import response_of, sender
from .proxy import through_proxy


class SessionConnections:
    """Sends requests through one aiohttp session.

    Args:
        config: its `base_url`, `connect_timeout` and `max_response_bytes` are used.
        session: of the caller, or our own.
        given: whether the session is the caller's, and so not closed here.
    """

    def __init__(self, config: Config, session: ClientSession, *, given: bool) -> None:
        self._base = config.base_url
        self._most = config.max_response_bytes
        self._timeout = timeout_of(config)
        self._session = session
        self._given = given
        self._used: UsedConnections = WeakKeyDictionary()
        self._answered = False

    @property
    def closed(self) -> bool:
        """Whether no request can be sent any more."""
        return self._session.closed

    async def aclose(self) -> None:
        """Close the session, unless it is the caller's."""
        if not self._given:
            await self._session.close()

    async def exchange(self, outgoing: Outgoing) -> Answer:
        """Send one request and read its answer; a redirect is an answer.

        Raises:
            aiohttp.ClientError, LostError, UnusableError, OSError, ValueError, RuntimeError:
                there is no answer.
            TransportError: the answer cannot be used, or a proxy refused.
            SetupError: the caller's session cannot be used; no byte was sent. Or the session is
                mocked, and its answer is no response.
            ConfigurationError: the target cannot stand in a request; no byte was sent.
        """
        check_target(outgoing.target)
        middlewares: Sequence[aiohttp.ClientMiddlewareType] = ()
        if self._given:
            check_given(self._session)
            middlewares = middlewares_of(self._session)
        attempt = AttemptConnection(outgoing, self._used)
        # From here on the request is aiohttp's: when it writes the first byte is not known.
        outgoing.may_have_left = True
        # Which connection a caller's session takes is not known.
        outgoing.kept = self._given and self._answered
        try:
            sending = sender(self._session, outgoing.method)(
                URL(self._base + outgoing.target, encoded=True),
                headers=outgoing.headers,
                data=outgoing.body,
                allow_redirects=False,
                raise_for_status=False,
                middlewares=(through_proxy, *middlewares, _never_resending(attempt)),
                timeout=self._timeout,
            )
            response = await response_of(sending)
        except ValueError:
            # With arguments that aiohttp refuses, it makes no request.
            outgoing.may_have_left = attempt.requested
            raise
        except BaseException:
            attempt.abort()
            raise
        version = getattr(response, "version", None)
        outgoing.version = version if isinstance(version, tuple) else None  # of a mock, say
        try:
            content = response.content
            answer = await answer_of(response.status, response.headers, content, self._most)
        except BaseException:
            # At the end of the body the connection returns to the pool, and another call may
            # use it by now; before that end it is ours to abort.
            if response.connection is not None:
                attempt.abort()
            response.close()
            raise
        self._answered = True
        if outgoing.alone:
            attempt.abort()
        return answer


def own_session(config: Config, *, alone: bool) -> SessionConnections:
    """Send requests through a session of our own; `alone`: each on a new connection."""
    session = ClientSession(
        # A kept connection is used only where it can be checked before it is written to.
        connector=connector_for(config, force_close=alone or not hasattr(ClientRequest, "send")),
        cookie_jar=DummyCookieJar(),
        request_class=_CheckedRequest,
        trust_env=config.trust_env,
    )
    return SessionConnections(config, session, given=False)


class _CheckedRequest(ClientRequest):
    """A request that checks its connection before it is written.

    `send` is not in aiohttp's reference (seen in 3.14.5). Where aiohttp does not call it,
    nothing but the check is lost.
    """

    attempt: AttemptConnection | None = None

    async def send(self, conn: Connection) -> ClientResponse:
        if self.attempt is not None:
            self.attempt.begin(conn)
        return await super().send(conn)


def _never_resending(attempt: AttemptConnection) -> aiohttp.ClientMiddlewareType:
    """Make a middleware that lets the connection be checked, and keeps aiohttp from resending."""

    async def check_and_never_resend(
        request: ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> ClientResponse:
        attempt.requested = True
        if isinstance(request, _CheckedRequest):
            request.attempt = attempt
        while True:
            try:
                return await handler(request)
            except UnusableError as unusable:
                if not unusable.kept:
                    raise
            except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError):
                raise
            except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError):
                break
        raise LostError

    return check_and_never_resend
