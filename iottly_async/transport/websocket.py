"""One WebSocket connection: opened with the session's settings, and closed if it is silent.

A network can fail silently: no packet reaches either side, and the connection stays open.
So an idle connection is pinged; if no pong arrives in time, it is closed. If the service has
promised frames, a pong is not enough: a connection without the promised frames is closed
as well.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from math import inf
from typing import Any, Final

import aiohttp
from aiohttp import ClientResponse, ClientWSTimeout, WSMsgType
from yarl import URL

from ..config import Config
from ..errors import (
    ConnectionLostError,
    DeadlineExceededError,
    IottlyError,
    ProtocolError,
    SetupError,
)
from ..wire import Answer, one_line
from .attempt import Outgoing, Transport, Upgrading
from .connection import LostError
from .errors import translated

_CLOSE_TIMEOUT: Final = 0.5
"""Seconds to wait for the other side's close frame when a connection is closed."""

_MOST_ERROR_BYTES: Final = 65_536
"""How much of the body is read if the service answers without an upgrade."""

_FRAME_PATIENCE: Final = 2.5
"""A connection is closed after this many promised intervals without a frame."""

WebSocket = aiohttp.ClientWebSocketResponse[Any]


class WebSocketClosedError(Exception):
    """A connection is closed.

    Attributes:
        code: its close code; None if it ended without a close frame.
        close_reason: the text that came with the code, without the key; "" if none came.
    """

    def __init__(self, text: str, code: int | None = None, close_reason: str = "") -> None:
        super().__init__(text)
        self.code = code
        self.close_reason = close_reason


class _UpgradeRefusedError(Exception):
    """The service answered the request without an upgrade."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.status)
        self.answer = answer


class WebSocketConnection:
    """One open WebSocket connection.

    Args:
        socket: aiohttp's WebSocket.
        session: aiohttp's session, which has no other connection and is closed with this one.
        heartbeat: seconds without a frame or a pong after which the connection is pinged.
            After as many seconds again without either, it is closed.
        redact: removes the key from a text of the service.
        server_time: the service's time when the connection was opened, in seconds since the
            epoch; None if it did not say.

    Attributes:
        server_time: as given.
    """

    def __init__(
        self,
        socket: WebSocket,
        session: aiohttp.ClientSession,
        *,
        heartbeat: float,
        redact: Callable[[str], str] = str,
        server_time: float | None = None,
    ) -> None:
        self._socket = socket
        self._session = session
        self._heartbeat = heartbeat
        self._redact = redact
        self.server_time = server_time
        self._frame_interval: float | None = None
        self._pinged = False
        self._receiving = False
        # Times of asyncio's loop.
        self._last_frame_at = 0.0
        self._last_activity_at = 0.0

    def expect_frames(self, interval: float | None) -> None:
        """Close the connection if frames are late from now on.

        Args:
            interval: the service sends a frame at least every so many seconds; None if it
                promises none.
        """
        self._frame_interval = interval

    async def send(self, frame: str | bytes) -> None:
        """Send one frame.

        Args:
            frame: a text, or bytes for a binary frame.

        Raises:
            ConnectionLostError: the connection is closed. The frame may have been sent.
        """
        try:
            if isinstance(frame, str):
                await self._socket.send_str(frame)
            else:
                await self._socket.send_bytes(frame)
        except (OSError, aiohttp.ClientError):
            pass
        else:
            return
        raise ConnectionLostError("the stream's connection was lost", sent="maybe")

    async def receive(
        self, until: float | None = None, *, or_pong: bool = False
    ) -> str | bytes | None:
        """Wait for the next frame.

        Args:
            until: the time of asyncio's loop up to which to wait; None waits without end.
            or_pong: whether a pong ends the wait as well.

        Returns:
            The frame's data: text as `str`, binary as `bytes`. None if `until` has passed,
            or if a pong came and `or_pong` is set.

        Raises:
            WebSocketClosedError: the connection is closed, or was silent for too long.
        """
        loop = asyncio.get_running_loop()
        if not self._receiving:
            # Between two calls the consumer was busy. That time is not the service's silence.
            self._last_frame_at = self._last_activity_at = loop.time()
            self._receiving, self._pinged = True, False
        while True:
            frame_by, activity_by = self._deadlines()
            wake_at = min(frame_by, activity_by, inf if until is None else until)
            try:
                async with asyncio.timeout_at(wake_at):
                    message = await self._socket.receive()
            except TimeoutError:
                now = loop.time()
                if until is not None and now >= until:
                    return None
                if now >= frame_by or (self._pinged and now >= activity_by):
                    raise WebSocketClosedError("it was silent for too long") from None
                if now >= activity_by:
                    self._pinged = True
                    await self.ping()
                continue
            if message.type is WSMsgType.PONG or message.type is WSMsgType.PING:
                await self._handle_control(message)
                if or_pong and message.type is WSMsgType.PONG:
                    return None
                continue
            self._receiving = False
            if message.type is WSMsgType.TEXT or message.type is WSMsgType.BINARY:
                data: str | bytes = message.data
                return data
            raise self._closed_error(message)

    def _deadlines(self) -> tuple[float, float]:
        """When a promised frame is overdue; when to ping or, after a ping, to close."""
        interval = self._frame_interval
        patience = inf if interval is None else max(interval * _FRAME_PATIENCE, interval + 1.0)
        frame_by = self._last_frame_at + patience
        return frame_by, self._last_activity_at + self._heartbeat * (2 if self._pinged else 1)

    async def ping(self) -> None:
        """Send a ping.

        Raises:
            WebSocketClosedError: the connection is closed.
        """
        try:
            await self._socket.ping()
        except (OSError, aiohttp.ClientError):
            raise WebSocketClosedError("the connection was lost") from None

    async def _handle_control(self, message: aiohttp.WSMessage) -> None:
        """Take a ping or a pong as activity, and answer a ping."""
        self._last_activity_at, self._pinged = asyncio.get_running_loop().time(), False
        if message.type is WSMsgType.PING:
            try:
                await self._socket.pong(message.data)
            except (OSError, aiohttp.ClientError):
                raise WebSocketClosedError("the connection was lost") from None

    def _closed_error(self, message: aiohttp.WSMessage) -> WebSocketClosedError:
        code = self._socket.close_code
        if message.type is WSMsgType.CLOSE:
            reason = one_line(self._redact(message.extra or ""))
            text = f"the service closed it with code {code}" + (f": {reason}" if reason else "")
            return WebSocketClosedError(text, code, reason)
        if message.type is WSMsgType.ERROR:
            return WebSocketClosedError(f"a frame broke the WebSocket protocol (code {code})", code)
        return WebSocketClosedError("the connection was lost")

    async def aclose(self) -> None:
        """Close the connection, with a close frame if the other side still reads."""
        try:
            await self._socket.close()
        finally:
            await self._session.close()


async def open_websocket(
    transport: Transport,
    headers: Mapping[str, str],
    *,
    url: str,
    config: Config,
    heartbeat: float,
    max_frame_bytes: int,
    redact: Callable[[str], str],
) -> tuple[Answer, WebSocketConnection | None]:
    """Open a WebSocket connection.

    Args:
        transport: the session's transport, whose connection settings are used.
        headers: the request's headers, with the credential.
        url: the address; it may have the key in its query.
        config: `attempt_timeout` is used.
        heartbeat: seconds of silence after which the connection is pinged.
        max_frame_bytes: the largest frame that is accepted; a larger one ends the connection.
        redact: removes the key from a text of the service.

    Returns:
        The service's answer, and the connection; None for the connection if the service
        answered without an upgrade.

    Raises:
        SetupError: this transport cannot open WebSockets, or the request cannot be made.
        TransportError: there was no answer.
    """
    if not isinstance(transport, Upgrading):
        raise SetupError(
            "streams need the library's own transport, or an aiohttp.ClientSession, as http="
        )
    upgrade = _Upgrade()
    session = transport.for_upgrades(upgrade.accept_only)
    limit = asyncio.timeout(config.attempt_timeout)
    connection: WebSocketConnection | None = None
    error: IottlyError
    try:
        async with limit:
            socket = await session.ws_connect(
                URL(url, encoded=True),
                headers={**headers},
                autoping=False,
                max_msg_size=max_frame_bytes,
                timeout=ClientWSTimeout(ws_close=_CLOSE_TIMEOUT),
            )
    except _UpgradeRefusedError as refused:
        return refused.answer, None
    except aiohttp.WSServerHandshakeError:
        error = ProtocolError("the service's upgrade is not one to WebSocket", sent="maybe")
    except (TimeoutError, aiohttp.ClientError, LostError, OSError, ValueError) as foreign:
        if limit.expired():
            error = DeadlineExceededError("the stream was not opened in time", sent="maybe")
        else:
            error = translated(foreign, Outgoing("GET", "", headers))
    else:
        answer = Answer(101, upgrade.headers, b"")
        connection = WebSocketConnection(
            socket, session, heartbeat=heartbeat, redact=redact, server_time=answer.server_time
        )
        return answer, connection
    finally:
        if connection is None:
            await session.close()
    raise error


class _Upgrade:
    """The request of one WebSocket, as a middleware of aiohttp sees it.

    Attributes:
        headers: of the service's answer, by lower-case name.
    """

    def __init__(self) -> None:
        self.headers: dict[str, str] = {}

    async def accept_only(
        self, request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> ClientResponse:
        """Keep aiohttp from following redirects and from sending the request twice.

        aiohttp 3.14 follows redirects of a WebSocket's request, and the credential would go
        with it (D12). It also sends a request again after a `ClientOSError` or a
        `ServerDisconnectedError`, but not after an error of ours.
        """
        try:
            response = await handler(request)
        except aiohttp.ClientConnectorError:
            raise
        except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError):
            raise LostError from None
        for name, value in response.headers.items():
            self.headers.setdefault(name.lower(), value)
        if response.status == 101:
            return response
        try:
            body = await response.content.read(_MOST_ERROR_BYTES)
        finally:
            response.close()
        raise _UpgradeRefusedError(Answer(response.status, self.headers, body))
