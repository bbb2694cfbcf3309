"""One WebSocket: opened with the session's own settings, watched, and given up when silent.

A connection can end without a word: the network goes, and nothing tells. So whoever says
nothing for long is asked by a ping, and who does not answer is left. Where the service
has promised frames, an answer to a ping is not enough: it is left without them as well.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from math import inf
from typing import Any, Final

import aiohttp
from aiohttp import ClientResponse, ClientWSTimeout, WSMsgType

from ..config import Config
from ..errors import (
    ConfigurationError,
    ConnectError,
    ConnectionLostError,
    DeadlineExceededError,
    ProtocolError,
    TLSError,
    TransportError,
)
from ..wire import Answer
from . import Transport, Upgrading

_FAREWELL: Final = 0.5
_LONGEST_REFUSAL: Final = 65_536
_PROMISE: Final = 2.5
"""Promised intervals without a frame after which a service is taken to be gone."""

WebSocket = aiohttp.ClientWebSocketResponse[Any]


class WebSocketClosedError(Exception):
    """A connection is over.

    Attributes:
        code: its close code; None where it ended without one.
    """

    def __init__(self, reason: str, code: int | None = None) -> None:
        super().__init__(reason)
        self.code = code


class _RefusedError(Exception):
    """The service answered with something else than an upgrade."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.status)
        self.answer = answer


class WebSocketConnection:
    """One open connection.

    Args:
        socket: of aiohttp.
        session: that it belongs to alone.
        heartbeat: seconds of silence after which it is asked whether it lives.
    """

    def __init__(
        self, socket: WebSocket, session: aiohttp.ClientSession, *, heartbeat: float
    ) -> None:
        self._socket = socket
        self._session = session
        self._heartbeat = heartbeat
        self._promised: float | None = None
        self._asked = False
        self._listening = False
        self._frame_at = 0.0
        self._life_at = 0.0

    def promise(self, heartbeat: float | None) -> None:
        """The service will send a frame at least every so many seconds; None: no promise."""
        self._promised = heartbeat

    async def send(self, text: str) -> None:
        """Send one frame.

        Raises:
            ConnectionLostError: the connection is over; it may have left all the same.
        """
        try:
            await self._socket.send_str(text)
        except (OSError, aiohttp.ClientError):
            pass
        else:
            return
        raise ConnectionLostError("the stream's connection was lost", sent="maybe")

    async def receive(self, until: float | None = None) -> str | bytes | None:
        """The next frame; None when the loop's time is `until`.

        Raises:
            WebSocketClosedError: the connection ended, or is taken to be half-open.
        """
        loop = asyncio.get_running_loop()
        if not self._listening:
            # Only time in which we listened counts: a slow consumer is not the peer's silence.
            self._frame_at = self._life_at = loop.time()
            self._listening, self._asked = True, False
        while True:
            frame_due, life_due = self._dues()
            soonest = min(frame_due, life_due, inf if until is None else until)
            try:
                async with asyncio.timeout_at(soonest):
                    message = await self._socket.receive()
            except TimeoutError:
                now = loop.time()
                if until is not None and now >= until:
                    return None
                if now >= frame_due or (self._asked and now >= life_due):
                    raise WebSocketClosedError("it was silent for too long") from None
                if now >= life_due:
                    await self._ask()
                continue
            if message.type is WSMsgType.PONG or message.type is WSMsgType.PING:
                await self._pong(message)
                continue
            self._listening = False
            if message.type is WSMsgType.TEXT or message.type is WSMsgType.BINARY:
                frame: str | bytes = message.data
                return frame
            raise self._ended(message)

    def _dues(self) -> tuple[float, float]:
        """When a promised frame is overdue, and when a sign of life is, or an answer."""
        promised = self._promised
        patience = inf if promised is None else max(promised * _PROMISE, promised + 1.0)
        return self._frame_at + patience, self._life_at + self._heartbeat * (1 + self._asked)

    async def _ask(self) -> None:
        self._asked = True
        try:
            await self._socket.ping()
        except (OSError, aiohttp.ClientError):
            raise WebSocketClosedError("the connection was lost") from None

    async def _pong(self, message: aiohttp.WSMessage) -> None:
        self._life_at, self._asked = asyncio.get_running_loop().time(), False
        if message.type is WSMsgType.PING:
            try:
                await self._socket.pong(message.data)
            except (OSError, aiohttp.ClientError):
                raise WebSocketClosedError("the connection was lost") from None

    def _ended(self, message: aiohttp.WSMessage) -> WebSocketClosedError:
        code = self._socket.close_code
        if message.type is WSMsgType.CLOSE:
            return WebSocketClosedError(f"closed by the service with code {code}", code)
        if message.type is WSMsgType.ERROR:
            return WebSocketClosedError(f"a frame broke the protocol (code {code})", code)
        return WebSocketClosedError("the connection was lost")

    async def aclose(self) -> None:
        """End the connection, with a word of farewell where the other side listens."""
        try:
            await self._socket.close()
        finally:
            await self._session.close()


async def open_websocket(
    transport: Transport,
    headers: Mapping[str, str],
    *,
    path: str,
    config: Config,
    heartbeat: float,
    max_frame_bytes: int,
) -> tuple[Answer, WebSocketConnection | None]:
    """Open a connection; the answer where the service refused it.

    Raises:
        ConfigurationError: this transport opens none.
        TransportError: no answer.
    """
    if not isinstance(transport, Upgrading):
        raise ConfigurationError(
            "streams need the library's own transport, or an aiohttp.ClientSession, as http="
        )
    session = transport.for_upgrades(_refuse_all_but_upgrades)
    limit = asyncio.timeout(config.attempt_timeout)
    line: WebSocketConnection | None = None
    try:
        async with limit:
            socket = await session.ws_connect(
                config.base_url + path,
                headers={**headers},
                autoping=False,
                max_msg_size=max_frame_bytes,
                timeout=ClientWSTimeout(ws_close=_FAREWELL),
            )
        line = WebSocketConnection(socket, session, heartbeat=heartbeat)
        return Answer(101, {}, b""), line
    except _RefusedError as refused:
        return refused.answer, None
    except TimeoutError as late:
        error = _translated(late)
    except (aiohttp.ClientError, OSError, ValueError) as foreign:
        error = _translated(foreign)
    finally:
        if line is None:
            await session.close()
    raise error


async def _refuse_all_but_upgrades(
    request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
) -> ClientResponse:
    """aiohttp follows redirects of an upgrade, and the credential with them (D12): not here.

    Nor is one that was lost asked for again behind our back: its parent class is not resent.
    """
    try:
        response = await handler(request)
    except aiohttp.ClientConnectorError:
        raise
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError):
        raise aiohttp.ClientConnectionError from None
    if response.status == 101:
        return response
    try:
        body = await response.content.read(_LONGEST_REFUSAL)
    finally:
        response.close()
    headers = {name.lower(): value for name, value in response.headers.items()}
    raise _RefusedError(Answer(response.status, headers, body))


def _translated(foreign: Exception) -> TransportError:
    if isinstance(foreign, aiohttp.ClientSSLError):
        return TLSError("TLS with the service failed", sent="no")
    if isinstance(foreign, aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError):
        return ConnectError("no connection to the service for the stream", sent="no")
    if isinstance(foreign, TimeoutError):
        return DeadlineExceededError("the stream was not opened in time", sent="maybe")
    if isinstance(foreign, aiohttp.WSServerHandshakeError):
        return ProtocolError("the service's upgrade is not one of WebSocket", sent="maybe")
    return ConnectionLostError("the connection was lost while the stream was opened", sent="maybe")
