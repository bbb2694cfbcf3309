"""A proxy that forwards requests to a real server, or injects a fault of the network.

A callable chooses the fault of each request, so a test decides: by a list that hypothesis shrinks,
or by a seeded generator. Each request is forwarded on its own connection, at most once.
"""

import asyncio
from collections.abc import Callable
from types import TracebackType
from typing import Literal, Self, get_args

from .raw_server import ClientClosedError, Peer, RawRequest, RawServer, answer

NetworkFault = Literal[
    "none",
    "reset-before",
    "end-before",
    "page-before",
    "refuse-before",
    "offline-before",
    "proxy-refuses",
    "reset-after",
    "end-after",
    "cut-after",
    "page-after",
    "garbage-after",
    "stall-after",
]
"""The fault of one request.

``before``: the request does not reach the server. ``after``: it does, and the answer is lost or
changed. ``page`` is a proxy's 502. ``refuse`` is a 429 in the API's own form, ``proxy-refuses`` one
in another form. ``offline`` is the API's own error for a device that is not connected."""

NETWORK_FAULTS: tuple[NetworkFault, ...] = get_args(NetworkFault)

_PAGE = answer(502, b"<html><h1>Bad gateway</h1></html>", "Content-Type: text/html")
_REFUSAL = answer(
    429,
    b'{"error": {"code": "rate_limited", "message": "slow down", "request_id": "req_0"}}',
    "Retry-After: 0",
)
_OFFLINE = answer(
    409, b'{"error": {"code": "device_offline", "message": "not there", "request_id": "req_0"}}'
)
_PROXY_REFUSAL = answer(429, b"<html>slow down</html>", "Content-Type: text/html", "Retry-After: 0")
_PAGES: dict[NetworkFault, bytes] = {
    "page-before": _PAGE,
    "refuse-before": _REFUSAL,
    "offline-before": _OFFLINE,
    "proxy-refuses": _PROXY_REFUSAL,
}
TRANSIENT_FAULTS: tuple[NetworkFault, ...] = tuple(
    fault
    for fault in NETWORK_FAULTS
    if fault not in ("none", "stall-after", "garbage-after", "offline-before")
)
"""The faults after which a read succeeds with another attempt, soon."""


class FaultProxy:
    """A proxy in front of one server.

    Args:
        upstream: port of the server, on 127.0.0.1.
        choose: returns the fault of the next request.

    Attributes:
        injected: how often each fault was injected.
    """

    def __init__(self, upstream: int, choose: Callable[[], NetworkFault]) -> None:
        self.injected: dict[NetworkFault, int] = {}
        self._upstream = upstream
        self._choose = choose
        self._server = RawServer(self._play, keep_requests=False)

    async def __aenter__(self) -> Self:
        await self._server.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._server.__aexit__(kind, error, traceback)

    @property
    def url(self) -> str:
        """The proxy's base URL."""
        return self._server.url

    async def _play(self, peer: Peer) -> None:
        while True:
            request = await peer.request()
            fault = self._choose()
            self.injected[fault] = self.injected.get(fault, 0) + 1
            if not await self._inject(fault, request, peer):
                return

    async def _inject(self, fault: NetworkFault, request: RawRequest, peer: Peer) -> bool:
        """Inject a fault; returns whether the connection goes on."""
        if fault in _PAGES:
            await peer.send(_PAGES[fault])
            return True
        answered = b"" if fault.endswith("before") else await self._forward(request)
        match fault:
            case "none":
                await peer.send(answered)
                return True
            case "page-after":
                await peer.send(_PAGE)
                return True
            case "garbage-after":
                await peer.send(answer(200, b'{"this is": not json'))
                return True
            case "reset-before" | "reset-after":
                peer.reset()
            case "cut-after":
                await peer.send(answered[: len(answered) - 5])
                peer.finish()
            case "stall-after":
                try:
                    await peer.stall()
                except ClientClosedError:
                    peer.finish()
            case _:
                peer.finish()
        return False

    async def _forward(self, request: RawRequest) -> bytes:
        """The server's whole answer."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self._upstream)
        try:
            lines = request.head.split(b"\r\n")[:-2]
            kept = [
                line for line in lines if not line.lower().startswith((b"host:", b"connection:"))
            ]
            host = b"Host: 127.0.0.1:%d" % self._upstream
            head = b"\r\n".join([*kept, host, b"Connection: close", b"", b""])
            writer.write(head + request.body)
            return await reader.read()
        finally:
            writer.close()
            await writer.wait_closed()
