"""One attempt of a call: its headers, its permit's end, its events and its time limit."""

from __future__ import annotations

from typing import Any, Final, TypeVar

from .._version import __version__
from ..aio.deadlines import Deadlines
from ..auth import ApiKey, Generation
from ..clock import Clock
from ..config import Config
from ..errors import DeadlineExceededError, IottlyError, TransportError
from ..ratelimit import Limiter, Permit
from ..transport import AiohttpTransport, Outgoing, Transport
from ..wire import Answer, Request, Route
from .call_state import CallState
from .hooks import RequestEvent, ResponseEvent, notify
from .options import Options, Stats, Upgrade

T = TypeVar("T")

_LATENCY_WEIGHT: Final = 0.1
"""The weight of the last request in the moving average of latencies."""


class Attempts:
    """Sends the attempts of a session's calls.

    Args:
        config: the settings.
        key: goes into the headers of every request, and is taken out of every error answer.
        transport: sends one attempt.
        limiter: grants permits, and learns from each response.
        clock: the time.
        deadlines: of the session; closing ends an attempt too.
        stats: the session's counters.

    Attributes:
        latency: seconds from a request to its answer, as a moving average; 0 before the first.
        reached: whether any request was answered, by whatever status.
    """

    def __init__(
        self,
        config: Config,
        key: ApiKey,
        transport: Transport,
        limiter: Limiter,
        *,
        clock: Clock,
        deadlines: Deadlines,
        stats: Stats,
    ) -> None:
        self.latency = 0.0
        self.reached = False
        self._attempt_timeout = config.attempt_timeout
        self._key = key
        self._transport = transport
        # Another transport than the library's may have no time limit for an attempt.
        self._bounded = isinstance(transport, AiohttpTransport)
        self._limiter = limiter
        self._clock = clock
        self._deadlines = deadlines
        self._stats = stats
        common = {"Accept": "application/json", "User-Agent": f"iottly-async/{__version__}"}
        self._common_headers = common
        generations: tuple[Generation, ...] = ("v1.0", "v1")
        self._headers = {name: {**common, **key.headers(name)} for name in generations}
        self._with_body = {
            name: {**headers, "Content-Type": "application/json"}
            for name, headers in self._headers.items()
        }

    async def send(
        self, request: Request[Any], options: Options, permit: Permit, state: CallState
    ) -> Answer:
        """Make one attempt, and report to the limiter what became of its permit.

        Args:
            request: the call with its arguments.
            options: of the call.
            permit: for this attempt.
            state: of the call; the attempt is noted in it.

        Returns:
            The answer, whatever its status. That of an error is without the key.

        Raises:
            TransportError: no answer arrived.
        """
        route = request.route
        headers = self._headers if request.body is None else self._with_body
        outgoing = Outgoing(
            route.method,
            request.target,
            headers[route.generation],
            request.body,
            alone=route.command or state.strays > 0,
        )
        state.outgoing, state.answer = outgoing, None
        state.attempts += 1
        self._stats.attempts += 1
        state.sent_at = self._begun(route, options, state.attempts)
        try:
            if state.patience is None or self._bounded:
                answer = await self._transport.send(outgoing)
            else:
                answer = await self._send_within(
                    max(options.timeout, self._attempt_timeout), outgoing
                )
        except BaseException as error:
            if isinstance(error, TransportError) and error.sent == "no":
                outgoing.may_have_left = False
            if outgoing.may_have_left:
                self._limiter.lost(permit)
            else:
                self._limiter.unused(permit)
            self._ended(route, options, state.attempts, state.sent_at, error)
            raise
        self.reached = True
        self._limiter.answered(permit, answer.status, answer.headers)
        took = self._ended(route, options, state.attempts, state.sent_at, answer)
        self.latency += (took - self.latency) * _LATENCY_WEIGHT
        self._stats.bytes_received += len(answer.body)
        if answer.status == 429:
            state.refusals += 1
            self._stats.refusals += 1
        if answer.status >= 300:
            answer = self.redacted(answer)
        state.answer = answer
        return answer

    async def _send_within(self, seconds: float, outgoing: Outgoing) -> Answer:
        """Send an attempt of a call that has no deadline of its own."""
        limit = self._deadlines.scope(seconds)
        try:
            with limit:
                return await self._transport.send(outgoing)
        except TimeoutError as error:
            if limit.closed or not limit.expired() or isinstance(error, IottlyError):
                raise
        raise DeadlineExceededError(
            f"no answer within {seconds:g} s", sent="maybe" if outgoing.may_have_left else "no"
        )

    async def upgrade(
        self, route: Route, options: Options, permit: Permit | None, upgrade: Upgrade[T]
    ) -> tuple[Answer, T | None]:
        """Open a lasting connection by one request.

        Args:
            route: of the request.
            options: of the view that opens it.
            permit: for the request; None if it needs none.
            upgrade: opens the connection, given a transport and the headers to send.

        Returns:
            The answer, and the connection; None in its place if the service did not open one.
            That of an error is without the key.

        Raises:
            TransportError: no answer arrived.
        """
        self._stats.attempts += 1
        begun = self._begun(route, options, 1)
        try:
            answer, connection = await upgrade(self._transport, self._common_headers)
        except BaseException as error:
            if permit is not None and isinstance(error, TransportError) and error.sent == "no":
                self._limiter.unused(permit)
            elif permit is not None:
                self._limiter.lost(permit)
            self._ended(route, options, 1, begun, error)
            raise
        if permit is not None:
            self._limiter.answered(permit, answer.status, answer.headers)
        self._ended(route, options, 1, begun, answer)
        return answer if connection is not None else self.redacted(answer), connection

    def _begun(self, route: Route, options: Options, attempt: int) -> float:
        """Call the hooks for a request; return when it begins."""
        if options.hooks:
            notify(options.hooks, RequestEvent(route.template, attempt))
        return self._clock.monotonic()

    def _ended(
        self,
        route: Route,
        options: Options,
        attempt: int,
        begun: float,
        outcome: Answer | BaseException,
    ) -> float:
        """Call the hooks for what came of a request; return the seconds that it took."""
        took = self._clock.monotonic() - begun
        if options.hooks:
            status, error = None, None
            if isinstance(outcome, Answer):
                status = outcome.status
            else:
                error = type(outcome).__name__
            event = ResponseEvent(route.template, attempt, status, took, error)
            # In reverse, so that one which opened something within another's closes it first.
            notify(options.hooks[::-1], event)
        return took

    def redacted(self, answer: Answer) -> Answer:
        """An error answer without the key: some services repeat what they were sent.

        Args:
            answer: as it arrived.

        Returns:
            A copy, with the names of headers in lower case.
        """
        headers: dict[str, str] = {}
        for name, value in answer.headers.items():
            headers.setdefault(name.lower(), self._key.hidden_in(value))
        body = answer.body.decode("latin-1")  # any bytes, there and back
        return Answer(answer.status, headers, self._key.hidden_in(body).encode("latin-1"))

    async def aclose(self) -> None:
        """Close the transport."""
        await self._transport.aclose()
