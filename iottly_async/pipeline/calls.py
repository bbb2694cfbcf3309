"""The steps of one call.

`Pipeline.call` sets the deadline, `_call_with_retries` repeats `_acquire_permit` and
`Attempts.send` until the call is done, and `_retry_delay` says whether and when to try again.

A call is patient if nobody waits for it, as the pages of a walk (D18). Its patience then bounds
it instead of the timeout and the retry policy, and during an outage it waits in the session's
circuit (`outage`).
"""

from __future__ import annotations

import asyncio
import math
import os
from collections.abc import Callable, Coroutine
from copy import copy
from typing import Any, Final, TypeVar

from ..aio.deadlines import Deadline, Deadlines
from ..auth import ApiKey
from ..clock import Clock
from ..config import Config
from ..errors import (
    ApiError,
    CommandOutcomeUnknownError,
    ConnectError,
    DecodeError,
    IottlyError,
    ProtocolError,
    RateLimitedError,
    SessionClosedError,
    SetupError,
    TransportError,
)
from ..models import Outage
from ..ratelimit import Limiter, Permit
from ..retry import (
    Failure,
    RetryBudget,
    decide,
    is_passing,
    is_unreadable,
    surely_not_taken,
)
from ..transport import Transport
from ..wire import Answer, Request, Route, read_answer
from .attempts import Attempts
from .call_state import CallState
from .hooks import (
    CallEvent,
    WaitEvent,
    notify,
)
from .notices import Notices
from .options import Options, Stats, Upgrade
from .outage import OutageCircuit
from .outcome import closed_error, ended_error, failure_of, final_error
from .patience import Patience
from .quota_waits import QuotaWaits

T = TypeVar("T")

_WAIT_SHOWN: Final = 1.0
"""Seconds of a wait for quota beyond which hooks are told."""

_MAY_HAVE_LEFT: Final = (
    "iottly-async: the command may have reached the device when this was cancelled"
)
_QUOTA_WINDOW: Final = 60.0
"""Seconds of the documented window, which are assumed until the limiter has learned it."""


class Pipeline:
    """Makes the calls of one session; the session's views share it.

    Args:
        config: the settings.
        key: goes into the headers of every request.
        transport: sends one attempt.
        limiter: gives a permit for each attempt.
        clock: time and chance.

    Attributes:
        config: the settings.
        key: the credential; it shows itself nowhere.
        limiter: gives a permit for each attempt.
        notices: log lines and events about the session's calls.
        stats: counters since the session was made.
    """

    def __init__(
        self, config: Config, key: ApiKey, transport: Transport, limiter: Limiter, clock: Clock
    ) -> None:
        self.config = config
        self.limiter = limiter
        self.stats = Stats()
        self.key = key
        self._clock = clock
        self._budget = RetryBudget(config.retry.budget)
        self._deadlines = Deadlines()
        self._attempts = Attempts(
            config,
            key,
            transport,
            limiter,
            clock=clock,
            deadlines=self._deadlines,
            stats=self.stats,
        )
        self._circuit = OutageCircuit(clock)
        self._quota_waits = QuotaWaits(clock, limiter.quota)
        self.notices = Notices(key, clock)
        self._capacity: int | None = None
        self._capacity_at = -1
        self._loop: asyncio.AbstractEventLoop | None = None
        self._pid = os.getpid()

    @property
    def outage(self) -> Outage | None:
        """The outage of the service that goes on; None if there is none."""
        return self._circuit.outage

    async def call(
        self,
        request: Request[T],
        options: Options,
        *,
        patience: float | None = None,
        state: CallState | None = None,
    ) -> T:
        """Make one call.

        Args:
            request: the call with its arguments.
            options: its timeout, priority and hooks.
            patience: seconds for which failures that pass are waited out; 0 leaves only the
                wait for a permit out of the timeout. None for a call that somebody waits for.
            state: of the call, for a caller who reads it at the end; None makes one.

        Returns:
            The call's result.

        Raises:
            IottlyError: the call failed; its class says how.
        """
        if state is None:
            state = CallState()
            if options.hooks:
                return await self._call_with_hooks(request, options, patience, state)
        self._check_usable()
        self.stats.calls += 1
        seconds = options.timeout
        if patience:
            state.patience, seconds = Patience(patience), math.inf
        patient = patience is not None
        deadline = self._deadlines.scope(seconds, suspended=patient)
        try:
            with deadline:
                return await self._call_with_retries(request, options, patient, deadline, state)
        except (TimeoutError, TransportError, CommandOutcomeUnknownError) as error:
            self._note_failure(error, state)
            # An attempt's own error is raised as it is, unless the session closes: then every
            # call ends with the error for that. So does a call that its deadline ended.
            if not deadline.closed and (isinstance(error, IottlyError) or not deadline.expired()):
                raise
        except asyncio.CancelledError as error:
            if request.route.command and state.sent == "maybe":
                error.add_note(_MAY_HAVE_LEFT)
            raise
        except BaseException as error:
            self._note_failure(error, state)
            raise
        finally:
            self._circuit.leave(state.outcomes)
        failed = ended_error(request, options, deadline, state)
        failed.attempts = state.attempts
        raise failed

    async def _call_with_hooks(
        self, request: Request[T], options: Options, patience: float | None, state: CallState
    ) -> T:
        """Make one call, and tell the hooks how it ended."""
        begun = self._clock.monotonic()
        failed: BaseException | None = None
        try:
            return await self.call(request, options, patience=patience, state=state)
        except BaseException as error:
            failed = error
            raise
        finally:
            event = CallEvent(
                request.route.template,
                state.attempts,
                failed.status if isinstance(failed, IottlyError) else None,
                self._clock.monotonic() - begun,
                None if failed is None else type(failed).__name__,
            )
            notify(options.hooks[::-1], event)

    def _note_failure(self, error: BaseException, state: CallState) -> None:
        self.stats.failures += 1
        if isinstance(error, IottlyError):
            error.attempts = state.attempts

    async def _call_with_retries(
        self,
        request: Request[T],
        options: Options,
        patient: bool,
        deadline: Deadline,
        state: CallState,
    ) -> T:
        refusal: IottlyError | None = None
        while True:
            if not self._may_send(state):
                await self._wait_for_service(state)
            permit = await self._acquire_permit(
                request.route, options, patient, deadline, state, refusal
            )
            if not self._may_send(state):
                self.limiter.unused(permit)  # an outage began in the meantime
                continue
            try:
                result = read_answer(
                    request, await self._attempts.send(request, options, permit, state)
                )
            except (TransportError, ApiError, DecodeError) as error:
                failed, failure = error, failure_of(error, state)
            else:
                self._budget.earn(state.paid)
                self._report_answer(state)
                return result
            if failure.stray:
                state.strays += 1
            else:
                self._report_failure(request.route, failed, state)
            delay = self._retry_delay(request, failed, failure, state, deadline)
            if delay is None:
                raise final_error(request, failed, failure, self._shown(request, state))
            self.stats.retries += 1
            patient_delay = state.patience is not None and failure.status != 429
            until = max(delay, self._circuit.probe_in()) if patient_delay else delay
            self.notices.retry(request.route, options.hooks, failed, until, state)
            refusal = failed if failure.status == 429 else None
            state.attempt_failed(not_taken=request.route.command)
            if deadline.closed:
                raise closed_error(state)
            if delay > 0:
                await self._clock.sleep(delay)

    def _report_answer(self, state: CallState) -> None:
        """Tell the outage circuit that the service has answered."""
        ended = self._circuit.succeeded(state.sent_at)
        if ended is not None:
            self.notices.outage_ended(ended)

    def _report_failure(self, route: Route, error: IottlyError, state: CallState) -> None:
        """Tell the outage circuit what a failed attempt says about the service."""
        if error.status == 429 or self._is_mistyped(error):
            return  # the limiter's business; the caller's mistake
        if is_unreadable(error):
            self._circuit.undecided(state.outcomes)
        elif is_passing(error):
            # A command that the service does not know may be a 500 too (D16).
            if not route.command or error.status is None:
                self._report_loss(error, state)
        elif isinstance(error, ApiError | DecodeError):
            self._report_answer(state)  # an answer, even if it is a refusal

    def _is_mistyped(self, error: IottlyError) -> bool:
        """Whether the host of `base_url` does not exist, and has never answered."""
        no_such_host = isinstance(error, ConnectError) and error.no_such_host
        return no_such_host and not self._attempts.reached

    def _report_loss(self, error: IottlyError, state: CallState) -> None:
        began = self._circuit.failed(state.outcomes, error)
        patience = state.patience
        seconds = self.config.patience if patience is None else patience.seconds
        if began is not None:
            self.notices.outage_began(began, error, seconds)
        elif (outage := self._circuit.outage) is not None:
            self.notices.outage_goes_on(outage, error, seconds)

    def _may_send(self, state: CallState) -> bool:
        """Whether a call may be sent: in an outage, a patient one only as the probe."""
        return state.patience is None or self._circuit.may_send(state.outcomes)

    async def _wait_for_service(self, state: CallState) -> None:
        """Wait until the outage is over, or this call is the probe.

        Raises:
            IottlyError: the patience is used up; the error is that of the last attempt.
        """
        circuit, patience, now = self._circuit, state.patience, self._clock.monotonic()
        seconds = math.inf if patience is None else patience.remaining(now)
        if await circuit.wait(state.outcomes, seconds):
            return
        error = state.outcomes.error
        if error is None:
            # This call was never sent. It ends with a copy of the error that the last one met.
            error = copy(circuit.error) or ConnectError("the service is away", sent="no")
        raise error

    async def _acquire_permit(
        self,
        route: Route,
        options: Options,
        patient: bool,
        deadline: Deadline,
        state: CallState,
        refusal: IottlyError | None,
    ) -> Permit:
        """Wait for a permit for one attempt; `refusal` is the 429 that the last one met."""
        if patient:
            deadline.suspend()
        # A call that somebody waits for goes before the pages of a walk.
        priority = options.priority - (1 if patient else 0)
        wait = self._quota_waits.begin(route.name)
        try:
            return await self.limiter.acquire(
                priority=priority,
                deadline=None if deadline.at == math.inf else deadline.at,
                refused=refusal is not None,
            )
        except RateLimitedError as late:
            if refusal is None:
                raise
            # The service's own answer says more; only the time of the next permit is new.
            if late.retry_after is not None:
                refusal.retry_after = late.retry_after
        finally:
            deadline.resume()
            waited = self._wait_ended(route, options, wait)
            if state.patience is not None:
                state.patience.add_quota_wait(waited)
        raise refusal

    def _wait_ended(self, route: Route, options: Options, wait: tuple[int, float]) -> float:
        """End a wait for quota; call the hooks if it was long, and return its seconds."""
        waited = self._quota_waits.end(wait)
        if waited > _WAIT_SHOWN and options.hooks:
            notify(options.hooks, WaitEvent(route.template, "quota", waited))
        return waited

    def _retry_delay(
        self,
        request: Request[T],
        error: IottlyError,
        failure: Failure,
        state: CallState,
        deadline: Deadline,
    ) -> float | None:
        """Seconds before the next attempt; None to give up."""
        if failure.stray:
            return 0.0
        if state.patience is not None:
            if self._is_mistyped(error):
                return None
            return self._patient_delay(request.route, error, failure, state, state.patience)
        policy = self.config.retry
        attempt = state.attempts - state.refusals - state.strays
        delay = decide(failure, request.route, attempt, policy, self._clock.random)
        if delay is None:
            return None
        if failure.status == 429:
            return delay if state.refusals <= policy.max_refusals else None
        if not deadline.closed and self._clock.monotonic() + delay >= deadline.at:
            return None
        paid = self._budget.spend(timed_out=failure.timed_out)
        state.paid += paid
        return delay if paid else None

    def _patient_delay(
        self,
        route: Route,
        error: IottlyError,
        failure: Failure,
        state: CallState,
        patience: Patience,
    ) -> float | None:
        """Seconds before the next attempt of a patient call; None to give up.

        In an outage the pause is 0: the circuit makes the call wait.
        """
        if route.command and not surely_not_taken(failure):
            return None
        now, policy = self._clock.monotonic(), self.config.retry
        if failure.status == 429:
            accepted = patience.accepts_refusal(now, state.refusals, policy.max_refusals)
            return 0.0 if accepted else None
        return patience.delay(
            error,
            state.outcomes.failures,
            now,
            outage=self._circuit.open,
            policy=policy,
            random=self._clock.random,
        )

    def capacity(self) -> int | None:
        """How many requests at once the quota can keep busy.

        All that remains of the window can be sent at once. Beyond that, as many requests are
        under way as the rate allows for the latency of one request (Little's law).

        Returns:
            A number of requests; None if the quota sets no limit.
        """
        # A walk asks some six times a request; the quota is looked up once for each request.
        if self._capacity_at != self.stats.attempts:
            self._capacity_at = self.stats.attempts
            self._capacity = self._capacity_now()
        return self._capacity

    def _capacity_now(self) -> int | None:
        quota = self.limiter.quota()
        if quota.limit is None or quota.remaining is None:
            return None
        steady = (
            math.ceil(quota.limit / (quota.window or _QUOTA_WINDOW) * self._attempts.latency) + 1
        )
        return max(quota.remaining, steady)

    async def pause(self, seconds: float) -> None:
        """Sleep between two calls that belong together.

        Args:
            seconds: how long.

        Raises:
            SessionClosedError: the session closed meanwhile.
        """
        await self.hold(lambda: self._clock.sleep(seconds), lasting=False)

    async def hold(self, work: Callable[[], Coroutine[Any, Any, T]], *, lasting: bool = True) -> T:
        """Run work that ends at the latest when the session closes.

        Args:
            work: makes the coroutine to await.
            lasting: whether the work has no end of its own, so that closing does not wait
                for it.

        Returns:
            The result of `work`.

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

    async def dial(
        self,
        request: Request[Any],
        options: Options,
        upgrade: Upgrade[T],
        *,
        metered: bool = True,
    ) -> T:
        """Open a lasting connection by one request.

        Args:
            request: the address; its answer is read only if it is an error.
            options: their timeout is the time that opening may take.
            upgrade: opens the connection, given a transport and the headers to send.
            metered: whether the request spends a permit. One to another host than the
                service's does not, because the quota is counted for a key and a host (D1).

        Returns:
            The connection.

        Raises:
            ApiError: the service refused.
            TransportError: the service was not reached, or did not upgrade.
        """
        self._check_usable()
        permit: Permit | None = None
        if metered:
            deadline = self._clock.monotonic() + options.timeout
            wait = self._quota_waits.begin(request.route.name)
            try:
                permit = await self.limiter.acquire(priority=options.priority, deadline=deadline)
            finally:
                self._wait_ended(request.route, options, wait)
        answer, connection = await self._attempts.upgrade(request.route, options, permit, upgrade)
        if connection is not None:
            return connection
        read_answer(request, answer)
        raise ProtocolError(
            f"{request.route.name}: the service answered {answer.status} and did not upgrade",
            status=answer.status,
            sent="maybe",
        )

    def _shown(self, request: Request[Any], state: CallState) -> Answer | None:
        """The answer to a command as an error may show it: without the key."""
        answer = state.answer
        return (
            self._attempts.redacted(answer)
            if answer is not None and request.route.command
            else None
        )

    @property
    def unclosed(self) -> bool:
        """Whether this process has used the pipeline and not closed it."""
        used = self._loop is not None and self._pid == os.getpid()
        return used and not self._deadlines.closing

    def _check_usable(self) -> None:
        if self._deadlines.closing:
            raise SessionClosedError("the session is closed; open another", sent="no")
        self._check_loop()

    def _check_loop(self) -> None:
        loop = asyncio.get_running_loop()
        if loop is self._loop:
            return  # this loop does not run in another process
        if self._pid != os.getpid():
            raise SetupError("the session was made before a fork; make one in each process")
        if self._loop is not None:
            raise SetupError(
                "the session belongs to another event loop; make one within each asyncio.run()"
            )
        self._loop = loop

    async def aclose(self, grace: float) -> None:
        """End every call and close the transport.

        Args:
            grace: seconds that calls under way may go on.
        """
        self._check_loop()
        try:
            await self._deadlines.close(grace)
        finally:
            self._quota_waits.close()
            await self._attempts.aclose()
