"""One call: deadline, retries, quota, transport, answer, in that order.

Each hop is another room's; here is only their sequence, and who is told what when
one of them fails.
"""

from __future__ import annotations

import asyncio
import math
import os
from collections.abc import Coroutine, Mapping
from typing import Any, Protocol, TypeVar

from attrs import define, evolve, frozen

from ._version import __version__
from .auth import ApiKey, Generation
from .clock import Clock
from .config import Config
from .deadlines import Deadline, Deadlines
from .errors import (
    ApiError,
    CommandOutcomeUnknownError,
    ConfigurationError,
    DeadlineExceededError,
    DecodeError,
    IottlyError,
    ProtocolError,
    RateLimitedError,
    ResponseTooLargeError,
    Sent,
    SessionClosedError,
    TLSError,
    TransportError,
)
from .ratelimit import Limiter, Ticket
from .retry import Failure, RetryBudget, decide
from .transport import Outgoing, Transport
from .wire import Answer, Request, is_api_error, read_answer

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

_MAY_HAVE_LEFT = "iottly-async: the command may have reached the device when this was cancelled"
_LATENCY_WEIGHT = 0.1
_QUOTA_WINDOW = 60.0  # seconds; the documents give every quota by the minute
_LASTING = (TLSError, ProtocolError, ResponseTooLargeError)


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


@frozen(kw_only=True)
class Options:
    """What `IottlySession.with_options` sets: seconds a call, and its priority."""

    timeout: float
    priority: int = 0


@define
class Stats:
    """Counters of a session since it was made.

    Attributes:
        calls: calls begun.
        attempts: requests sent, or tried to.
        retries: attempts after the first of a call, those after a 429 included.
        refusals: answers of 429.
        failures: calls that ended in an error.
        bytes_received: of bodies, decoded.
    """

    calls: int = 0
    attempts: int = 0
    retries: int = 0
    refusals: int = 0
    failures: int = 0
    bytes_received: int = 0


class _Course:
    """How far one call is: what its errors tell."""

    __slots__ = ("answer", "attempts", "left", "outgoing", "paid", "refusals")

    def __init__(self) -> None:
        self.attempts = 0
        self.refusals = 0
        self.paid = 0
        self.outgoing: Outgoing | None = None
        self.answer: Answer | None = None
        self.left = False

    @property
    def sent(self) -> Sent:
        """Whether the call, as far as it got, may have reached the service."""
        under_way = self.outgoing is not None and self.outgoing.left
        return "maybe" if self.left or under_way else "no"

    def settle(self, *, not_taken: bool) -> None:
        """The attempt under way failed; `not_taken` when the service surely did not act."""
        self.left = self.sent == "maybe" and not not_taken
        self.outgoing = None


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
        course = _Course()
        deadline = self._deadlines.scope(options.timeout, suspended=patient)
        try:
            async with deadline:
                return await self._attempts(request, options, patient, deadline, course)
        except (TimeoutError, TransportError, CommandOutcomeUnknownError) as error:
            self._note_failure(error, course)
            # 1. Whatever a closing session does to a call, its caller is told of the closing.
            # 2. An attempt's error is told as it is; the scope's own becomes one of ours.
            if not deadline.closed and (isinstance(error, IottlyError) or not deadline.expired()):
                raise
        except asyncio.CancelledError as error:
            self._note_failure(error, course)
            if request.route.command and course.sent == "maybe":
                error.add_note(_MAY_HAVE_LEFT)
            raise
        except BaseException as error:
            self._note_failure(error, course)
            raise
        ended = _ended(request, options, deadline, course)
        ended.attempts = course.attempts
        raise ended

    def _note_failure(self, error: BaseException, course: _Course) -> None:
        self.stats.failures += 1
        if isinstance(error, IottlyError):
            error.attempts = course.attempts

    async def _attempts(
        self,
        request: Request[T],
        options: Options,
        patient: bool,
        deadline: Deadline,
        course: _Course,
    ) -> T:
        refusal: IottlyError | None = None
        while True:
            ticket = await self._turn(options, patient, deadline, refusal)
            try:
                result = read_answer(request, await self._attempt(request, ticket, course))
            except (TransportError, ApiError, DecodeError) as error:
                failed, failure = error, _failure(error, course)
            else:
                self._budget.earn(course.paid)
                return result
            pause = self._pause(request, failure, course, deadline)
            if pause is None:
                raise _final(request, failed, failure)
            self.stats.retries += 1
            refusal = failed if failure.status == 429 else None
            course.settle(not_taken=request.route.command)
            if deadline.closed:
                raise _closed(course)
            if pause > 0:
                await self._clock.sleep(pause)

    async def _turn(
        self, options: Options, patient: bool, deadline: Deadline, refusal: IottlyError | None
    ) -> Ticket:
        """A token for one attempt; `refusal` is the 429 that the last attempt met."""
        if patient:
            deadline.suspend()
        # A user's click does not wait behind a backfill.
        priority = options.priority - (1 if patient else 0)
        try:
            return await self.limiter.acquire(
                priority=priority, deadline=deadline.at, refused=refusal is not None
            )
        except RateLimitedError as late:
            if refusal is None:
                raise
            # The service's own answer tells more; only when there is a turn is new.
            refusal.retry_after = late.retry_after
        finally:
            deadline.resume()
        raise refusal

    async def _attempt(self, request: Request[T], ticket: Ticket, course: _Course) -> Answer:
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
        except BaseException:
            if outgoing.left:
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
            answer = evolve(answer, body=self._key.scrubbed(answer.body))
        course.answer = answer
        return answer

    def _pause(
        self, request: Request[T], failure: Failure, course: _Course, deadline: Deadline
    ) -> float | None:
        """Seconds before the next attempt; None where there is none."""
        policy = self.config.retry
        pause = decide(failure, request.route, course.attempts - course.refusals, policy)
        if pause is None:
            return None
        if failure.status == 429:
            return pause if course.refusals <= policy.max_refusals else None
        at = deadline.at
        if at is not None and not deadline.closed and self._clock.monotonic() + pause >= at:
            return None
        paid = self._budget.spend(timed_out=failure.timed_out)
        course.paid += paid
        return pause if paid else None

    def capacity(self) -> int | None:
        """Requests at once that the quota can feed; None where it sets no bound.

        What is left of the window can all go at once; beyond that, what the rate
        allows is under way for the latency of one request (Little's law).
        """
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
        await self.hold(self._clock.sleep(seconds), lasting=False)

    async def hold(self, work: Coroutine[Any, Any, T], *, lasting: bool = True) -> T:
        """The result of `work`, which ends at the latest when the session closes.

        Args:
            work: what to await.
            lasting: whether it has no end of its own, so that closing does not wait for it.

        Raises:
            SessionClosedError: the session is closed, or closed meanwhile.
        """
        try:
            self._check_usable()
        except IottlyError:
            work.close()
            raise
        scope = self._deadlines.scope(None, lasting=lasting)
        try:
            async with scope:
                return await work
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
        read_answer(request, evolve(answer, body=self._key.scrubbed(answer.body)))
        raise ProtocolError(
            f"{request.route.name}: the service answered {answer.status} and did not upgrade",
            status=answer.status,
            sent="maybe",
        )

    def _check_usable(self) -> None:
        if self._deadlines.closing:
            raise SessionClosedError("the session is closed; open another", sent="no")
        self._check_home()

    def _check_home(self) -> None:
        if self._pid != os.getpid():
            raise ConfigurationError("the session was made before a fork; make one in each process")
        loop = asyncio.get_running_loop()
        if self._loop is None:
            self._loop = loop
        if self._loop is not loop:
            raise ConfigurationError(
                "the session belongs to another event loop; make one within each asyncio.run()"
            )

    async def aclose(self, grace: float) -> None:
        """End every call and close the transport; calls under way have `grace` seconds."""
        self._check_home()
        try:
            await self._deadlines.close(grace)
        finally:
            await self._transport.aclose()


def _failure(error: IottlyError, course: _Course) -> Failure:
    if isinstance(error, TransportError):
        return Failure(
            sent=course.sent,
            timed_out=isinstance(error, DeadlineExceededError),
            lasting=isinstance(error, _LASTING),
        )
    answer = course.answer
    return Failure(
        status=error.status,
        sent="yes",
        retry_after=error.retry_after,
        from_api=answer is not None and is_api_error(answer),
        lasting=isinstance(error, DecodeError),
    )


def _final(request: Request[T], error: IottlyError, failure: Failure) -> IottlyError:
    """The error to raise for a call's last failure."""
    route = request.route
    if isinstance(error, DecodeError):
        error.sent = "yes"
        error.args = (f"{route.name}: {error} at {error.path}",)
    if not route.command or failure.sent == "no" or _refused(failure):
        return error
    return _unknown(request, error)


def _refused(failure: Failure) -> bool:
    """Whether the answer to a command says that it was not taken."""
    if failure.status is None or failure.status == 408:
        return False
    return 300 <= failure.status < 500 and (failure.status != 429 or failure.from_api)


def _unknown(request: Request[T], error: IottlyError) -> CommandOutcomeUnknownError:
    unknown = CommandOutcomeUnknownError(
        f"{request.route.name}: the device may or may not have got the command, "
        "and it was not sent again",
        status=error.status,
        code=error.code,
        request_id=error.request_id,
        retry_after=error.retry_after,
    )
    unknown.__cause__ = error
    return unknown


def _closed(course: _Course) -> SessionClosedError:
    return SessionClosedError("the session was closed during this call", sent=course.sent)


def _ended(
    request: Request[T], options: Options, deadline: Deadline, course: _Course
) -> IottlyError:
    """The error of a call that its scope ended: its time was up, or the session closed."""
    if deadline.closed:
        return _closed(course)
    error = DeadlineExceededError(
        f"{request.route.name}: not done within timeout, {options.timeout:g} s", sent=course.sent
    )
    command_left = request.route.command and course.sent == "maybe"
    return _unknown(request, error) if command_left else error
