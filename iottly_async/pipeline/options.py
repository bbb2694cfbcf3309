"""What the rooms above see of a call: its options and the counters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol, TypeVar

from attrs import define, frozen

from ..transport import Transport
from ..wire import Answer, Request
from .hooks import Hooks

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

    async def call(self, request: Request[T], *, patience: float | None = None) -> T:
        """Make one call.

        Args:
            request: the call with its arguments.
            patience: None for a call that somebody waits for. A number is for work that goes
                by itself, such as the pages of a walk: failures that pass are waited out for
                so many seconds, without end if it is inf (D18). The wait for quota does not
                count, nor does it for the timeout.

        Returns:
            The call's result.

        Raises:
            IottlyError: the call failed.
        """
        ...


@frozen(kw_only=True)
class Options:
    """What `IottlySession.with_options` sets.

    Attributes:
        timeout: seconds a call may take.
        priority: calls with a higher one get their permits first.
        hooks: called with what happens to a call.
    """

    timeout: float
    priority: int = 0
    hooks: tuple[Hooks, ...] = ()


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
