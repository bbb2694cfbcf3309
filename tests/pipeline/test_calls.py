"""The rules of one call, with a scripted transport.

Time is virtual: a wait of a minute takes no time.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import pytest

from iottly_async import (
    ConnectError,
    ConnectionLostError,
    DeadlineExceededError,
    IottlySession,
    RateLimitedError,
    RateLimiter,
    RetryPolicy,
    SessionClosedError,
)
from iottly_async.auth import ApiKey
from iottly_async.clock import SYSTEM_CLOCK
from iottly_async.errors import TransportError
from iottly_async.pipeline import Pipeline
from iottly_async.ratelimit import Permit
from iottly_async.transport import Outgoing
from iottly_async.wire import Answer
from tests.support.calls import GET, KEY, POST, Verb, session_on
from tests.support.leaks import tasks, until
from tests.support.virtual_time import run_virtual, settle

Step = Callable[[Outgoing], Awaitable[Answer]]
REFUSAL = b'{"error": {"code": "rate_limited", "message": "m", "request_id": "r"}}'
BUSY = b'{"error": {"code": "busy", "message": "m", "request_id": "r"}}'


class Scripted:
    """A transport whose n-th attempt is the n-th step; the last one repeats.

    Attributes:
        sent: the requests that it was asked to send.
        closed: whether it was closed.
    """

    def __init__(self, *steps: Step) -> None:
        self.sent: list[Outgoing] = []
        self.closed = False
        self._steps = steps

    async def send(self, outgoing: Outgoing) -> Answer:
        """Run the next step."""
        self.sent.append(outgoing)
        return await self._steps[min(len(self.sent), len(self._steps)) - 1](outgoing)

    async def aclose(self) -> None:
        """Note that it was closed."""
        self.closed = True


def answers(status: int, body: bytes, **headers: str) -> Step:
    """Make a step that sends the request and is answered with this status and body."""

    async def step(outgoing: Outgoing) -> Answer:
        outgoing.may_have_left = True
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return Answer(status, named, body)

    return step


def fails(error: Callable[[], BaseException], *, left: bool) -> Step:
    """Make a step that fails; `left` says whether the request may have left."""

    async def step(outgoing: Outgoing) -> Answer:
        outgoing.may_have_left = left
        raise error()

    return step


def hangs(*, left: bool) -> Step:
    """Make a step that never ends; `left` says whether the request may have left."""

    async def step(outgoing: Outgoing) -> Answer:
        outgoing.may_have_left = left
        await asyncio.Event().wait()
        raise AssertionError

    return step


def lost() -> TransportError:
    """The error of a connection that was lost before an answer."""
    return ConnectionLostError("lost", sent="maybe")


def unconnected() -> TransportError:
    """The error of an attempt that found no connection."""
    return ConnectError("refused", sent="no")


def good(verb: Verb) -> Step:
    """The verb's good answer."""
    return answers(200, verb.body)


Use = Callable[[IottlySession, Scripted], Awaitable[Any]]


def with_steps(
    use: Use, *steps: Step, limiter: Callable[[], RateLimiter] = RateLimiter, **settings: Any
) -> Any:
    """Run `use` with a session over a scripted transport, in virtual time."""

    async def main() -> Any:
        transport, url = Scripted(*steps), "http://127.0.0.1:1"
        async with session_on(url, http=transport, limiter=limiter(), **settings) as session:
            before = tasks()
            result = await use(session, transport)
            assert tasks() <= before
            quota = session.quota
            assert (quota.in_flight, quota.waiting) == (0, 0)
            return result

    return run_virtual(main, listens=True)


def failing(verb: Verb, *steps: Step, **settings: Any) -> Any:
    """Make a call over a scripted transport; return its error and how often it was sent."""

    async def use(session: IottlySession, transport: Scripted) -> tuple[BaseException, int]:
        with pytest.raises(Exception) as caught:
            await verb.make(session)
        return caught.value, len(transport.sent)

    return with_steps(use, *steps, **settings)


# --- what is known of whether it left --------------------------------------------------------


def test_a_refused_and_then_unconnected_command_was_not_taken() -> None:
    """After the API's own 429 and a failed connection, a command was surely not taken."""
    error, sent = failing(POST, answers(429, REFUSAL), fails(unconnected, left=False))
    assert type(error) is ConnectError
    assert (error.sent, sent) == ("no", 3)


def test_a_lost_and_then_unconnected_read_may_have_arrived() -> None:
    """A deadline in the second attempt says "maybe" if the first attempt was sent."""
    error, sent = failing(GET, fails(lost, left=True), hangs(left=False), timeout=5.0)
    assert type(error) is DeadlineExceededError
    assert (error.sent, error.attempts, sent) == ("maybe", 2, 2)


def test_a_timeout_error_of_the_transport_is_not_the_deadline() -> None:
    """A TimeoutError of a transport is raised as it is."""
    error, _ = failing(GET, fails(lambda: TimeoutError("its own"), left=True))
    assert type(error) is TimeoutError
    assert str(error) == "its own"


# --- retries ---------------------------------------------------------------------------------


def test_refusals_do_not_count_as_attempts() -> None:
    """Answers of 429 do not count against `max_attempts`."""

    async def use(session: IottlySession, transport: Scripted) -> int:
        assert (await GET.make(session)).id == "dev_1"
        assert session.stats.refusals == 2
        return len(transport.sent)

    refused = answers(429, REFUSAL, retry_after="1")
    assert with_steps(use, refused, refused, answers(503, BUSY), good(GET)) == 4


def test_the_budget_has_no_effect_while_calls_succeed() -> None:
    """The tokens of retries come back as long as calls succeed in the end."""
    rounds = 20
    steps = [answers(503, BUSY), good(GET)] * rounds

    async def use(session: IottlySession, transport: Scripted) -> int:
        for _ in range(rounds):
            await GET.make(session)
        return session.stats.retries

    policy = RetryPolicy(max_attempts=2, initial_delay=0.001, max_delay=0.001, budget=10)
    assert with_steps(use, *steps, retry=policy) == rounds


@pytest.mark.parametrize(
    ("error", "attempts"),
    [(lost, 3), (lambda: DeadlineExceededError("late", sent="maybe"), 2)],
    ids=["lost", "late"],
)
def test_a_retry_after_a_timeout_costs_twice(
    error: Callable[[], TransportError], attempts: int
) -> None:
    """A retry after a timeout costs 10 tokens, another one 5."""
    policy = RetryPolicy(max_attempts=9, initial_delay=0.001, max_delay=0.001, budget=10)
    _, sent = failing(GET, fails(error, left=True), retry=policy)
    assert sent == attempts


def test_a_refusal_says_when_the_next_permit_comes() -> None:
    """If the limiter knows when the next permit comes, the error's `retry_after` says so."""
    headers = {"x_ratelimit_limit": "60", "x_ratelimit_remaining": "0", "x_ratelimit_reset": "900"}
    error, sent = failing(GET, answers(429, REFUSAL, **headers), timeout=5.0)
    assert type(error) is RateLimitedError
    assert (error.status, sent) == (429, 1)
    assert error.retry_after == pytest.approx(900, abs=60)


# --- what the limiter is reported ----------------------------------------------------------------


class Listening(RateLimiter):
    """A limiter that notes its calls."""

    __slots__ = ("received",)

    def __init__(self, received: list[tuple[Any, ...]]) -> None:
        super().__init__()
        self.received = received

    async def acquire(self, **asked: Any) -> Permit:
        self.received.append(("acquire", asked["priority"], asked.get("refused", False)))
        return await super().acquire(**asked)

    def answered(self, permit: Permit, status: int, headers: Any) -> None:
        self.received.append(("answered", status))
        super().answered(permit, status, headers)

    def lost(self, permit: Permit) -> None:
        self.received.append(("lost",))
        super().lost(permit)

    def unused(self, permit: Permit) -> None:
        self.received.append(("unused",))
        super().unused(permit)


def heard_of(use: Use, *steps: Step) -> list[tuple[Any, ...]]:
    """Return what the limiter notes while `use` runs."""
    received: list[tuple[Any, ...]] = []

    async def doing(session: IottlySession, transport: Scripted) -> None:
        with suppress(TransportError):
            await use(session, transport)

    with_steps(doing, *steps, limiter=lambda: Listening(received))
    return received


async def get(session: IottlySession, _: Scripted) -> None:
    """Make one read."""
    await GET.make(session)


def test_each_attempt_reports_on_its_permit() -> None:
    """An attempt that was not sent returns its permit; a lost or answered one has used it."""
    lost_once = heard_of(get, fails(lost, left=True), good(GET))
    assert lost_once == [
        ("acquire", 0, False), ("lost",), ("acquire", 0, False), ("answered", 200),
    ]  # fmt: skip
    never_left = heard_of(get, fails(unconnected, left=False), good(GET))
    assert never_left == [
        ("acquire", 0, False), ("unused",), ("acquire", 0, False), ("answered", 200),
    ]  # fmt: skip


def test_a_refused_call_goes_first() -> None:
    """After a 429 the call asks for its next permit as a refused one."""
    assert heard_of(get, answers(429, REFUSAL, retry_after="1"), good(GET)) == [
        ("acquire", 0, False), ("answered", 429), ("acquire", 0, True), ("answered", 200),
    ]  # fmt: skip


def test_a_walk_does_not_go_before_a_call() -> None:
    """The pages of a walk have a lower priority than the session's calls."""

    async def walk(session: IottlySession, _: Scripted) -> None:
        async for _message in session.with_options(priority=7).project("p").messages.walk("d"):
            pass

    received = heard_of(walk, answers(404, b'{"error": "no messages"}'))
    assert {one[1] for one in received if one[0] == "acquire"} == {6}


async def test_a_stream_without_a_connection_returns_its_permit() -> None:
    """Opening a stream uses a permit, unless its request was not sent."""
    received: list[tuple[Any, ...]] = []
    quick = RetryPolicy(initial_delay=0.001, max_delay=0.001)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: nobody else gets this port
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        session = session_on(url, limiter=Listening(received), retry=quick)
        async with session, session.stream():
            await until(lambda: len(received) >= 4, "the second attempt")
    assert received[:4] == [("acquire", 0, False), ("unused",)] * 2


# --- deadlines of the patient ----------------------------------------------------------------


async def walk_to_the_end(session: IottlySession, _: Scripted) -> float:
    """Measure the seconds until a walk of a silent service fails."""
    loop = asyncio.get_running_loop()
    begun = loop.time()
    with pytest.raises(DeadlineExceededError):
        async for _message in session.project("p").messages.walk("d"):
            pass
    return loop.time() - begun


def test_a_page_of_a_walk_has_its_deadline_too() -> None:
    """A page's attempts count against the timeout; its wait for quota does not."""
    once = RetryPolicy(max_attempts=1)
    took = with_steps(walk_to_the_end, hangs(left=True), timeout=3.0, retry=once)
    assert took == pytest.approx(3.0, abs=0.1)


def test_the_time_of_a_page_is_that_of_all_its_attempts() -> None:
    """All attempts of a page share its timeout; a wait for a permit between them does not count."""

    async def lost_after_two_seconds(outgoing: Outgoing) -> Answer:
        outgoing.may_have_left = True
        await asyncio.sleep(2.0)
        raise lost()

    took = with_steps(walk_to_the_end, lost_after_two_seconds, hangs(left=True), timeout=3.0)
    assert took == pytest.approx(3.0, abs=0.1)


EMPTY_WINDOW = answers(
    200,
    GET.body,
    x_ratelimit_limit="60",
    x_ratelimit_remaining="0",
    x_ratelimit_reset="900",
)


def test_closing_ends_calls_that_wait_for_quota() -> None:
    """Closing ends calls and pages that wait for a permit at once; they are not sent."""

    async def use(session: IottlySession, transport: Scripted) -> tuple[list[Any], int, float]:
        await GET.make(session)  # from now on the quota is spent

        async def walk() -> None:
            async for _message in session.project("p").messages.walk("d"):
                pass

        loop = asyncio.get_running_loop()
        calls = [asyncio.create_task(walk()), asyncio.ensure_future(GET.make(session))]
        await settle()
        assert session.quota.waiting == 2
        begun = loop.time()
        await session.aclose()
        results = await asyncio.gather(*calls, return_exceptions=True)
        return results, len(transport.sent), loop.time() - begun

    results, sent, took = with_steps(use, EMPTY_WINDOW, hangs(left=True), timeout=2000.0)
    assert [type(result) for result in results] == [SessionClosedError] * 2
    assert [result.sent for result in results] == ["no"] * 2
    assert sent == 1
    assert took <= 0.1


def test_a_wait_for_quota_does_not_count_for_a_walk() -> None:
    """A page that waited 15 min for its permit still has its whole timeout."""

    async def use(session: IottlySession, transport: Scripted) -> float:
        await GET.make(session)
        return await walk_to_the_end(session, transport)

    once = RetryPolicy(max_attempts=1)
    took = with_steps(use, EMPTY_WINDOW, hangs(left=True), timeout=3.0, retry=once)
    assert took == pytest.approx(903.0, abs=61.0)


def test_each_of_many_calls_has_its_own_deadline() -> None:
    """Of many calls at once, each ends at its own deadline, whatever the order."""
    limits = (3.0, 1.0, 2.0, 1.0, 5.0)

    async def use(session: IottlySession, transport: Scripted) -> list[float]:
        loop = asyncio.get_running_loop()
        await GET.make(session)

        async def ended(limit: float) -> float:
            begun = loop.time()
            with pytest.raises(DeadlineExceededError):
                await GET.make(session.with_options(timeout=limit))
            return loop.time() - begun

        return await asyncio.gather(*map(ended, limits))

    took = with_steps(use, good(GET), hangs(left=True))
    assert took == pytest.approx(limits, abs=0.1)


def test_a_loss_at_the_deadline_is_raised_as_it_is() -> None:
    """If a transport turns the cancellation by the deadline into a loss, the loss is raised."""

    async def loses(outgoing: Outgoing) -> Answer:
        outgoing.may_have_left = True
        with suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        raise lost()

    error, sent = failing(GET, loses, timeout=1.0)
    assert type(error) is ConnectionLostError
    assert (error.attempts, sent) == (1, 1)


# --- closing ---------------------------------------------------------------------------------


@pytest.mark.parametrize("verb", [GET, POST], ids=lambda verb: verb.method)
def test_nothing_is_sent_again_while_it_closes(verb: Verb) -> None:
    """If a transport turns the cancellation by closing into a loss, there is no further attempt."""

    async def loses(outgoing: Outgoing) -> Answer:
        outgoing.may_have_left = True
        with suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        raise lost()

    async def use(session: IottlySession, transport: Scripted) -> tuple[BaseException, int]:
        call = asyncio.ensure_future(verb.make(session))
        await settle()
        closing = asyncio.ensure_future(session.aclose())
        await asyncio.wait([call, closing], timeout=60)
        assert call.done()
        error = call.exception()
        assert error is not None
        return error, len(transport.sent)

    error, sent = with_steps(use, loses, hangs(left=True))
    assert type(error) is SessionClosedError
    assert (error.sent, error.attempts, sent) == ("maybe", 1, 1)


def test_a_closing_that_is_cancelled_closes_all_the_same() -> None:
    """If `aclose` is cancelled in its grace period, calls and connections end all the same."""

    async def use(session: IottlySession, transport: Scripted) -> tuple[BaseException | None, bool]:
        call = asyncio.ensure_future(GET.make(session))
        await settle()
        closing = asyncio.ensure_future(session.aclose(grace=1000))
        await settle()
        closing.cancel()
        await asyncio.wait([closing, call])
        assert closing.cancelled()
        return call.exception(), transport.closed

    error, closed = with_steps(use, hangs(left=True), timeout=2000.0)
    assert type(error) is SessionClosedError
    assert closed


async def test_a_timeout_error_in_held_work_is_raised() -> None:
    """Work in `hold` raises its own TimeoutError, and ends when the session closes."""
    config = session_on("http://127.0.0.1:1").config
    pipeline = Pipeline(config, ApiKey(KEY), Scripted(), RateLimiter(), SYSTEM_CLOCK)

    async def late() -> None:
        raise TimeoutError("its own")

    with pytest.raises(TimeoutError, match="its own"):
        await pipeline.hold(late)
    held = asyncio.create_task(pipeline.hold(asyncio.Event().wait))
    await settle()
    await pipeline.aclose(0.0)
    with pytest.raises(SessionClosedError):
        await held


@pytest.mark.parametrize("iterations", range(8))
def test_closing_does_not_cancel_a_caller_whose_call_ended(iterations: int) -> None:
    """If the answer comes in the iteration of closing, the caller's task is not cancelled."""
    free = asyncio.Event()

    async def at_last(outgoing: Outgoing) -> Answer:
        outgoing.may_have_left = True
        await free.wait()
        await settle(iterations)
        return Answer(200, {}, GET.body)

    async def use(session: IottlySession, _: Scripted) -> bool:
        async def caller() -> bool:
            with suppress(SessionClosedError):
                await GET.make(session)
            await settle(30)  # what it does next
            return True

        calling = asyncio.create_task(caller())
        await settle()
        free.set()
        await session.aclose()
        return await calling

    assert with_steps(use, at_last)
