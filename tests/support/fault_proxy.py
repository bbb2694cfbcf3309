"""A proxy that passes requests on to a real server, or does to them what networks do.

What befalls a request is chosen anew for each by a callable, so that a test decides: a
list that hypothesis shrinks, or a seeded chance. Each request is passed on by a
connection of its own, at most once.
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
"""What befalls a request. ``before``: it does not reach the server. ``after``: it did, and
its answer does not come back as it was. ``page`` is a proxy's 502; ``refuse`` a 429 in the
API's own form and ``proxy-refuses`` one in another; ``offline`` the API's own word that the
device is not connected."""

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
"""Those that another attempt of a read gets over, and quickly."""


class FaultProxy:
    """A proxy in front of one server.

    Args:
        upstream: port of the server, on 127.0.0.1.
        choose: what befalls the next request.

    Attributes:
        injected: how often each fault has struck.
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
        """Its base URL."""
        return self._server.url

    async def _play(self, peer: Peer) -> None:
        while True:
            heard = await peer.request()
            fault = self._choose()
            self.injected[fault] = self.injected.get(fault, 0) + 1
            if not await self._inject(fault, heard, peer):
                return

    async def _inject(self, fault: NetworkFault, heard: RawRequest, peer: Peer) -> bool:
        """Do it; whether the connection goes on."""
        if fault in _PAGES:
            await peer.send(_PAGES[fault])
            return True
        passed = b"" if fault.endswith("before") else await self._pass_on(heard)
        match fault:
            case "none":
                await peer.send(passed)
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
                await peer.send(passed[: len(passed) - 5])
                peer.finish()
            case "stall-after":
                try:
                    await peer.stall()
                except ClientClosedError:
                    peer.finish()
            case _:
                peer.finish()
        return False

    async def _pass_on(self, heard: RawRequest) -> bytes:
        """The server's answer, whole."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self._upstream)
        try:
            lines = heard.head.split(b"\r\n")[:-2]
            kept = [
                line for line in lines if not line.lower().startswith((b"host:", b"connection:"))
            ]
            host = b"Host: 127.0.0.1:%d" % self._upstream
            head = b"\r\n".join([*kept, host, b"Connection: close", b"", b""])
            writer.write(head + heard.body)
            return await reader.read()
        finally:
            writer.close()
            await writer.wait_closed()
