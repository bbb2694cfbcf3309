"""The FastAPI parts under the servers that people use."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final
from urllib.request import urlopen

import pytest

from iottly_async.emulator import EmulatorThread
from tests.support.canary import CANARY

from .application import SECRET

APPLICATION: Final = "tests.elsewhere.application:app"
SERVERS: Final = {
    "granian": "granian --interface asgi --host 127.0.0.1 --port {port}",
    "gunicorn": "gunicorn --worker-class asgi --preload --workers 2 --bind 127.0.0.1:{port}",
    "hypercorn": "hypercorn --bind 127.0.0.1:{port}",
    "uvicorn": "uvicorn --host 127.0.0.1 --port {port}",
}
MESSAGE: Final = {
    "from": "3781de91-d446-4c64-825d-756dd60f2dab",
    "to": "59c19cacecc01400075f3bc9",
    "timestamp": "2026-05-02T10:00:00.5",
    "type": "userdefined",
    "payload": {"t": 1},
}


@contextmanager
def running(name: str, emulator: EmulatorThread, log: Path) -> Iterator[int]:
    """The application under a server; yields its port, and ends it by SIGTERM."""
    with closing(socket.create_server(("127.0.0.1", 0))) as free:
        port = free.getsockname()[1]
    environment = os.environ | {
        "IOTTLY_API_KEY": CANARY,
        "IOTTLY_BASE_URL": emulator.base_url,
        "IOTTLY_PROJECT": emulator.project_id,
        "PYTHONPATH": str(Path(__file__).parents[2]),
    }
    module, *options = SERVERS[name].format(port=port).split()
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", module, *options, APPLICATION],
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        until_connected(process, port)
        yield port
    finally:
        process.terminate()
        try:
            process.wait(30)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # a worker that outlives its server
            process.wait()


def until_connected(process: subprocess.Popen[bytes], port: int) -> None:
    """Wait until the server accepts connections."""
    for _ in range(6000):
        assert process.poll() is None, "the server ended"
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except ConnectionRefusedError:
            time.sleep(0.01)
        else:
            return


def post(port: int, *parts: bytes) -> int:
    """Send the parts of a request, wait for an answer, and return its status.

    Before each further part, an interim answer of the server is read.
    """
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        file = connection.makefile("rb")
        for number, part in enumerate(parts):
            if number:
                assert file.readline().split()[1] == b"100"
                while file.readline().strip():
                    pass
            connection.sendall(part)
        return int(file.readline().split()[1])


def head(version: str, *lines: str) -> bytes:
    """The head of a webhook's request."""
    named = ("Host: 127.0.0.1", f"X-Iottly-Secret: {SECRET}", "Content-Type: application/json")
    return "\r\n".join([f"POST /webhooks/iottly HTTP/{version}", *named, *lines, "", ""]).encode()


def body(number: int) -> bytes:
    """A webhook's body; each number is another message."""
    return json.dumps({"msg": MESSAGE | {"payload": {"t": number}}}).encode()


@pytest.fixture
def emulator() -> Iterator[EmulatorThread]:
    """The service, with two devices."""
    with EmulatorThread(devices=2, messages=10, api_keys=(CANARY,)) as emulator:
        yield emulator


@pytest.mark.parametrize("name", sorted(SERVERS))
def test_the_application_is_served(name: str, emulator: EmulatorThread, tmp_path: Path) -> None:
    """Routes, and webhooks by HTTP/1.0, in chunks and after ``Expect``, work; SIGTERM ends it all.

    The key is not in what the server logs.
    """
    if find_spec(name) is None:
        pytest.skip(f"pip install {name}")
    log = tmp_path / "log"
    with running(name, emulator, log) as port:
        for _ in range(8):  # gunicorn has two workers
            with urlopen(f"http://127.0.0.1:{port}/devices", timeout=30) as answer:
                found: list[dict[str, Any]] = json.load(answer)
            assert {device["id"] for device in found} == set(emulator.device_ids)
        one, two, three = map(body, range(3))
        length = "Content-Length: {}".format
        assert post(port, head("1.0", length(len(one))) + one) == 204
        chunks = b"%x\r\n%s\r\n0\r\n\r\n" % (len(two), two)
        assert post(port, head("1.1", "Transfer-Encoding: chunked") + chunks) == 204
        assert post(port, head("1.1", length(len(three)), "Expect: 100-continue"), three) == 204
        wrong = head("1.1", length(len(one))).replace(SECRET.encode(), b"wrong")
        assert post(port, wrong + one) == 403
    text = log.read_text("utf-8")
    assert CANARY not in text
    assert "Traceback" not in text, text
