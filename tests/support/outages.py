"""A service that goes away and comes back, as a transport in virtual time."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any, TypeVar
from unittest.mock import patch

from iottly_async import (
    ConnectError,
    ConnectionLostError,
    DeadlineExceededError,
    Hooks,
    IottlySession,
    RateLimiter,
    RetryPolicy,
    TruncatedResponseError,
)
from iottly_async.transport import Outgoing
from iottly_async.wire import Answer, Request, Route
from tests.support.calls import session_on
from tests.support.leaks import tasks
from tests.support.virtual_time import VirtualLoop

T = TypeVar("T")

Failure = Callable[[], Awaitable[Answer]]

HTML = b"<html><body><h1>Bad Gateway</h1></body></html>"
OWN_ERROR = b'{"error": "database unavailable"}'

PAGE = Route("messages.page", "GET", "v1.0", "project/{project}/device/{device}/messages/paginated")
OTHER = Route("devices.list", "GET", "v1.0", "project/{project}/devices/props")


async def refused() -> Answer:
    """Refuse the connection."""
    raise ConnectError("refused", sent="no")


async def lost() -> Answer:
    """Lose the connection before an answer."""
    raise ConnectionLostError("lost", sent="maybe")


async def cut() -> Answer:
    """Lose the connection within an answer."""
    raise TruncatedResponseError("cut", sent="maybe")


async def silent() -> Answer:
    """Answer nothing until the attempt's time is over."""
    await asyncio.sleep(20.0)
    raise DeadlineExceededError("no answer within attempt_timeout, 20 s", sent="maybe")


def answers(status: int, body: bytes = HTML, **headers: str) -> Failure:
    """Answer a status, by default with a proxy's page."""

    async def failure() -> Answer:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return Answer(status, named, body)

    return failure


class Service:
    """A transport whose service is away from time to time.

    Args:
        outages: begin and end of each, in seconds from `begin`, or from when it was made.
        failure: what happens to a request while the service is away.
        latency: seconds until an answer.
        poison: part of a target that always fails, and how; none by default.
        headers: of its good answers.

    Attributes:
        sent: when each request was sent, in seconds from then.
        targets: of these requests.
        answered: when each good answer was given.
        failure: may be changed at any time, as `outages` may.
    """

    def __init__(
        self,
        *outages: tuple[float, float],
        failure: Failure = refused,
        latency: float = 0.25,
        poison: tuple[str, Failure] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self.headers = headers or {}
        self.sent: list[float] = []
        self.targets: list[str] = []
        self.answered: list[float] = []
        self.failure = failure
        self.outages = outages
        self._latency = latency
        self._poison = poison
        self._loop = asyncio.get_running_loop()
        self.begin()

    def begin(self) -> None:
        """Count time and requests from now on."""
        self._begun = self._loop.time()
        for each in (self.sent, self.targets, self.answered):
            each.clear()

    @property
    def now(self) -> float:
        """Seconds since it began."""
        return self._loop.time() - self._begun

    @property
    def away(self) -> bool:
        """Whether it is away at this moment."""
        return any(begin <= self.now < end for begin, end in self.outages)

    def sent_during(self, begin: float, end: float) -> int:
        """How many requests were sent in a time."""
        return sum(begin <= at < end for at in self.sent)

    def back_after(self, end: float) -> float:
        """Seconds from a time to the next good answer."""
        return next(at for at in self.answered if at >= end) - end

    async def send(self, outgoing: Outgoing) -> Answer:
        """Answer a request, unless the service is away now or is when the answer is due."""
        self.sent.append(self.now)
        self.targets.append(outgoing.target)
        outgoing.may_have_left = True
        if self._poison is not None and self._poison[0] in outgoing.target:
            await asyncio.sleep(self._latency)
            return await self._poison[1]()
        if self.away:
            return await self.failure()
        await asyncio.sleep(self._latency)
        if self.away:
            return await self.failure()
        self.answered.append(self.now)
        return Answer(200, self.headers, b"{}")

    async def aclose(self) -> None:
        """Nothing is open."""


def page(target: str = "/page") -> Request[str]:
    """A request whose result is its target."""
    return Request(PAGE, target, lambda _: target)


def with_service(
    use: Callable[[IottlySession, Service], Coroutine[Any, Any, T]],
    *outages: tuple[float, float],
    failure: Failure = refused,
    latency: float = 0.25,
    poison: tuple[str, Failure] | None = None,
    headers: Mapping[str, str] | None = None,
    hooks: Hooks | None = None,
    seed: int = 0,
    warm: bool = False,
    **settings: Any,
) -> T:
    """Run `use` with a session on such a service, in virtual time; nothing may be left over.

    A limiter sends one request at a time until it has an answer. With `warm` it has one.
    """

    async def main() -> T:
        service = Service(failure=failure, latency=latency, poison=poison, headers=headers)
        defaults: dict[str, Any] = {"retry": RetryPolicy(), "timeout": 60.0}
        async with session_on(
            "http://127.0.0.1:1",
            http=service,
            limiter=RateLimiter(),
            hooks=hooks,
            **(defaults | settings),
        ) as session:
            before = tasks()
            if warm:
                await session.call(page())
            service.outages = outages
            service.begin()
            result = await use(session, service)
            assert tasks() <= before
            quota = session.quota
            assert (quota.in_flight, quota.waiting) == (0, 0)
            return result

    with (
        asyncio.Runner(loop_factory=VirtualLoop) as runner,
        patch("time.monotonic", runner.get_loop().time),
        patch("iottly_async.clock.random.random", random.Random(seed).random),
    ):
        return runner.run(main())
