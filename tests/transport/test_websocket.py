"""A WebSocket connection: an idle one is pinged, and closed if no pong comes."""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from unittest.mock import patch

import aiohttp
import pytest
from aiohttp import WSMsgType

from iottly_async import Config, IottlySession, RateLimiter, SetupError

from ..stream.scripted_service import (
    SUBSCRIBED,
    Service,
    Socket,
    first,
    good,
    message,
    sending,
    session_with,
)
from ..support.raw_server import RawServer, answering


@pytest.mark.parametrize("promised", ["null", "3600", "0", "-1"])
async def test_a_connection_without_pongs_is_closed(promised: str) -> None:
    """A dead connection is noticed also if the service promises no frames, or few."""
    welcome = f'{{"type":"welcome","heartbeat":{promised}}}'
    service = Service(sending(welcome, SUBSCRIBED), good)
    async with session_with(service) as session:
        assert await first(session, heartbeat=0.02) == 1
    assert len(service.requests) == 2


async def test_a_connection_with_pongs_stays_open() -> None:
    """If the service promises no frames, a pong is enough, however long no frame comes."""
    pings = 0

    async def pong_only(socket: Socket) -> None:
        nonlocal pings
        await socket.send_str(SUBSCRIBED)
        while (found := await socket.receive()).type in (WSMsgType.TEXT, WSMsgType.PING):
            if found.type is WSMsgType.PING:
                pings += 1
                await socket.pong(found.data)
                if pings == 5:
                    await socket.send_str(message(1))

    service = Service(pong_only)
    async with session_with(service) as session:
        assert await first(session, heartbeat=0.02) == 1
    assert (len(service.requests), pings) == (1, 5)


# -- a session of the caller's ---------------------------------------------------------------------

REFUSAL = answering(401, b'{"error": {"code": "unauthorized", "message": "no"}}')


@asynccontextmanager
async def over(url: str, http: aiohttp.ClientSession) -> AsyncIterator[IottlySession]:
    """A session over a session of the caller's."""
    config = Config(base_url=url)
    async with http, IottlySession("k", config=config, http=http, limiter=RateLimiter()) as session:
        yield session


async def opened(session: IottlySession) -> BaseException:
    """The error with which a stream is refused."""
    async with session.stream() as stream:
        with pytest.raises(Exception) as refused:
            async with asyncio.timeout(10):
                await stream.until_connected()
    return refused.value


async def test_a_stream_goes_through_the_proxy_of_a_given_session() -> None:
    """With the key in its headers, it never goes round the proxy."""
    async with RawServer(REFUSAL) as proxy, RawServer(REFUSAL) as server:
        async with over(server.url, aiohttp.ClientSession(proxy=proxy.url)) as session:
            await opened(session)
        (request,) = proxy.requests
        assert request.line == f"GET {server.url}/v1/stream HTTP/1.1"
        assert not server.peers


async def test_a_stream_has_the_headers_middlewares_and_traces_of_a_given_session() -> None:
    """What a caller has set for all requests holds for streams as well."""
    seen: list[str] = []

    async def traced(_: Any, __: Any, parameters: aiohttp.TraceRequestStartParams) -> None:
        seen.append(f"trace {parameters.method}")

    async def wrapped(
        request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        seen.append(f"middleware {request.method}")
        return await handler(request)

    config = aiohttp.TraceConfig()
    config.on_request_start.append(traced)
    async with RawServer(REFUSAL) as server:
        http = aiohttp.ClientSession(
            headers={"X-Team": "blue", "Authorization": "mine"},
            skip_auto_headers=["Accept-Encoding"],
            middlewares=(wrapped,),
            trace_configs=[config],
            cookies={"a": "b"},
            cookie_jar=aiohttp.CookieJar(unsafe=True),
        )
        async with over(server.url, http) as session:
            await opened(session)
        headers = dict(server.requests[0].headers)
    assert seen == ["trace GET", "middleware GET"]
    assert headers["x-team"] == "blue"
    assert headers["authorization"] == "Bearer k"
    assert headers["cookie"] == "a=b"
    assert "accept-encoding" not in headers


async def test_a_given_session_stays_open_when_its_stream_ends() -> None:
    """A stream closes neither the caller's session nor its connector."""
    async with RawServer(REFUSAL) as server:
        http = aiohttp.ClientSession()
        async with over(server.url, http) as session:
            await opened(session)
            assert not http.closed
            async with http.get(server.url) as response:
                assert response.status == 401


async def test_a_stream_over_a_closed_session_is_refused() -> None:
    """It does not open a connection of its own instead."""
    async with RawServer(REFUSAL) as server:
        http = aiohttp.ClientSession()
        async with over(server.url, http) as session:
            await http.close()
            error = await opened(session)
        assert (type(error), server.peers) == (SetupError, [])
        assert "given as http= is closed" in str(error)


async def test_a_given_session_with_a_credential_of_its_own_is_refused() -> None:
    """The error names `auth=`, and neither a call nor a stream sends anything."""
    async with RawServer(REFUSAL) as server:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of newer versions of aiohttp
            http = aiohttp.ClientSession(auth=aiohttp.BasicAuth("user", "password"))
        async with over(server.url, http) as session:
            with pytest.raises(SetupError, match="auth= of the aiohttp session") as refused:
                await session.devices.get("dev_1")
            with pytest.raises(SetupError, match="auth= of the aiohttp session"):
                await session.ping()  # its credential stands in another header
            error = await opened(session)
        assert "auth= of the aiohttp session" in str(error)
        assert "password" not in f"{refused.value} {error}"
        assert not server.requests


async def test_a_stream_goes_the_way_that_a_subclass_of_the_session_adds() -> None:
    """A proxy that the session's own class passes with each request is the stream's too."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # aiohttp discourages subclasses

        class ProxiedSession(aiohttp.ClientSession):
            through: str = ""

            async def _request(self, *arguments: Any, **options: Any) -> aiohttp.ClientResponse:
                return await super()._request(*arguments, **{**options, "proxy": self.through})

    async with RawServer(REFUSAL) as proxy, RawServer(REFUSAL) as server:
        ProxiedSession.through = proxy.url
        async with over(server.url, ProxiedSession()) as session:
            await opened(session)
        assert len(proxy.requests) == 1
        assert not server.peers


async def test_a_stream_does_not_go_round_a_replaced_method_of_a_given_session() -> None:
    """If a mock replaces a method of the one object, a stream sends nothing past it."""
    async with RawServer(REFUSAL) as server:
        http = aiohttp.ClientSession()
        with patch.object(http, "_request"):
            async with over(server.url, http) as session:
                error = await opened(session)
        assert (type(error), server.peers) == (SetupError, [])
        assert "has a _request of its own" in str(error)


@pytest.mark.parametrize("name", ["_connector_owner", "_middlewares", "_timeout"])
async def test_a_stream_is_not_opened_if_settings_of_a_given_session_are_not_known(
    name: str,
) -> None:
    """If aiohttp renames a setting, a stream must not go another way than calls."""
    async with RawServer(REFUSAL) as server:
        http = aiohttp.ClientSession()
        value = vars(http).pop(name)
        async with over(server.url, http) as session:
            error = await opened(session)
            if name == "_middlewares":
                with pytest.raises(SetupError, match="does not tell the middlewares"):
                    await session.ping()
            vars(http)[name] = value
        assert (type(error), server.peers) == (SetupError, [])
        assert "does not tell" in str(error)
