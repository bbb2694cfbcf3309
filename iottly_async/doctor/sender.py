"""Sends the requests of a diagnosis, one at a time: the part that awaits.

A diagnosis needs the answer itself, whatever its status, and must not send more than it has
said. So its requests do not go through the retries of a call: each is one attempt, with a
permit of the session's limiter.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Final
from urllib.parse import parse_qsl

from attrs import evolve

from ..auth import ApiKey
from ..clock import SYSTEM_CLOCK
from ..errors import (
    ApiError,
    ConnectionLostError,
    DecodeError,
    IottlyError,
    RateLimitedError,
    SessionClosedError,
    SetupError,
)
from ..pipeline import Options, Pipeline
from ..stream.address import opening_frames, stream_address
from ..stream.build import connector
from ..stream.frames import Subscribed
from ..stream.options import StreamOptions
from ..stream.protocol import StreamProtocol
from ..transport import AiohttpTransport, Outgoing, Transport
from ..transport.websocket import WebSocketClosedError, WebSocketConnection
from ..wire import Answer, Request, target
from .evidence import Evidence, Exchange, StreamOutcome
from .plan import MOST_REPEATS, MOST_REQUESTS, STREAM, Step

_PASSING: Final = frozenset({408, 429, 500, 502, 503, 504})
_MOST_LOST: Final = 2
"""Requests in a row without an answer after which no further one is sent."""

_FRAME_WAIT: Final = 5.0
"""Seconds to wait for the frame that confirms the subscription."""

_GRACE: Final = 1.0
"""Seconds after which a transport that has not kept the time limit is cut off."""


class OutOfRequests(Exception):  # noqa: N818 - nothing is wrong; the diagnosis ends early
    """No further request can be sent; the text says why."""


class Sender:
    """Sends requests within the plan and the quota, and keeps what came of them.

    Args:
        pipeline: of the session.
        options: of the session; their timeout is replaced.
        evidence: gets each exchange.
        patience: seconds that all waits for quota may take together.
        time_limit: seconds after which no request is sent or waited for.
        on_request: called with the number of requests sent so far, after each; None calls
            nothing.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        options: Options,
        evidence: Evidence,
        patience: float,
        time_limit: float,
        on_request: Callable[[int], object] | None,
    ) -> None:
        self._pipeline = pipeline
        self._options = options
        self._evidence = evidence
        self._patience = patience
        self._time_limit = time_limit
        self._until = SYSTEM_CLOCK.monotonic() + time_limit
        self._on_request = on_request
        self._spent: dict[Step, int] = {}
        self._sent = self._repeats = self._lost = 0

    async def get(self, step: Step, path: Sequence[str], query: str = "") -> Exchange:
        """Send one request; once more if the service refuses or fails in passing.

        Args:
            step: of the plan.
            path: below the generation, percent-encoded.
            query: its parameters as they stand in the URL; "", the default, for none.

        Returns:
            What came of it.

        Raises:
            OutOfRequests: it could not be sent, or there were too many failures.
            SessionClosedError: the session was closed meanwhile.
        """
        address = target(step.route.generation, path) + (f"?{query}" if query else "")
        names = tuple(name for name, _ in parse_qsl(query, keep_blank_values=True))
        exchange = await self._exchange(step, address, names)
        if (exchange.answer is None or exchange.status in _PASSING) and (
            self._repeats < MOST_REPEATS
        ):
            self._repeats += 1
            exchange = await self._exchange(step, address, names)
        if self._lost >= _MOST_LOST:
            raise OutOfRequests(
                f"the service does not answer ({exchange.failure}); the error of a ping says more"
            )
        return exchange

    async def open_stream(self) -> StreamOutcome:
        """Open the WebSocket at the assumed address, and close it again (D9).

        Returns:
            What came of it.

        Raises:
            OutOfRequests: the request could not be sent.
            SessionClosedError: the session was closed meanwhile.
        """
        self._count(STREAM)
        begun = SYSTEM_CLOCK.monotonic()
        try:
            async with asyncio.timeout(self._time_left()):
                outcome = await self._open_stream()
        except TimeoutError:
            outcome = StreamOutcome("refused", "it was not opened in time")
        seconds = SYSTEM_CLOCK.monotonic() - begun
        return evolve(outcome, seconds=seconds)

    async def _open_stream(self) -> StreamOutcome:
        pipeline, options = self._pipeline, StreamOptions(settle=0.0)
        protocol = options.protocol
        address = stream_address(protocol.address, pipeline.config)
        connect = connector(options, address, pipeline, self._within_patience())

        async def opened() -> WebSocketConnection:
            return await connect()

        try:
            connection = await pipeline.hold(opened)
        except SessionClosedError:
            raise
        except SetupError:
            return StreamOutcome("not tried", "this session's transport opens no WebSockets")
        except IottlyError as error:
            if isinstance(error, RateLimitedError) and error.sent == "no":
                raise _no_permit(error) from None
            return StreamOutcome("refused", _refusal(error), status=error.status)
        frames = opening_frames(protocol, options.subscription, pipeline.key)
        try:
            return await pipeline.hold(lambda: _converse(connection, protocol, frames))
        finally:
            await connection.aclose()

    def _within_patience(self) -> Options:
        return evolve(self._options, timeout=max(min(self._patience, self._time_left()), 0.0))

    def _time_left(self) -> float:
        return self._until - SYSTEM_CLOCK.monotonic()

    def _count(self, step: Step) -> None:
        """Count a request before it is sent.

        Raises:
            OutOfRequests: the plan has no more, or the time is over.
        """
        if self._time_left() <= 0:
            raise OutOfRequests(f"the time limit of {self._time_limit:g} s is over")
        spent = self._spent.get(step, 0)
        if self._sent >= MOST_REQUESTS or spent >= step.most + self._repeats:
            raise OutOfRequests(f"{self._sent} requests were sent, and the plan has no more")
        self._sent += 1
        self._spent[step] = spent + 1

    async def _exchange(self, step: Step, address: str, names: tuple[str, ...]) -> Exchange:
        """Make one attempt, and add what came of it to the evidence."""
        self._count(step)
        pipeline, clock = self._pipeline, SYSTEM_CLOCK
        key = pipeline.key
        begun = clock.monotonic()
        sent_at, sent = clock.time(), begun
        kept, version = False, None

        async def send(
            transport: Transport, headers: Mapping[str, str]
        ) -> tuple[Answer, Answer | None]:
            nonlocal sent_at, sent, kept, version
            outgoing = Outgoing("GET", address, {**headers, **key.headers(step.route.generation)})
            sent_at, sent = clock.time(), clock.monotonic()
            limit = pipeline.config.attempt_timeout + _GRACE
            async with asyncio.timeout(min(limit, self._time_left())):
                answer = await transport.send(outgoing)
            kept, version = outgoing.kept, outgoing.version
            self._evidence.pools = isinstance(transport, AiohttpTransport)
            return answer, answer

        request: Request[Answer] = Request(step.route, address, lambda answer: answer)
        answer: Answer | None = None
        failure = ""
        try:
            answer = await pipeline.hold(
                lambda: pipeline.dial(request, self._within_patience(), send)
            )
        except (SessionClosedError, SetupError):
            raise
        except RateLimitedError as error:
            raise _no_permit(error) from None
        except IottlyError as error:
            failure = type(error).__name__  # its text may name a host or a proxy
        except TimeoutError as late:  # of a transport without a time limit of its own
            failure = type(late).__name__
        self._patience -= sent - begun
        exchange = Exchange(
            step=step,
            parameters=names,
            answer=None if answer is None else _without_key(answer, key),
            failure=failure,
            sent_at=sent_at,
            seconds=clock.monotonic() - sent,
            kept=kept,
            version=version,
        )
        self._lost = self._lost + 1 if answer is None else 0
        self._evidence.exchanges.append(exchange)
        if self._on_request is not None:
            self._on_request(self._sent)
        return exchange


async def _converse(
    connection: WebSocketConnection, protocol: StreamProtocol, frames: Sequence[str | bytes]
) -> StreamOutcome:
    """Subscribe on an open connection, and see whether the service confirms it."""
    until = asyncio.get_running_loop().time() + _FRAME_WAIT
    try:
        for frame in frames:
            await connection.send(frame)
        while (data := await connection.receive(until)) is not None:
            if any(isinstance(frame, Subscribed) for frame in protocol.read(data)):
                return StreamOutcome("understood", "it opened and confirmed the subscription", 101)
    except WebSocketClosedError as closed:
        said = "" if closed.code is None else f" with code {closed.code}"
        return StreamOutcome("other frames", f"it opened and was closed{said}", 101)
    except DecodeError:
        return StreamOutcome("other frames", "it opened and sent a frame of another protocol", 101)
    except ConnectionLostError:
        return StreamOutcome("other frames", "it opened and was lost", 101)
    return StreamOutcome(
        "other frames", f"it opened and did not confirm the subscription in {_FRAME_WAIT:g} s", 101
    )


def _refusal(error: IottlyError) -> str:
    if isinstance(error, ApiError) and error.status is not None:
        own = "" if error.from_api else ", not the API's own answer"
        return f"it answers {error.status}{own}"
    return f"it was not opened ({type(error).__name__})"


def _no_permit(error: RateLimitedError) -> OutOfRequests:
    after = error.retry_after
    when = "" if after is None else f"; the next request could be sent in {after:.0f} s"
    return OutOfRequests(f"the quota is used up{when}")


def _without_key(answer: Answer, key: ApiKey) -> Answer:
    """The answer with lower-case names of headers; some services repeat what they were sent."""
    headers: dict[str, str] = {}
    for name, value in answer.headers.items():
        headers.setdefault(name.lower(), key.hidden_in(value))
    return Answer(answer.status, headers, answer.body)
