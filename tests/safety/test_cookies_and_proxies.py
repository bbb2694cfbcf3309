"""No cookie is kept, and neither proxy nor .netrc is used unless asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from iottly_async import Config, ConfigurationError, IottlySession, RateLimiter
from iottly_async.transport import AiohttpTransport
from tests.support.raw_server import RawServer, answering

PONG = b'{"status": "pong"}'
PROXIES = ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")

pytestmark = pytest.mark.usefixtures("leaves_nothing")


def session_on(url: str, **settings: Any) -> IottlySession:
    """A session on a server, with a limiter of its own."""
    config = Config(base_url=url, timeout=10, **settings)
    return IottlySession("canary", config=config, limiter=RateLimiter())


def by_name(server: RawServer) -> str:
    """A server's URL with a host name: aiohttp's cookie jar ignores addresses."""
    return server.url.replace("127.0.0.1", "localhost")


async def test_cookies_are_not_kept() -> None:
    """A cookie that the server sets is not sent back."""
    script = answering(200, PONG, "Set-Cookie: a=b; Path=/", "Set-Cookie: c=d")
    async with RawServer(script) as server, session_on(by_name(server)) as session:
        for _ in range(3):
            await session.ping()
        assert len(server.requests) == 3
        assert not any(
            name == "cookie" for received in server.requests for name, _ in received.headers
        )


async def test_cookies_are_not_kept_by_sessions_for_streams() -> None:
    """A cookie that the server sets is not sent back by streams either."""
    script = answering(200, PONG, "Set-Cookie: a=b; Path=/")
    async with RawServer(script) as server:
        transport = AiohttpTransport(Config(base_url=by_name(server)))
        session = transport.for_upgrades()
        for _ in range(2):
            async with session.get(f"{by_name(server)}/v1/stream") as response:
                await response.read()
        await transport.aclose()
        assert len(server.requests) == 2
        assert not any(
            name == "cookie" for received in server.requests for name, _ in received.headers
        )


async def test_a_proxy_of_the_environment_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """By default, neither calls nor streams use the environment's proxy."""
    async with RawServer(answering(200, PONG)) as proxy, RawServer(answering(200, PONG)) as server:
        for name in PROXIES:
            monkeypatch.setenv(name, proxy.url)
        monkeypatch.delenv("no_proxy", raising=False)
        monkeypatch.delenv("NO_PROXY", raising=False)
        async with session_on(server.url) as session:
            await session.ping()
        transport = AiohttpTransport(Config(base_url=server.url))
        upgrading = transport.for_upgrades()
        async with upgrading.get(f"{server.url}/v1/stream") as response:
            await response.read()
        await transport.aclose()
        assert len(server.requests) == 2
        assert not proxy.peers


async def test_a_proxy_is_used_where_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """With `trust_env`, requests go through the environment's proxy."""
    async with RawServer(answering(200, PONG)) as proxy:
        for name in PROXIES:
            monkeypatch.setenv(name, proxy.url)
        monkeypatch.delenv("no_proxy", raising=False)
        monkeypatch.delenv("NO_PROXY", raising=False)
        async with session_on(
            "http://iottly.invalid", trust_env=True, allow_plain_http=True
        ) as session:
            await session.ping()
        assert [received.line for received in proxy.requests] == [
            "GET http://iottly.invalid/v1.0/project/ping HTTP/1.1"
        ]


@pytest.fixture
def netrc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A .netrc with another credential for the loopback address."""
    path = tmp_path / "netrc"
    path.write_text("machine 127.0.0.1 login another password else\n")
    path.chmod(0o600)
    monkeypatch.setenv("NETRC", str(path))
    for name in PROXIES:
        monkeypatch.delenv(name, raising=False)


@pytest.mark.usefixtures("netrc")
async def test_netrc_is_not_used() -> None:
    """By default .netrc is ignored: only the key is sent, in its one header."""
    async with RawServer(answering(200, PONG)) as server, session_on(server.url) as session:
        await session.ping()
    headers = dict(server.requests[0].headers)
    assert headers["authentication"] == "bearer canary"
    assert "authorization" not in headers


@pytest.mark.usefixtures("netrc")
async def test_a_netrc_with_another_credential_is_an_error() -> None:
    """With `trust_env`, another credential for the host is an error; nothing is sent."""
    async with RawServer(answering(200, PONG)) as server:
        async with session_on(server.url, trust_env=True) as session:
            with pytest.raises(ConfigurationError, match="netrc") as caught:
                await session.devices.get("dev_1")
            assert caught.value.sent == "no"
        assert not server.requests
