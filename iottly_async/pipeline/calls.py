"""The sequence of one call, attempt after attempt, and who is told of each."""

from __future__ import annotations

import asyncio
import math
import os
from collections.abc import Callable, Coroutine
from typing import Any, Final, TypeVar

from .._version import __version__
from ..aio.deadlines import Deadline, Deadlines
from ..auth import ApiKey, Generation
from ..clock import Clock
from ..config import Config
from ..errors import (
    ApiError,
    CommandOutcomeUnknownError,
    ConfigurationError,
    DecodeError,
    IottlyError,
    ProtocolError,
    RateLimitedError,
    SessionClosedError,
    TransportError,
)
from ..ratelimit import Limiter, Permit
from ..retry import Failure, RetryBudget, decide
from ..transport import Outgoing, Transport
from ..wire import Answer, Request, read_answer
from .call_state import CallState, closed, ended, failure_of, final
from .options import Options, Stats, Upgrade

T = TypeVar("T")

_MAY_HAVE_LEFT: Final = (
    "iottly-async: the command may have reached the device when this was cancelled"
)
_LATENCY_WEIGHT: Final = 0.1
_QUOTA_WINDOW: Final = 60.0  # seconds; the documents give every quota by the minute


class Pipeline:
    """Makes calls; one a session, shared by its views."""

    def __init__(
        self, config: Config, key: ApiKey, transport: Transport, limiter: Limiter, clock: Clock
    ) -> None:
        self.config = config
        self.limiter = limiter
        self.stats = Stats()
        self._key = key
        self._transport = transport
        self._clock = clock
        self._budget = RetryBudget(config.retry.budget)
        self._deadlines = Deadlines()
        self._latency = 0.0
        self._fed: tuple[int, int | None] = (-1, None)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._pid = os.getpid()
        common = {"Accept": "application/json", "User-Agent": f"iottly-async/{__version__}"}
        generations: tuple[Generation, ...] = ("v1.0", "v1")
        self._headers = {name: {**common, **key.headers(name)} for name in generations}
        self._with_body = {
            name: {**headers, "Content-Type": "application/json"}
            for name, headers in self._headers.items()
        }

    async def call(self, request: Request[T], options: Options, *, patient: bool = False) -> T:
        """The result of a call; see `Requester.call`."""
        self._check_usable()
        self.stats.calls += 1
        course = CallState()
        deadline = self._deadlines.scope(options.timeout, suspended=patient)
        try:
            with deadline:
                return await self._attempts(request, options, patient, deadline, course)
        except (TimeoutError, TransportError, CommandOutcomeUnknownError) as error:
            self._note_failure(error, course)
            # 1. Whatever a closing session does to a call, its caller is told of the closing.
            # 2. An attempt's error is told as it is; the scope's own becomes one of ours.
            if not deadline.closed and (isinstance(error, IottlyError) or not deadline.expired()):
                raise
        except asyncio.CancelledError as error:
            if request.route.command and course.sent == "maybe":
                error.add_note(_MAY_HAVE_LEFT)
            raise
        except BaseException as error:
            self._note_failure(error, course)
            raise
        failed = ended(request, options, deadline, course)
        failed.attempts = course.attempts
        raise failed

    def _note_failure(self, error: BaseException, course: CallState) -> None:
        self.stats.failures += 1
        if isinstance(error, IottlyError):
            error.attempts = course.attempts

    async def _attempts(
        self,
        request: Request[T],
        options: Options,
        patient: bool,
        deadline: Deadline,
        course: CallState,
    ) -> T:
        refusal: IottlyError | None = None
        while True:
            ticket = await self._turn(options, patient, deadline, refusal)
            try:
                result = read_answer(request, await self._attempt(request, ticket, course))
            except (TransportError, ApiError, DecodeError) as error:
                failed, failure = error, failure_of(error, course)
            else:
                self._budget.earn(course.paid)
                return result
            pause = self._pause(request, failure, course, deadline)
            if pause is None:
                raise final(request, failed, failure)
            self.stats.retries += 1
            refusal = failed if failure.status == 429 else None
            course.settle(not_taken=request.route.command)
            if deadline.closed:
                raise closed(course)
            if pause > 0:
                await self._clock.sleep(pause)

    async def _turn(
        self, options: Options, patient: bool, deadline: Deadline, refusal: IottlyError | None
    ) -> Permit:
        """A token for one attempt; `refusal` is the 429 that the last attempt met."""
        if patient:
            deadline.suspend()
        # A user's click does not wait behind a backfill.
        priority = options.priority - (1 if patient else 0)
        try:
            return await self.limiter.acquire(
                priority=priority,
                deadline=None if deadline.at == math.inf else deadline.at,
                refused=refusal is not None,
            )
        except RateLimitedError as late:
            if refusal is None:
                raise
            # The service's own answer tells more; only when there is a turn is new.
            if late.retry_after is not None:
                refusal.retry_after = late.retry_after
        finally:
            deadline.resume()
        raise refusal

    async def _attempt(self, request: Request[T], ticket: Permit, course: CallState) -> Answer:
        """One attempt, which spends one token, and tells the limiter what became of it."""
        route = request.route
        headers = self._headers if request.body is None else self._with_body
        outgoing = Outgoing(
            route.method,
            request.target,
            headers[route.generation],
            request.body,
            alone=route.command,
        )
        course.outgoing, course.answer = outgoing, None
        course.attempts += 1
        self.stats.attempts += 1
        begun = self._clock.monotonic()
        try:
            answer = await self._transport.send(outgoing)
        except BaseException as error:
            if isinstance(error, TransportError) and error.sent == "no":
                outgoing.may_have_left = False
            if outgoing.may_have_left:
                self.limiter.lost(ticket)
            else:
                self.limiter.unused(ticket)
            raise
        self.limiter.answered(ticket, answer.status, answer.headers)
        self._latency += (self._clock.monotonic() - begun - self._latency) * _LATENCY_WEIGHT
        self.stats.bytes_received += len(answer.body)
        if answer.status == 429:
            course.refusals += 1
            self.stats.refusals += 1
        if answer.status >= 300:
            answer = self._scrubbed(answer)
        course.answer = answer
        return answer

    def _pause(
        self, request: Request[T], failure: Failure, course: CallState, deadline: Deadline
    ) -> float | None:
        """Seconds before the next attempt; None where there is none."""
        policy = self.config.retry
        attempt = course.attempts - course.refusals
        pause = decide(failure, request.route, attempt, policy, self._clock.random)
        if pause is None:
            return None
        if failure.status == 429:
            return pause if course.refusals <= policy.max_refusals else None
        at = deadline.at
        if not deadline.closed and self._clock.monotonic() + pause >= at:
            return None
        paid = self._budget.spend(timed_out=failure.timed_out)
        course.paid += paid
        return pause if paid else None

    def capacity(self) -> int | None:
        """Requests at once that the quota can feed; None where it sets no bound.

        What is left of the window can all go at once; beyond that, what the rate
        allows is under way for the latency of one request (Little's law). Walks ask some
        six times a request; it is looked up once for each.
        """
        if self._fed[0] != self.stats.attempts:
            self._fed = self.stats.attempts, self._feeds()
        return self._fed[1]

    def _feeds(self) -> int | None:
        quota = self.limiter.quota()
        if quota.limit is None or quota.remaining is None:
            return None
        steady = math.ceil(quota.limit / _QUOTA_WINDOW * self._latency) + 1
        return max(quota.remaining, steady)

    async def pause(self, seconds: float) -> None:
        """Wait so many seconds, between two calls that belong together.

        Raises:
            SessionClosedError: the session closed meanwhile.
        """
        await self.hold(lambda: self._clock.sleep(seconds), lasting=False)

    async def hold(self, work: Callable[[], Coroutine[Any, Any, T]], *, lasting: bool = True) -> T:
        """The result of `work`, which ends at the latest when the session closes.

        Args:
            work: makes what to await.
            lasting: whether it has no end of its own, so that closing does not wait for it.

        Raises:
            SessionClosedError: the session is closed, or closed meanwhile.
        """
        self._check_usable()
        scope = self._deadlines.scope(lasting=lasting)
        try:
            with scope:
                return await work()
        except TimeoutError:
            if not scope.expired():
                raise
        raise SessionClosedError("the session was closed during this wait", sent="no")

    async def dial(self, request: Request[Any], options: Options, upgrade: Upgrade[T]) -> T:
        """A lasting connection, opened by one request within the quota and with the key.

        Args:
            request: which address; its answer is read only where it is an error.
            options: of the session; its timeout is the time that opening may take.
            upgrade: opens it, by a transport and the headers to send.

        Raises:
            ApiError, TransportError: the service refused, or was not reached.
        """
        self._check_usable()
        deadline = self._clock.monotonic() + options.timeout
        ticket = await self.limiter.acquire(priority=options.priority, deadline=deadline)
        self.stats.attempts += 1
        try:
            answer, connection = await upgrade(
                self._transport, self._headers[request.route.generation]
            )
        except BaseException as error:
            if isinstance(error, TransportError) and error.sent == "no":
                self.limiter.unused(ticket)
            else:
                self.limiter.lost(ticket)
            raise
        self.limiter.answered(ticket, answer.status, answer.headers)
        if connection is not None:
            return connection
        read_answer(request, self._scrubbed(answer))
        raise ProtocolError(
            f"{request.route.name}: the service answered {answer.status} and did not upgrade",
            status=answer.status,
            sent="maybe",
        )

    def _scrubbed(self, answer: Answer) -> Answer:
        """An error answer without the key: some services repeat what they were sent."""
        headers: dict[str, str] = {}
        for name, value in answer.headers.items():
            headers.setdefault(name.lower(), self._key.hidden_in(value))
        body = answer.body.decode("latin-1")  # any bytes, there and back
        return Answer(answer.status, headers, self._key.hidden_in(body).encode("latin-1"))

    @property
    def unclosed(self) -> bool:
        """Whether it was used, by this process, and is not closed."""
        used = self._loop is not None and self._pid == os.getpid()
        return used and not self._deadlines.closing

    def _check_usable(self) -> None:
        if self._deadlines.closing:
            raise SessionClosedError("the session is closed; open another", sent="no")
        self._check_home()

    def _check_home(self) -> None:
        loop = asyncio.get_running_loop()
        if loop is self._loop:
            return  # no other process has this loop running
        if self._pid != os.getpid():
            raise ConfigurationError("the session was made before a fork; make one in each process")
        if self._loop is not None:
            raise ConfigurationError(
                "the session belongs to another event loop; make one within each asyncio.run()"
            )
        self._loop = loop

    async def aclose(self, grace: float) -> None:
        """End every call and close the transport; calls under way have `grace` seconds."""
        self._check_home()
        try:
            await self._deadlines.close(grace)
        finally:
            await self._transport.aclose()
