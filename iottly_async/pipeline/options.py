"""What the rooms above see of a call: its options, its observer, and the counters."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Protocol, TypeVar

from attrs import define, frozen

from ..transport import Transport
from ..wire import Answer, Request, Route

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class Upgrade(Protocol[T_co]):
    """Opens a lasting connection."""

    async def __call__(
        self, transport: Transport, headers: Mapping[str, str]
    ) -> tuple[Answer, T_co | None]:
        """Send the request that opens the connection.

        Args:
            transport: of the session.
            headers: to send, without the credential, which is added here.

        Returns:
            The answer to the request, and the connection; None in its place if the service
            did not open one.

        Raises:
            TransportError: no answer arrived.
        """
        ...


class Requester(Protocol):
    """Makes one call; all that resources need of a session."""

    async def call(self, request: Request[T], *, patient: bool = False) -> T:
        """Make one call.

        Args:
            request: the call with its arguments.
            patient: whether the wait for quota is left out of the timeout, as for the pages
                of a walk, which may wait for many windows of the quota.

        Returns:
            The call's result.

        Raises:
            IottlyError: the call failed.
        """
        ...


class Observer(Protocol):
    """Makes a context manager for each call, which is entered around it."""

    def __call__(self, route: Route) -> AbstractContextManager[object]:
        """Make the context manager of one call.

        Args:
            route: which call it is.

        Returns:
            What is entered before the call and exited with its end or its error.
        """
        ...


@frozen(kw_only=True)
class Options:
    """What `IottlySession.with_options` sets.

    Attributes:
        timeout: seconds a call may take.
        priority: calls with a higher one get their permits first.
        observer: makes a context manager for each call; None makes none.
    """

    timeout: float
    priority: int = 0
    observer: Observer | None = None


@define
class Stats:
    """Counters of a session since it was made.

    Attributes:
        calls: calls begun.
        attempts: requests sent, or tried to send.
        retries: attempts after the first of a call, those after a 429 included.
        refusals: answers of 429.
        failures: calls that ended with an error; a cancelled call does not count.
        bytes_received: bytes of bodies, after decompression.
    """

    calls: int = 0
    attempts: int = 0
    retries: int = 0
    refusals: int = 0
    failures: int = 0
    bytes_received: int = 0
