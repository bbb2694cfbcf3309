"""A WebSocket connection: an idle one is pinged, and closed if no pong comes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

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


async def test_a_stream_is_not_opened_if_a_given_sessions_proxy_is_not_known() -> None:
    """If aiohttp renames the proxy setting, a stream must not go round the proxy."""
    async with RawServer(REFUSAL) as server:
        http = aiohttp.ClientSession()
        del http._default_proxy
        async with over(server.url, http) as session:
            error = await opened(session)
        assert (type(error), server.peers) == (SetupError, [])
        assert "does not tell all settings" in str(error)
