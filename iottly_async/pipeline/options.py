"""What the rooms above see of a call: who makes it, with which options, and its counters."""

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
        """The answer to the request that opens it, and the connection where it did.

        Raises:
            TransportError: there was no answer.
        """
        ...


class Requester(Protocol):
    """What resources need of a session: one call, made."""

    async def call(self, request: Request[T], *, patient: bool = False) -> T:
        """The result of a call, or one of the library's errors.

        Args:
            request: the call with its arguments.
            patient: whether waiting for quota is left out of the deadline, as for the
                pages of a walk, which may have to wait for many windows of the quota.
        """
        ...


class Observer(Protocol):
    """Told of each call, by being around it; it changes nothing about the call."""

    def __call__(self, route: Route) -> AbstractContextManager[object]:
        """What to enter before the call, and to leave with its end or its error."""
        ...


@frozen(kw_only=True)
class Options:
    """What `IottlySession.with_options` sets: seconds a call, its priority, who observes it."""

    timeout: float
    priority: int = 0
    observer: Observer | None = None


@define
class Stats:
    """Counters of a session since it was made.

    Attributes:
        calls: calls begun.
        attempts: requests sent, or tried to.
        retries: attempts after the first of a call, those after a 429 included.
        refusals: answers of 429.
        failures: calls that ended in an error; those that were cancelled are none.
        bytes_received: of bodies, decoded.
    """

    calls: int = 0
    attempts: int = 0
    retries: int = 0
    refusals: int = 0
    failures: int = 0
    bytes_received: int = 0
