"""One attempt as it is sent, and the interfaces of a transport."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol, runtime_checkable

from aiohttp import ClientMiddlewareType, ClientSession

from ..errors import ConfigurationError
from ..wire import Answer, Method


class Outgoing:
    """One attempt to send a request.

    Attributes:
        method: of HTTP.
        target: path and query, percent-encoded.
        headers: with the credential.
        body: None if the request has none.
        alone: whether the request needs a connection of its own, as a command does.
        kept: whether the connection that it was written to may have served an earlier request,
            so that what is read may be the rest of an earlier answer.
        may_have_left: whether a byte of the request may have been sent. It is True from the
            start: a transport that does not keep it is safe. A transport that knows better
            sets it to False, and back to True before the first byte is sent.
        version: of HTTP that the answer has, such as (1, 1); None if there is no answer, or
            the transport does not tell.
    """

    __slots__ = ("alone", "body", "headers", "kept", "may_have_left", "method", "target", "version")

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
        self.kept = False
        self.may_have_left = True
        self.version: tuple[int, int] | None = None


def check_target(target: str) -> None:
    """Refuse a target that could end the request line it stands in.

    Raises:
        ConfigurationError: a character is not visible ASCII.
    """
    if not target.isascii() or not target.isprintable() or " " in target:
        raise ConfigurationError("a request's target must be of visible ASCII")


@runtime_checkable
class Transport(Protocol):
    """Sends one attempt and returns its answer; `IottlySession(http=...)` takes one."""

    async def send(self, outgoing: Outgoing) -> Answer:
        """Send one attempt.

        Args:
            outgoing: the request; its `may_have_left` is read after a failure.

        Returns:
            The answer, whatever its status.

        Raises:
            TransportError: no answer arrived, or no whole one. An error with ``sent="no"``
                says that no byte was sent, and the request may be sent again.
        """
        ...

    async def aclose(self) -> None:
        """Close every connection."""
        ...


@runtime_checkable
class Upgrading(Protocol):
    """A transport that can open WebSockets too."""

    def for_upgrades(self, *middlewares: ClientMiddlewareType) -> ClientSession:
        """Make a session for WebSockets, with the transport's own connection settings.

        Args:
            middlewares: of aiohttp, for every request of the session.

        Returns:
            A session that is closed with the transport, or before.
        """
        ...
