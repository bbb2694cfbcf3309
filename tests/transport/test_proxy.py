"""A proxy that refuses, is not there, or is not set up as one; each error names the proxy."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest

from iottly_async import IottlyError, IottlySession, ProxyError, SetupError, TLSError
from tests.support.calls import GET, Fault, Verb, assert_error, each_verb, failure_of, session_on
from tests.support.raw_server import Peer, RawServer, Script, answering
from tests.support.tls import Certificates

SERVICE = "https://iottly.invalid"


async def _silent(peer: Peer) -> None:
    await peer.stall()


def _refusal(*, again: bool, status: int | None) -> Fault:
    return Fault(
        name="", play=_silent, error=ProxyError, sent="no", again=again, status=status, text=""
    )


@pytest.fixture(autouse=True)
def no_proxy_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keeps the proxies and exceptions of the machine's environment out of the tests."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setenv("NETRC", "/dev/null")


@asynccontextmanager
async def through(
    proxy: str, how: str, monkeypatch: pytest.MonkeyPatch, base_url: str = SERVICE, **settings: Any
) -> AsyncIterator[IottlySession]:
    """Yield a session that uses a proxy of the environment, or of a given aiohttp session."""
    if how == "environment":
        monkeypatch.setenv(f"{base_url.partition(':')[0]}_proxy", proxy)
        async with session_on(base_url, trust_env=True, **settings) as session:
            yield session
    else:
        async with (
            aiohttp.ClientSession(proxy=proxy) as http,
            session_on(base_url, http=http, **settings) as session,
        ):
            yield session


each_way = pytest.mark.parametrize("how", ["environment", "given"])


@pytest.mark.parametrize(
    ("status", "again"), [(407, False), (403, False), (405, False), (502, True), (503, True)]
)
@each_way
@each_verb
async def test_a_proxy_that_refuses_the_tunnel(
    verb: Verb, how: str, status: int, again: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error names the proxy and its status; only a 5xx is tried again, commands too."""
    async with RawServer(answering(status, b"no way")) as proxy:
        where = f"127.0.0.1:{proxy.port}"
        async with through(f"http://user:pass-w0rd@{where}", how, monkeypatch) as session:
            error = await failure_of(verb.make(session))
        assert len(proxy.requests) == error.attempts
        for received in proxy.requests:
            assert received.line == "CONNECT iottly.invalid:443 HTTP/1.1"
            assert not {"authentication", "authorization"} & dict(received.headers).keys()
    assert_error(error, verb, _refusal(again=again, status=status))
    assert f"the proxy {where} refused" in str(error)
    assert "pass-w0rd" not in str(error)


async def test_a_stream_through_a_proxy_that_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stream ends with the proxy's refusal: it names the proxy and its status."""
    async with RawServer(answering(407, b"who are you?")) as proxy:
        where = f"127.0.0.1:{proxy.port}"
        async with through(proxy.url, "environment", monkeypatch) as session:
            with pytest.raises(ProxyError, match=f"the proxy {where} refused.*407") as caught:
                async with session.stream() as stream:
                    await anext(aiter(stream))
        assert caught.value.status == 407
        assert len(proxy.requests) == 1


@each_way
@each_verb
async def test_a_proxy_that_asks_who_asks(
    verb: Verb, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A 407 to plain http is the proxy's own answer: the service has not seen the request."""
    async with RawServer(answering(407, b"{}")) as proxy:
        where = f"127.0.0.1:{proxy.port}"
        plain: dict[str, Any] = {"base_url": "http://iottly.invalid", "allow_plain_http": True}
        async with through(proxy.url, how, monkeypatch, **plain) as session:
            error = await failure_of(verb.make(session))
    assert_error(error, verb, _refusal(again=False, status=407))
    assert f"the proxy {where} refused" in str(error)


@each_way
@each_verb
async def test_a_proxy_that_is_not_there(
    verb: Verb, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error says that it is the proxy that does not answer; commands are tried again too."""
    async with RawServer(_silent) as gone:
        where = f"127.0.0.1:{gone.port}"
    async with through(f"http://{where}", how, monkeypatch) as session:
        error = await failure_of(verb.make(session))
    assert_error(error, verb, _refusal(again=True, status=None))
    assert str(error) == f"no connection to the proxy {where}: connection refused"


def tunnel_to(port: int) -> Script:
    """A script of a proxy that connects to a loopback port, whatever host it is asked for."""

    async def play(peer: Peer) -> None:
        asked = len((await peer.request()).head)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        await peer.send(b"HTTP/1.1 200 Connected\r\n\r\n")

        async def forward() -> None:
            passed = asked
            while True:
                await peer.arrived(passed + 1)
                writer.write(bytes(peer.received[passed:]))
                passed = len(peer.received)

        forwarding = asyncio.create_task(forward())
        try:
            while data := await reader.read(65536):
                await peer.send(data)
        finally:
            forwarding.cancel()
            await asyncio.gather(forwarding, return_exceptions=True)
            writer.close()

    return play


async def test_a_call_through_a_tunnel(
    certificates: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A proxy that tunnels sees the service's host, and nothing of the request."""
    async with (
        RawServer(answering(200, GET.body), tls=certificates.server) as service,
        RawServer(tunnel_to(service.port)) as proxy,
        through(
            proxy.url, "environment", monkeypatch, service.url, ssl=certificates.client
        ) as session,
    ):
        await GET.make(session)
        assert proxy.requests[0].line == f"CONNECT 127.0.0.1:{service.port} HTTP/1.1"
        assert not {"authentication", "authorization"} & dict(proxy.requests[0].headers).keys()
        assert b"dev_1" not in proxy.peers[0].received
        assert "authorization" in dict(service.requests[0].headers)


async def test_a_certificate_behind_a_proxy(
    certificates: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A service's certificate that is not accepted is not blamed on the proxy."""
    async with (
        RawServer(answering(200, GET.body), tls=certificates.untrusted) as service,
        RawServer(tunnel_to(service.port)) as proxy,
        through(
            proxy.url, "environment", monkeypatch, service.url, ssl=certificates.client
        ) as session,
    ):
        error = await failure_of(GET.make(session))
        assert not service.requests
        assert type(error) is TLSError
        assert (error.sent, error.attempts) == ("no", 1)
        assert f"127.0.0.1:{service.port}" in str(error)
        assert str(proxy.port) not in str(error)


BAD_SETTINGS = (
    "proxy.example:3128",
    "127.0.0.1:3128",
    "user:pass-w0rd@127.0.0.1:3128",
    "//127.0.0.1:3128",
    "http://",
    "socks5://127.0.0.1:1080",
    "http://127.0.0.1:99999",
    "http://[::1",
)


@pytest.mark.parametrize("setting", BAD_SETTINGS)
@each_way
async def test_a_proxy_setting_that_is_no_address(
    how: str, setting: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error is about the proxy; nothing is sent, and no password is shown."""
    async with through(setting, how, monkeypatch) as session:
        error = await failure_of(session.devices.get("dev_1"))
    assert_setting_blamed(error)
    assert error.sent == "no"
    if how == "environment":
        assert "base_url" not in str(error)


@pytest.mark.parametrize("setting", BAD_SETTINGS)
async def test_a_stream_with_a_proxy_setting_that_is_no_address(
    setting: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stream ends with the same error, and does not reconnect."""
    async with through(setting, "environment", monkeypatch) as session, session.stream() as stream:
        error = await failure_of(anext(aiter(stream)))
    assert_setting_blamed(error)
    assert "base_url" not in str(error)


def assert_setting_blamed(error: IottlyError) -> None:
    """Assert that an error is about the proxy's address, and shows no password."""
    assert type(error) is SetupError
    assert "proxy" in str(error)
    assert "pass-w0rd" not in str(error)


async def test_a_proxy_is_not_asked_for_its_exceptions(monkeypatch: pytest.MonkeyPatch) -> None:
    """A host that `no_proxy` names is reached directly, whatever the proxy setting is."""
    monkeypatch.setenv("http_proxy", "proxy.example:3128")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    async with (
        RawServer(answering(404, b"{}")) as service,
        session_on(service, trust_env=True) as session,
    ):
        error = await failure_of(session.devices.get("dev_1"))
        assert error.status == 404
        assert len(service.requests) == 1
