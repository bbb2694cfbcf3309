"""What goes out, and what a transport is: no library's names but one type of aiohttp's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol, runtime_checkable

from aiohttp import ClientMiddlewareType, ClientSession

from ..errors import ConfigurationError
from ..wire import Answer, Method


class Outgoing:
    """One attempt: what is sent, and whether it may have left.

    Attributes:
        method, target, headers, body: the request; the target from the host on.
        alone: whether it needs a connection of its own, as a command does.
        left: whether a byte of it may have been sent; set by the transport.
    """

    __slots__ = ("alone", "body", "headers", "left", "method", "target")

    def __init__(
        self,
        method: Method,
        target: str,
        headers: Mapping[str, str],
        body: bytes | None = None,
        *,
        alone: bool = False,
    ) -> None:
        self.method = method
        self.target = target
        self.headers = headers
        self.body = body
        self.alone = alone
        self.left = False


def check_target(target: str) -> None:
    """Refuse what could end the line that it stands in.

    Raises:
        ConfigurationError: it is not of visible ASCII.
    """
    if not target.isascii() or not target.isprintable() or " " in target:
        raise ConfigurationError("a request's target must be of visible ASCII")


@runtime_checkable
class Transport(Protocol):
    """Sends one attempt and returns its answer; what `IottlySession(http=...)` may be."""

    async def send(self, outgoing: Outgoing) -> Answer:
        """The answer, whatever its status; sets `outgoing.left` before a byte is sent.

        Raises:
            TransportError: there is no answer, or no whole one.
        """
        ...

    async def aclose(self) -> None:
        """Close every connection."""
        ...


@runtime_checkable
class Upgrading(Protocol):
    """A transport that can open WebSockets too."""

    def for_upgrades(self, *middlewares: ClientMiddlewareType) -> ClientSession:
        """A session with the transport's own connection settings; closed with it, or before."""
        ...
