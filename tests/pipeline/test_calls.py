"""The rules of one call, with a transport of the test's own that does what it is told.

Time is virtual: what waits for a minute takes none.
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
        sent: what it was asked to send.
        closed: whether it was closed.
    """

    def __init__(self, *steps: Step) -> None:
        self.sent: list[Outgoing] = []
        self.closed = False
        self._steps = steps

    async def send(self, outgoing: Outgoing) -> Answer:
        """Do the next step."""
        self.sent.append(outgoing)
        return await self._steps[min(len(self.sent), len(self._steps)) - 1](outgoing)

    async def aclose(self) -> None:
        """Note it."""
        self.closed = True


def answers(status: int, body: bytes, **headers: str) -> Step:
    """A step that leaves and is answered so."""

    async def step(outgoing: Outgoing) -> Answer:
        outgoing.may_have_left = True
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return Answer(status, named, body)

    return step


def fails(error: Callable[[], BaseException], *, left: bool) -> Step:
    """A step that ends in an error, having left or not."""

    async def step(outgoing: Outgoing) -> Answer:
        outgoing.may_have_left = left
        raise error()

    return step


def hangs(*, left: bool) -> Step:
    """A step that never ends, having left or not."""

    async def step(outgoing: Outgoing) -> Answer:
        outgoing.may_have_left = left
        await asyncio.Event().wait()
        raise AssertionError

    return step


def lost() -> TransportError:
    """A connection that was lost before an answer."""
    return ConnectionLostError("lost", sent="maybe")


def unconnected() -> TransportError:
    """No connection at all."""
    return ConnectError("refused", sent="no")


def good(verb: Verb) -> Step:
    """The verb's good answer."""
    return answers(200, verb.body)


Use = Callable[[IottlySession, Scripted], Awaitable[Any]]


def with_steps(
    use: Use, *steps: Step, limiter: Callable[[], RateLimiter] = RateLimiter, **settings: Any
) -> Any:
    """What `use` returns with a session over such a transport, in virtual time."""

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
    """The error of a call over such a transport, and how often it was sent."""

    async def use(session: IottlySession, transport: Scripted) -> tuple[BaseException, int]:
        with pytest.raises(Exception) as caught:
            await verb.make(session)
        return caught.value, len(transport.sent)

    return with_steps(use, *steps, **settings)


# --- what is known of whether it left --------------------------------------------------------


def test_what_was_refused_and_then_not_connected_was_not_taken() -> None:
    """A 429 of the API's own settles an attempt: that no connection follows leaves none open."""
    error, sent = failing(POST, answers(429, REFUSAL), fails(unconnected, left=False))
    assert type(error) is ConnectError
    assert (error.sent, sent) == ("no", 3)


def test_what_was_lost_and_then_not_connected_may_have_arrived() -> None:
    """The deadline of a read in its second attempt tells of the first one too."""
    error, sent = failing(GET, fails(lost, left=True), hangs(left=False), timeout=5.0)
    assert type(error) is DeadlineExceededError
    assert (error.sent, error.attempts, sent) == ("maybe", 2, 2)


def test_a_timeout_of_anothers_is_not_taken_for_the_deadline() -> None:
    """A transport's own TimeoutError, which it should not raise, is passed on as what it is."""
    error, _ = failing(GET, fails(lambda: TimeoutError("its own"), left=True))
    assert type(error) is TimeoutError
    assert str(error) == "its own"


# --- retries ---------------------------------------------------------------------------------


def test_refusals_are_no_attempts() -> None:
    """Two refusals, a failure and an answer are two attempts, which the policy allows."""

    async def use(session: IottlySession, transport: Scripted) -> int:
        assert (await GET.make(session)).id == "dev_1"
        assert session.stats.refusals == 2
        return len(transport.sent)

    refused = answers(429, REFUSAL, retry_after="1")
    assert with_steps(use, refused, refused, answers(503, BUSY), good(GET)) == 4


def test_the_budget_is_not_noticed_while_calls_succeed() -> None:
    """Each call needs a retry, and succeeds: the retries' tokens come back."""
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
    """Ten tokens are two retries after losses, and one after an attempt that ran out of time."""
    policy = RetryPolicy(max_attempts=9, initial_delay=0.001, max_delay=0.001, budget=10)
    _, sent = failing(GET, fails(error, left=True), retry=policy)
    assert sent == attempts


def test_a_refusal_tells_when_there_is_a_turn() -> None:
    """Where the limiter knows better than the answer when to come back, the error says so."""
    headers = {"x_ratelimit_limit": "60", "x_ratelimit_remaining": "0", "x_ratelimit_reset": "900"}
    error, sent = failing(GET, answers(429, REFUSAL, **headers), timeout=5.0)
    assert type(error) is RateLimitedError
    assert (error.status, sent) == (429, 1)
    assert error.retry_after == pytest.approx(900, abs=60)


# --- what the limiter is told ----------------------------------------------------------------


class Listening(RateLimiter):
    """A limiter that notes what it is asked and told."""

    __slots__ = ("heard",)

    def __init__(self, heard: list[tuple[Any, ...]]) -> None:
        super().__init__()
        self.heard = heard

    async def acquire(self, **asked: Any) -> Permit:
        self.heard.append(("acquire", asked["priority"], asked.get("refused", False)))
        return await super().acquire(**asked)

    def answered(self, ticket: Permit, status: int, headers: Any) -> None:
        self.heard.append(("answered", status))
        super().answered(ticket, status, headers)

    def lost(self, ticket: Permit) -> None:
        self.heard.append(("lost",))
        super().lost(ticket)

    def unused(self, ticket: Permit) -> None:
        self.heard.append(("unused",))
        super().unused(ticket)


def heard_of(use: Use, *steps: Step) -> list[tuple[Any, ...]]:
    """What a limiter hears of what `use` does."""
    heard: list[tuple[Any, ...]] = []

    async def doing(session: IottlySession, transport: Scripted) -> None:
        with suppress(TransportError):
            await use(session, transport)

    with_steps(doing, *steps, limiter=lambda: Listening(heard))
    return heard


async def get(session: IottlySession, _: Scripted) -> None:
    """One read."""
    await GET.make(session)


def test_each_attempt_spends_one_turn_and_gives_account_of_it() -> None:
    """What never left gives its turn back; what was lost or answered has spent it."""
    lost_once = heard_of(get, fails(lost, left=True), good(GET))
    assert lost_once == [
        ("acquire", 0, False), ("lost",), ("acquire", 0, False), ("answered", 200),
    ]  # fmt: skip
    never_left = heard_of(get, fails(unconnected, left=False), good(GET))
    assert never_left == [
        ("acquire", 0, False), ("unused",), ("acquire", 0, False), ("answered", 200),
    ]  # fmt: skip


def test_who_was_refused_goes_first() -> None:
    """After a 429 the next turn is asked for as one that was refused."""
    assert heard_of(get, answers(429, REFUSAL, retry_after="1"), good(GET)) == [
        ("acquire", 0, False), ("answered", 429), ("acquire", 0, True), ("answered", 200),
    ]  # fmt: skip


def test_a_walk_does_not_go_before_a_call() -> None:
    """The pages of a walk have a priority below that of the session's calls."""

    async def walk(session: IottlySession, _: Scripted) -> None:
        async for _message in session.with_options(priority=7).project("p").messages.walk("d"):
            pass

    heard = heard_of(walk, answers(404, b'{"error": "no messages"}'))
    assert {one[1] for one in heard if one[0] == "acquire"} == {6}


async def test_a_stream_that_finds_no_connection_gives_its_turn_back() -> None:
    """Opening a stream spends a turn of the quota as well, where it leaves."""
    heard: list[tuple[Any, ...]] = []
    quick = RetryPolicy(initial_delay=0.001, max_delay=0.001)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: nobody else gets this port
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        session = session_on(url, limiter=Listening(heard), retry=quick)
        async with session, session.stream():
            await until(lambda: len(heard) >= 4, "the second attempt")
    assert heard[:4] == [("acquire", 0, False), ("unused",)] * 2


# --- deadlines of the patient ----------------------------------------------------------------


async def walk_to_the_end(session: IottlySession, _: Scripted) -> float:
    """Seconds until a walk of a silent service fails."""
    loop = asyncio.get_running_loop()
    begun = loop.time()
    with pytest.raises(DeadlineExceededError):
        async for _message in session.project("p").messages.walk("d"):
            pass
    return loop.time() - begun


def test_a_page_of_a_walk_has_its_deadline_too() -> None:
    """A page's wait for quota is not counted, its attempts are."""
    once = RetryPolicy(max_attempts=1)
    took = with_steps(walk_to_the_end, hangs(left=True), timeout=3.0, retry=once)
    assert took == pytest.approx(3.0, abs=0.1)


def test_the_time_of_a_page_is_that_of_all_its_attempts() -> None:
    """What the first attempt took is gone for the second; a turn in between is not counted."""

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


def test_closing_ends_who_waits_for_quota() -> None:
    """Calls and pages of walks that wait minutes for a turn are told at once, and not sent."""

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
    """A page that waited a quarter of an hour for its turn still has all of its time."""

    async def use(session: IottlySession, transport: Scripted) -> float:
        await GET.make(session)
        return await walk_to_the_end(session, transport)

    once = RetryPolicy(max_attempts=1)
    took = with_steps(use, EMPTY_WINDOW, hangs(left=True), timeout=3.0, retry=once)
    assert took == pytest.approx(903.0, abs=61.0)


def test_each_of_many_calls_has_its_own_deadline() -> None:
    """Long and short ones at once, begun in any order, each end when their own time is up."""
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


def test_a_loss_at_the_deadline_is_told_as_it_is() -> None:
    """Where the end that the deadline brings comes out as a loss, the caller is told the loss."""

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
    """A transport that answers its end by closing with a loss does not get another attempt."""

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
    """Who loses patience with the grace period leaves neither a call nor a connection."""

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


async def test_a_timeout_within_what_is_held_is_its_own() -> None:
    """What is held to the session's life passes its own TimeoutError on, and ends by closing."""
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


@pytest.mark.parametrize("turns", range(8))
def test_a_caller_whose_call_ended_is_left_alone_by_closing(turns: int) -> None:
    """An answer in the very turn of closing: whatever the call is told, its task goes on."""
    free = asyncio.Event()

    async def at_last(outgoing: Outgoing) -> Answer:
        outgoing.may_have_left = True
        await free.wait()
        await settle(turns)
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
