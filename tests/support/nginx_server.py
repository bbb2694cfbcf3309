"""A real nginx in front of a loopback port: it limits requests, reloads, and closes connections.

nginx comes from Debian. A test that needs it is skipped where it is not installed. It runs with a
configuration of its own in a temporary folder and binds a loopback address alone, so it needs no
rights.

```python
with running_nginx(emulator_port, rate="40r/s", burst=5, status=503) as nginx:
    ...  # requests to nginx.url
    nginx.reload()
```
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
from pathlib import Path

import pytest

__all__ = ["NginxServer", "require_nginx", "running_nginx"]

_CONFIGURATION = """
{user}
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    keepalive_requests {keepalive_requests};
    {zone}
    upstream service {{
        server 127.0.0.1:{upstream};
        keepalive 64;
    }}
    server {{
        listen 127.0.0.1:{port} backlog=1024;
        location / {{
            {limit}
            proxy_pass http://service;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header Host 127.0.0.1:{upstream};
            proxy_next_upstream off;
        }}
    }}
}}
"""


def _program() -> str:
    found = shutil.which("nginx", path=os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin")))
    if found is None:
        raise ModuleNotFoundError("no nginx: install Debian's package nginx-light", name="nginx")
    return found


def require_nginx() -> None:
    """Skip the test if there is no nginx."""
    try:
        _program()
    except ModuleNotFoundError as error:
        pytest.skip(error.msg)


class NginxServer:
    """An nginx that passes requests on to a loopback port.

    Args:
        folder: a folder of its own, which nginx's worker can read.
        upstream: the port of the service behind it.
        rate: the rate of `limit_req`, such as "40r/s"; None limits nothing.
        burst: how many requests beyond the rate are passed on at once; 0 passes one at a time.
        status: the status of a request that the limit refuses.
        keepalive_requests: after so many requests a connection is closed; 1,000 is nginx's own.

    Attributes:
        url: where it listens.
    """

    def __init__(
        self,
        folder: str,
        upstream: int,
        *,
        rate: str | None = None,
        burst: int = 5,
        status: int = 429,
        keepalive_requests: int = 1000,
    ) -> None:
        with closing(socket.socket()) as probe:
            probe.bind(("127.0.0.1", 0))
            self._port: int = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{self._port}"
        zone = limit = ""
        if rate is not None:
            zone = f"limit_req_zone $server_addr zone=all:1m rate={rate};"
            beyond = f" burst={burst} nodelay" if burst else ""
            limit = f"limit_req zone=all{beyond}; limit_req_status {status};"
        self._folder = folder
        self._file = Path(folder, "nginx.conf")
        self._file.write_text(
            _CONFIGURATION.format(
                # Its worker keeps the rights of whoever runs the tests.
                user="user root;" if os.geteuid() == 0 else "",
                folder=folder,
                port=self._port,
                upstream=upstream,
                keepalive_requests=keepalive_requests,
                zone=zone,
                limit=limit,
            ),
            "utf-8",
        )
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start nginx, and wait until it listens."""
        command = [_program(), "-p", self._folder, "-c", str(self._file), "-e", "error.log"]
        self._process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        for _ in range(500):
            try:
                socket.create_connection(("127.0.0.1", self._port)).close()
            except ConnectionRefusedError:
                if self._process.poll() is not None:
                    break
                time.sleep(0.01)
            else:
                return
        raise RuntimeError(f"nginx did not start: {Path(self._folder, 'error.log').read_text()}")

    def reload(self) -> None:
        """Load the configuration again: new workers start, and old ones close idle connections."""
        assert self._process is not None
        self._process.send_signal(signal.SIGHUP)

    def stop(self) -> None:
        """End nginx and its workers."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait()
            self._process = None


@contextmanager
def running_nginx(
    upstream: int,
    *,
    rate: str | None = None,
    burst: int = 5,
    status: int = 429,
    keepalive_requests: int = 1000,
) -> Iterator[NginxServer]:
    """An nginx that runs as long as the block; `NginxServer` describes the arguments.

    Raises:
        ModuleNotFoundError: There is no nginx.
    """
    with tempfile.TemporaryDirectory(prefix="nginx-") as folder:
        server = NginxServer(
            folder,
            upstream,
            rate=rate,
            burst=burst,
            status=status,
            keepalive_requests=keepalive_requests,
        )
        server.start()
        try:
            yield server
        finally:
            server.stop()
