"""The emulator as a service: reached from other machines, by the names that are allowed."""

from __future__ import annotations

import json
import logging
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from socket import create_connection, create_server
from typing import Any
from urllib.request import Request, urlopen

import aiohttp
import pytest

from iottly_async.emulator import Emulator, EmulatorOptions, EmulatorSettings
from tests.support.emulator_process import process

from .conftest import Api

TOKEN = "a-token-of-one-test"


async def ask(
    http: aiohttp.ClientSession, url: str, host: str, *, token: str | None = None
) -> tuple[int, Any]:
    """Status and content of a GET for a host, with the API key or a token."""
    credential = "Bearer ik_dev_iottly_emulator_0000000000" if token is None else f"Bearer {token}"
    headers = {"Host": host, "Authorization": credential}
    async with http.get(url, headers=headers) as answer:
        return answer.status, json.loads(await answer.read())


@asynccontextmanager
async def service(**options: Any) -> AsyncIterator[tuple[Emulator, int]]:
    """A small emulator as a service, and its port."""
    chosen: EmulatorOptions = {"devices": 1, "messages": 3, **options}  # type: ignore[typeddict-item]
    async with Emulator(**chosen) as emulator:
        yield emulator, int(emulator.base_url.rsplit(":", 1)[1])


@pytest.mark.parametrize(
    "wrong",
    [
        {"host": "0.0.0.0"},
        {"host": "192.0.2.5"},
        {"host": "example.org", "allowed_hosts": ("example.org",)},
        {"allowed_hosts": "emulator"},
        {"allowed_hosts": ("*",)},
        {"allowed_hosts": ("",)},
        {"allowed_hosts": ("http://emulator",)},
        {"control_token": "short"},
        {"control_token": "with a space in it"},
    ],
)
def test_what_is_refused(wrong: EmulatorOptions) -> None:
    """Other machines are served only by names, and a token must be one; its error hides it."""
    with pytest.raises(ValueError) as refused:
        EmulatorSettings(**wrong)
    if "control_token" in wrong:
        assert str(wrong["control_token"]) not in str(refused.value)


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("emulator", 200),
        ("EMULATOR:1234", 200),
        ("api.test:8080", 200),
        ("api.test", 421),
        ("api.test:80", 421),
        ("127.0.0.1:PORT", 200),
        ("localhost:PORT", 200),
        ("localhost", 421),
        ("emulator.evil.test", 421),
        ("emulator:1234:5", 421),
        ("evil.test:PORT", 421),
        ("", 421),
    ],
)
async def test_hosts(host: str, status: int, http: aiohttp.ClientSession) -> None:
    """`Host` is an allowed name, of any port unless one was named, or the emulator's address."""
    async with service(allowed_hosts=("Emulator", "api.test:8080")) as (emulator, port):
        url = f"{emulator.base_url}/v1/devices"
        assert (await ask(http, url, host.replace("PORT", str(port))))[0] == status


@pytest.mark.parametrize(
    ("options", "host", "token", "status"),
    [
        # On one machine, nothing is needed.
        ({}, "127.0.0.1:PORT", None, 200),
        # A token is needed wherever the request comes from.
        ({"control_token": TOKEN}, "127.0.0.1:PORT", None, 401),
        ({"control_token": TOKEN}, "127.0.0.1:PORT", TOKEN + "x", 401),
        ({"control_token": TOKEN}, "127.0.0.1:PORT", TOKEN, 200),
        ({"control_token": TOKEN, "allowed_hosts": ("emulator",)}, "emulator", TOKEN, 200),
        ({"control_token": TOKEN, "allowed_hosts": ("emulator",)}, "emulator", None, 401),
        # Behind a proxy on this machine, all requests look alike.
        ({"allowed_hosts": ("emulator",)}, "emulator", None, 403),
        ({"allowed_hosts": ("emulator",)}, "127.0.0.1:PORT", None, 403),
        # With all addresses bound, a connection from this machine is known by its own.
        ({"allowed_hosts": ("emulator",), "host": "0.0.0.0"}, "127.0.0.1:PORT", None, 200),
        ({"allowed_hosts": ("emulator",), "host": "0.0.0.0"}, "emulator", None, 403),
        # The guard can be taken away.
        ({"allowed_hosts": ("emulator",), "open_control": True}, "emulator", None, 200),
    ],
)
async def test_who_may_use_the_control_address(
    options: dict[str, Any],
    host: str,
    token: str | None,
    status: int,
    http: aiohttp.ClientSession,
) -> None:
    """The control address needs its token, or a connection that surely comes from this machine."""
    async with service(**options) as (emulator, port):
        shown = host.replace("PORT", str(port))
        control = f"{emulator.base_url}/_emulator"
        found, content = await ask(http, f"{control}/state", shown, token=token)
        assert found == status, content
        assert TOKEN not in json.dumps(content)
        assert await ask(http, f"{control}/health", shown) == (200, {"status": "ok"})
        assert (await ask(http, f"{emulator.base_url}/v1/devices", shown))[0] == 200


async def test_it_warns(caplog: pytest.LogCaptureFixture) -> None:
    """That others can reach it is in the log, without the token; else nothing is."""
    with caplog.at_level(logging.WARNING, "iottly_async.emulator"):
        async with service():
            assert caplog.text == ""
        async with service(host="0.0.0.0", allowed_hosts=("ci.test",), control_token=TOKEN) as (
            emulator,
            port,
        ):
            assert emulator.base_url == f"http://127.0.0.1:{port}"
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert "0.0.0.0" in record.getMessage()
    assert "ci.test" in record.getMessage()
    assert TOKEN not in record.getMessage() + repr(emulator.settings)


IN_A_NAMESPACE = """
import asyncio, json, sys
import aiohttp
from iottly_async.emulator import Emulator
from tests.emulator.test_service import TOKEN, ask

async def main():
    found = []
    for token in (None, TOKEN):
        options = dict(devices=1, messages=3, host="0.0.0.0", allowed_hosts=("192.0.2.1",))
        async with Emulator(**options, control_token=token) as emulator:
            port = emulator.base_url.rsplit(":", 1)[1]
            async with aiohttp.ClientSession() as http:
                for address in ("127.0.0.1", "192.0.2.1"):
                    for path in ("v1/devices", "_emulator/health", "_emulator/state"):
                        url = f"http://{address}:{port}/{path}"
                        found.append((await ask(http, url, f"{address}:{port}"))[0])
                url = f"http://192.0.2.1:{port}/_emulator/state"
                found.append((await ask(http, url, f"127.0.0.1:{port}"))[0])
                found.append((await ask(http, url, f"192.0.2.1:{port}", token=TOKEN))[0])
    print(json.dumps(found))

asyncio.run(main())
"""


def test_from_another_address() -> None:
    """From an address that is not loopback the API answers, and the control address does not.

    The address is one of a network namespace that exists for this test alone.
    """
    shell = 'ip link set lo up && ip addr add 192.0.2.1/32 dev lo && exec "$@"'
    command = ["unshare", "-rn", "sh", "-c", shell, "sh", sys.executable, "-c", IN_A_NAMESPACE]
    if shutil.which("unshare") is None or shutil.which("ip") is None:
        pytest.skip("unshare and ip make the second address; they are not here")
    if subprocess.run([*command[:5], "sh", "true"], capture_output=True, check=False).returncode:
        pytest.skip("a network namespace cannot be made here")
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, cwd=Path(__file__).parents[2]
    )
    assert done.returncode == 0, done.stderr
    # Twice: API, health and state from loopback and from the other address; a forged Host; a token.
    assert json.loads(done.stdout) == [
        *(200, 200, 200, 200, 200, 403, 403, 403),
        *(200, 200, 401, 200, 200, 401, 401, 200),
    ]


NGINX = """
daemon off; master_process off; pid {folder}/pid; error_log {folder}/errors;
events {{}}
http {{
  access_log off;
  client_body_temp_path {folder}/b; proxy_temp_path {folder}/p;
  fastcgi_temp_path {folder}/f; scgi_temp_path {folder}/s; uwsgi_temp_path {folder}/u;
  server {{
    listen 127.0.0.1:{port};
    location / {{
      proxy_pass {upstream};
      proxy_http_version 1.1;
      proxy_set_header Host $http_host;
      proxy_set_header Upgrade $http_upgrade;
      proxy_set_header Connection "upgrade";
    }}
  }}
}}
"""


def _answers(port: int) -> bool:
    try:
        create_connection(("127.0.0.1", port)).close()
    except ConnectionRefusedError:
        return False
    return True


@contextmanager
def nginx(folder: Path, upstream: str) -> Iterator[str]:
    """nginx in front of an emulator; its address."""
    program = shutil.which("nginx")
    if program is None:
        pytest.skip("nginx is not here")
    with create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    configuration = folder / "nginx.conf"
    configuration.write_text(NGINX.format(folder=folder, port=port, upstream=upstream))
    command = [program, "-c", str(configuration), "-p", str(folder), "-e", str(folder / "errors")]
    with subprocess.Popen(command) as running:
        try:
            while not _answers(port):
                assert running.poll() is None, (folder / "errors").read_text()
            yield f"http://127.0.0.1:{port}"
        finally:
            running.terminate()


async def test_behind_nginx(tmp_path: Path, http: aiohttp.ClientSession) -> None:
    """Behind a proxy it answers for the allowed name, keeps the control address, and streams."""
    async with service(allowed_hosts=("fleet.test",)) as (emulator, port):
        with nginx(tmp_path, emulator.base_url) as url:
            assert (await ask(http, f"{url}/v1/devices", "fleet.test"))[0] == 200
            assert (await ask(http, f"{url}/v1/devices", "evil.test"))[0] == 421
            assert await ask(http, f"{url}/_emulator/health", "fleet.test:80") == (
                200,
                {"status": "ok"},
            )
            for host in ("fleet.test", f"127.0.0.1:{port}"):
                assert (await ask(http, f"{url}/_emulator/state", host))[0] == 403
            headers = {"Authorization": f"Bearer {emulator.api_key}", "Host": "fleet.test"}
            async with http.ws_connect(f"{url}/v1/stream", headers=headers) as ws:
                await ws.send_json({"type": "hello", "version": 1})
                assert (await ws.receive_json())["type"] == "welcome"


def test_as_a_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Options and variables make a service of the process, which warns on stderr."""
    monkeypatch.setenv("IOTTLY_EMULATOR_CONTROL_TOKEN", TOKEN)
    options = ["--host=0.0.0.0", "--allowed-host=one.test", "--allowed-host=two.test,three.test"]
    with process("--devices=1", "--messages=3", *options) as (running, printed):
        url = printed["IOTTLY_BASE_URL"]
        for host in ("one.test", "two.test", "three.test"):
            request = Request(f"{url}/_emulator/health", headers={"Host": host})
            with urlopen(request, timeout=10) as answer:
                assert json.load(answer) == {"status": "ok"}
        running.terminate()
        _, errors = running.communicate(timeout=10)
    assert errors.startswith("WARNING: the emulator listens on 0.0.0.0, port ")
    assert TOKEN not in errors


async def test_a_loopback_name_of_its_own(http: aiohttp.ClientSession) -> None:
    """A second loopback address needs no allowed host, as no other machine reaches it."""
    async with service(host="127.0.0.2") as (emulator, port):
        assert emulator.base_url == f"http://127.0.0.2:{port}"
        assert (await Api(emulator, http).page()).status == 200
        assert (await ask(http, f"{emulator.base_url}/_emulator/state", f"127.0.0.2:{port}"))[
            0
        ] == 200
