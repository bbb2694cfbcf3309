"""A TCP proxy that forwards bytes until a test cuts the connections.

It runs in its own threads, so synchronous and asynchronous tests can use it, and tests that kill
the process at one end.
"""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Self

_LINGER_ZERO = struct.pack("ii", 1, 0)


class TcpProxy:
    """Forwards connections to a server.

    Attributes:
        address: host and port of the proxy.
        connections: how many connections were accepted.
        chunks: how many chunks clients have sent so far, over all connections.
        refusing: whether new connections are closed at once.
    """

    def __init__(self, upstream: tuple[str, int]) -> None:
        self.connections = self.chunks = 0
        self.refusing = False
        self._upstream = upstream
        self._cut_at = 0
        self._after = False
        self._then: Callable[[], object] = lambda: None
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._sockets: list[socket.socket] = []
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []

    @property
    def address(self) -> tuple[str, int]:
        """Host and port of the proxy."""
        host, port = self._listening.getsockname()
        return host, port

    def __enter__(self) -> Self:
        self._begin(self._accept)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        with suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self.cut()
        for thread in self._threads:
            thread.join(10)

    def cut_at(
        self, chunk: int, *, after: bool = False, then: Callable[[], object] = lambda: None
    ) -> None:
        """Cut all connections when a client sends the `chunk`-th chunk from now.

        Args:
            chunk: 1 is the next.
            after: whether that chunk still reaches the server; its answer never comes back.
            then: called in one of the proxy's threads, just before the connections are cut.
        """
        with self._lock:
            self._cut_at, self._after, self._then = self.chunks + chunk, after, then

    def cut(self) -> None:
        """Reset all connections, in both directions."""
        with self._lock:
            ended, self._sockets = self._sockets, []
        for one in ended:
            with suppress(OSError):
                one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_ZERO)
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def _begin(self, work: Callable[..., None], *arguments: object) -> None:
        thread = threading.Thread(target=work, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listening.accept()
            except OSError:
                return
            self.connections += 1
            if self.refusing:
                client.close()
                continue
            server = socket.create_connection(self._upstream)
            with self._lock:
                self._sockets += [client, server]
            self._begin(self._forward, client, server, True)
            self._begin(self._forward, server, client, False)

    def _forward(self, source: socket.socket, target: socket.socket, counted: bool) -> None:
        with suppress(OSError):
            while data := source.recv(1 << 16):
                if counted and self._is_cut_here():
                    if self._after:
                        target.sendall(data)
                    self._then()
                    self.cut()
                    return
                target.sendall(data)
        with suppress(OSError):
            target.shutdown(socket.SHUT_WR)

    def _is_cut_here(self) -> bool:
        with self._lock:
            self.chunks += 1
            return self.chunks == self._cut_at
