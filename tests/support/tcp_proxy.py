"""A TCP connection's middle: it passes bytes on, until it is told to cut.

It runs in threads of its own, so that a test of either kind can use it, and one in which
the process at an end is killed.
"""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Self

_LINGER_NOT = struct.pack("ii", 1, 0)


class TcpProxy:
    """Passes connections on to a server.

    Attributes:
        address: where it listens.
        connections: how many were made.
        chunks: how many pieces clients sent so far, in all connections.
        refusing: whether new connections are ended at once.
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
        """Host and port."""
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
        """Cut all connections at a client's piece to come, the `chunk`-th from now.

        Args:
            chunk: 1 is the next.
            after: whether that piece still goes to the server; its answer never comes back.
            then: called in one of the proxy's threads, just before the connections end.
        """
        with self._lock:
            self._cut_at, self._after, self._then = self.chunks + chunk, after, then

    def cut(self) -> None:
        """Reset all connections, in both directions."""
        with self._lock:
            ended, self._sockets = self._sockets, []
        for one in ended:
            with suppress(OSError):
                one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NOT)
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
            self._begin(self._pass_on, client, server, True)
            self._begin(self._pass_on, server, client, False)

    def _pass_on(self, source: socket.socket, target: socket.socket, counted: bool) -> None:
        with suppress(OSError):
            while data := source.recv(1 << 16):
                if counted and self._is_the_one():
                    if self._after:
                        target.sendall(data)
                    self._then()
                    self.cut()
                    return
                target.sendall(data)
        with suppress(OSError):
            target.shutdown(socket.SHUT_WR)

    def _is_the_one(self) -> bool:
        with self._lock:
            self.chunks += 1
            return self.chunks == self._cut_at
