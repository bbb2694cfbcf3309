"""Where a stream sends the key: only where its protocol says, and it is shown nowhere."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import WSMsgType, web

from iottly_async import (
    Config,
    IottlyError,
    IottlySession,
    RateLimiter,
    StreamClosedError,
    UnauthorizedError,
)
from iottly_async.ratelimit import Permit
from iottly_async.stream.protocol import (
    Credential,
    Frame,
    FrameKey,
    HeaderKey,
    QueryKey,
    StreamProtocol,
    Subscription,
    message_frame,
)

from ..support.canary import CANARY, assert_key_hidden
from .helpers import QUICK

ROW = {"from": "d", "timestamp": {"$date": 1772366401000}, "payload": {"n": 1}}


class Feed(StreamProtocol):
    """Lists of messages, with the key where the test wants it."""

    address = "/feed"

    def __init__(self, address: str, credential: Credential | None) -> None:
        self.address = address
        self._credential = credential

    @property
    def credential(self) -> Credential | None:
        return self._credential

    def opening(self, subscription: Subscription, key: str | None) -> Sequence[str | bytes]:
        return [json.dumps({"token": key}), b"watch"]

    def read(self, data: str | bytes) -> Sequence[Frame]:
        return [message_frame(row) for row in json.loads(data)]


class Host:
    """A WebSocket server that notes what it receives."""

    def __init__(self) -> None:
        self.requests: list[web.BaseRequest] = []
        self.frames: list[Any] = []
        self.answer: web.StreamResponse | None = None
        self.close: tuple[int, str] | None = None
        self.url = ""

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Serve one connection: two frames, one list of messages."""
        self.requests.append(request)
        if self.answer is not None:
            return web.Response(
                status=self.answer.status, text=f'{{"error": "{request.path_qs} is refused"}}'
            )
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        if self.close is not None:
            code, reason = self.close
            await socket.close(code=code, message=reason.encode())
            return socket
        self.frames += [(await socket.receive()).data, (await socket.receive()).data]
        await socket.send_str(json.dumps([ROW]))
        while (await socket.receive()).type in (WSMsgType.TEXT, WSMsgType.BINARY):
            pass
        return socket

    @property
    def credentials(self) -> list[tuple[str, str]]:
        """The headers and parameters of all requests that hold the key."""
        return [
            (name, value)
            for request in self.requests
            for name, value in [*request.headers.items(), *request.query.items()]
            if CANARY in value
        ]


@asynccontextmanager
async def serving() -> AsyncIterator[Host]:
    """A host on a free port."""
    host = Host()
    runner = web.ServerRunner(web.Server(host.handle, access_log=None), shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host.url = f"127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield host
    finally:
        await runner.cleanup()


@asynccontextmanager
async def two_hosts() -> AsyncIterator[tuple[Host, Host, IottlySession]]:
    """The service, another host, and a session on the service."""
    async with serving() as service, serving() as other:
        config = Config(base_url=f"http://{service.url}", retry=QUICK)
        async with IottlySession(CANARY, config=config, limiter=RateLimiter()) as session:
            yield service, other, session


async def first(session: IottlySession, protocol: StreamProtocol) -> Any:
    """The payload of the first message."""
    async with asyncio.timeout(10), session.stream(protocol=protocol) as stream:
        async for message in stream.messages():
            return message.payload
    return None


@pytest.mark.parametrize(
    ("credential", "sent"),
    [
        (HeaderKey(), [("Authorization", f"Bearer {CANARY}")]),
        (HeaderKey("X-Api-Key", ""), [("X-Api-Key", CANARY)]),
        (QueryKey("token"), [("token", CANARY)]),
        (FrameKey(), []),
        (None, []),
    ],
    ids=["header", "named header", "query", "frame", "none"],
)
@pytest.mark.parametrize("elsewhere", [False, True], ids=["service", "other host"])
async def test_the_key_is_sent_where_the_protocol_says(
    credential: Credential | None, sent: list[tuple[str, str]], elsewhere: bool
) -> None:
    """It goes to the address of the protocol, in one place, and to no other host."""
    async with two_hosts() as (service, other, session):
        host, apart = (other, service) if elsewhere else (service, other)
        address = f"ws://{other.url}/feed" if elsewhere else "/feed"
        assert await first(session, Feed(address, credential)) == {"n": 1}
    assert host.credentials == sent
    token = CANARY if credential == FrameKey() else None
    assert host.frames == [json.dumps({"token": token}), b"watch"]
    assert apart.requests == []


class CountingLimiter(RateLimiter):
    """A limiter that counts its permits."""

    permits = 0

    async def acquire(self, **options: Any) -> Permit:
        """Count and grant a permit."""
        self.permits += 1
        return await super().acquire(**options)


@pytest.mark.parametrize("elsewhere", [False, True], ids=["service", "other host"])
async def test_only_the_services_own_host_is_within_the_quota(elsewhere: bool) -> None:
    """A stream on another host takes no permit, because the quota is not of that host."""
    async with two_hosts() as (service, other, _):
        limiter = CountingLimiter()
        config = Config(base_url=f"http://{service.url}")
        async with IottlySession(CANARY, config=config, limiter=limiter) as session:
            address = f"ws://{other.url}/feed" if elsewhere else f"ws://{service.url}/feed"
            assert await first(session, Feed(address, HeaderKey())) == {"n": 1}
    assert limiter.permits == (0 if elsewhere else 1)


async def test_a_redirect_is_not_followed_with_the_key() -> None:
    """A key in a query does not travel to where a redirect points (D12)."""
    async with two_hosts() as (service, other, session):
        service.answer = web.Response(status=302, headers={"Location": f"http://{other.url}/"})
        with pytest.raises(IottlyError) as refused:
            await first(session, Feed("/feed", QueryKey("token")))
        assert other.requests == []
    assert_key_hidden(refused.value)


async def test_an_error_that_repeats_the_address_does_not_show_the_key() -> None:
    """A service may put the address that it was asked for into its error."""
    async with two_hosts() as (service, _, session):
        service.answer = web.Response(status=401)
        with pytest.raises(UnauthorizedError, match="is refused") as refused:
            await first(session, Feed("/feed", QueryKey("token")))
    assert_key_hidden(refused.value)
    assert "<redacted>" in str(refused.value)


@pytest.mark.parametrize("credential", [HeaderKey(), QueryKey("token"), FrameKey()])
async def test_a_close_reason_that_repeats_the_key_does_not_show_it(credential: Credential) -> None:
    """The reason is in the error and in the log, without the key."""
    async with two_hosts() as (service, _, session):
        service.close = (4001, f"bad token {CANARY}")
        with pytest.raises(StreamClosedError, match="bad token <redacted>") as closed:
            await first(session, Feed("/feed", credential))
    assert closed.value.close_reason == "bad token <redacted>"
    assert_key_hidden(closed.value)


async def test_no_connection_does_not_show_the_key() -> None:
    """A host that is not there is named, and the address's query is not."""
    async with serving() as gone:
        url = gone.url
    session = IottlySession(CANARY, config=Config(base_url="http://127.0.0.1:1"))
    async with session, session.stream(protocol=Feed(f"ws://{url}/", QueryKey("token"))) as stream:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await stream.until_connected()
        assert CANARY not in repr(stream)
        assert CANARY not in repr(vars(stream._supervisor))
