"""mitmproxy between the library and the service, with its own certificates."""

from __future__ import annotations

import shutil
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Final

import aiohttp
import pytest

from iottly_async import Config, IottlySession, RateLimiter, TLSError
from iottly_async.emulator import EmulatorThread
from tests.support.canary import CANARY
from tests.support.raw_server import RawServer, answering
from tests.support.tls import Certificates

MITMDUMP: Final = shutil.which("mitmdump")
CLOUD: Final = "https://api.cloud.iottly.com"

pytestmark = pytest.mark.skipif(MITMDUMP is None, reason="pip install mitmproxy")


class Proxy:
    """A running mitmproxy, which answers for the cloud from an emulator.

    Attributes:
        url: for clients.
        trust: a context that trusts the proxy's certificates only.
    """

    def __init__(self, url: str, folder: Path) -> None:
        self.url = url
        self.trust = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self.trust.minimum_version = ssl.TLSVersion.TLSv1_2
        self.trust.load_verify_locations(folder / "mitmproxy-ca-cert.pem")


@pytest.fixture(scope="module")
def emulator() -> Iterator[EmulatorThread]:
    """The service behind the proxy."""
    with EmulatorThread(devices=2, messages=400, api_keys=(CANARY,)) as emulator:
        yield emulator


@pytest.fixture(scope="module")
def proxy(emulator: EmulatorThread, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    """mitmproxy with a new authority."""
    folder = tmp_path_factory.mktemp("mitmproxy")
    with closing(socket.create_server(("127.0.0.1", 0))) as free:
        port = free.getsockname()[1]
    settings = {"confdir": folder, "connection_strategy": "lazy", "upstream_cert": "false"}
    process = subprocess.Popen(
        [
            *(str(MITMDUMP), "--quiet", "--listen-host", "127.0.0.1", "--listen-port", str(port)),
            *("--map-remote", f"|{CLOUD}|{emulator.base_url}"),
            *(part for name, value in settings.items() for part in ("--set", f"{name}={value}")),
        ]
    )
    try:
        until_connected(process, port)
        yield Proxy(f"http://127.0.0.1:{port}", folder)
    finally:
        process.terminate()
        process.wait(30)


def until_connected(process: subprocess.Popen[bytes], port: int) -> None:
    """Wait until the proxy accepts connections."""
    for _ in range(6000):
        assert process.poll() is None, "the proxy ended"
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except ConnectionRefusedError:
            time.sleep(0.01)
        else:
            return


async def use(session: IottlySession, emulator: EmulatorThread) -> None:
    """A read, a command, a walk and a message of a stream; the emulator gets them."""
    device = emulator.device_ids[0]
    emulator.forget_requests()
    await session.ping()
    assert (await session.commands.run(emulator.fleet_ids[0], "echo hi")).stdout == "hi\n"
    messages = session.project(emulator.project_id).messages
    assert len([_ async for _ in messages.walk(device)]) == len(emulator.stored(device))
    async with session.stream() as stream:
        await stream.until_connected()
        emulator.append(emulator.device_ids[1])
        async for message in stream.messages():
            assert message.device_id == emulator.device_ids[1]
            break
    routes = [request.route for request in emulator.requests]
    assert routes.count("ping") == routes.count("fleet_command") == 1


async def test_a_proxy_of_the_environment(
    proxy: Proxy, emulator: EmulatorThread, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``HTTPS_PROXY`` and the proxy's own certificates: calls and streams go through it."""
    monkeypatch.setenv("HTTPS_PROXY", proxy.url)
    monkeypatch.delenv("NO_PROXY", raising=False)
    config = Config(trust_env=True, ssl=proxy.trust)
    async with IottlySession(CANARY, config=config, limiter=RateLimiter()) as session:
        await use(session, emulator)


async def test_a_proxy_of_a_given_session(proxy: Proxy, emulator: EmulatorThread) -> None:
    """A session with ``proxy=`` sends everything through it."""
    connector = aiohttp.TCPConnector(ssl=proxy.trust)
    async with (
        aiohttp.ClientSession(proxy=proxy.url, connector=connector) as http,
        IottlySession(CANARY, http=http, limiter=RateLimiter()) as session,
    ):
        await use(session, emulator)


async def test_certificates_that_are_not_trusted(
    proxy: Proxy, emulator: EmulatorThread, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the proxy's authority, the call is an error, and no key is sent."""
    monkeypatch.setenv("HTTPS_PROXY", proxy.url)
    monkeypatch.delenv("NO_PROXY", raising=False)
    emulator.forget_requests()
    config = Config(trust_env=True)
    async with IottlySession(CANARY, config=config, limiter=RateLimiter()) as session:
        with pytest.raises(TLSError) as caught:
            await session.ping()
    assert caught.value.sent == "no"
    assert not emulator.requests


@pytest.mark.parametrize("name", ["NO_PROXY", "no_proxy"])
async def test_hosts_without_a_proxy(
    proxy: Proxy, certificates: Certificates, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A host of ``NO_PROXY`` is reached directly, by its own certificate; others are not."""
    monkeypatch.setenv("HTTPS_PROXY", proxy.url)
    monkeypatch.delenv("NO_PROXY", raising=False)
    pong = answering(200, b'{"status": "pong"}')
    async with RawServer(pong, tls=certificates.server) as server:
        config = Config(base_url=server.url, trust_env=True, ssl=certificates.client)
        async with IottlySession(CANARY, config=config, limiter=RateLimiter()) as session:
            with pytest.raises(TLSError):
                await session.ping()
            assert not server.requests
        monkeypatch.setenv(name, "example.com,127.0.0.1")
        async with IottlySession(CANARY, config=config, limiter=RateLimiter()) as session:
            await session.ping()
        assert len(server.requests) == 1
