"""Calls that nobody waits for outlive outages (D18); calls that somebody waits for do not wait."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta
from functools import partial
from math import inf
from statistics import mean
from typing import Any, cast

import pytest

from iottly_async import (
    CommandOutcomeUnknownError,
    Config,
    ConfigurationError,
    ConnectError,
    DecodeError,
    ForbiddenError,
    IottlyError,
    IottlySession,
    NotFoundError,
    ProtocolError,
    RateLimitedError,
    RetryPolicy,
    ServerError,
    SessionClosedError,
    TLSError,
    UnauthorizedError,
)
from iottly_async.errors import TransportError
from iottly_async.transport import Outgoing
from iottly_async.wire import Answer, Request, Route
from tests.support import outages
from tests.support.calls import GET
from tests.support.outages import (
    HTML,
    OWN_ERROR,
    PAGE,
    Failure,
    Service,
    answers,
    cut,
    lost,
    page,
    refused,
    silent,
)
from tests.support.scale import sized
from tests.support.virtual_time import settle

with_service = partial(outages.with_service, warm=True)
BEGIN = 5.0
"""When the service goes away."""


async def pages(session: IottlySession, service: Service, *, at_once: int, end: float) -> int:
    """Request pages, so many at once, for so long; return how many there were."""
    done = 0

    async def walk() -> None:
        nonlocal done
        while service.now < end:
            await session.call(page(), patience=inf)
            done += 1

    await asyncio.gather(*(walk() for _ in range(at_once)))
    return done


# --- outages ---------------------------------------------------------------------------------


@pytest.mark.parametrize("at_once", [1, 8, 32, 100])
@pytest.mark.parametrize("seconds", [1.0, 10.0, 60.0, 3600.0])
def test_an_outage_is_outlived(seconds: float, at_once: int) -> None:
    """However long it is and however many go at once: none fails, and few requests are made."""
    end = BEGIN + seconds

    async def use(session: IottlySession, service: Service) -> None:
        await pages(session, service, at_once=at_once, end=end + 20)
        assert session.outage is None
        assert session.stats.failures == 0
        assert service.back_after(end) <= 16.0
        # One probe at a time, with growing pauses.
        assert service.sent_during(BEGIN, end) <= 13 + seconds / 13.5
        assert session.stats.retries == service.sent_during(0, inf) - (session.stats.calls - 1)

    with_service(use, (BEGIN, end))


@pytest.mark.parametrize(
    "failure",
    [refused, lost, cut, silent, answers(502), answers(503, OWN_ERROR), answers(404)],
    ids=["refused", "lost", "cut", "silent", "502", "503 of the API", "404 of a proxy"],
)
def test_an_outage_of_any_kind_is_outlived(failure: Failure) -> None:
    """Requests during an outage of 60 s are 20 at most, however the service fails."""
    end = BEGIN + 60.0

    async def use(session: IottlySession, service: Service) -> None:
        await pages(session, service, at_once=sized(32, 100), end=end + 50)
        assert session.stats.failures == 0
        assert service.sent_during(BEGIN + 0.01, end) <= 20
        assert service.back_after(end) <= 16.0 + 20.0 * (failure is silent)

    with_service(use, (BEGIN, end), failure=failure)


def test_rows_flow_again_soon() -> None:
    """After an outage of 10 s, the mean of many runs is 4 s at most."""

    async def use(_: IottlySession, service: Service) -> float:
        await pages(_, service, at_once=8, end=BEGIN + 31)
        return service.back_after(BEGIN + 10)

    back = [with_service(use, (BEGIN, BEGIN + 10), seed=seed) for seed in range(sized(20, 40))]
    assert mean(back) <= 4.0
    assert max(back) <= 16.0


def test_outages_one_after_another_are_outlived() -> None:
    """A service that goes and comes for an hour fails no call."""
    away = [(60.0 * number, 60.0 * number + 25.0) for number in range(1, 60)]

    async def use(session: IottlySession, service: Service) -> None:
        await pages(session, service, at_once=8, end=3600)
        assert session.stats.failures == 0

    with_service(use, *away, latency=2.0)


def test_two_views_share_the_circuit() -> None:
    """What one view learns of an outage, another one need not find out."""
    end = BEGIN + 60.0

    async def use(session: IottlySession, service: Service) -> None:
        other = session.with_options(priority=5)
        await asyncio.gather(
            pages(session, service, at_once=8, end=end + 20),
            pages(other, service, at_once=8, end=end + 20),
        )
        assert service.sent_during(BEGIN, end) <= 20

    with_service(use, (BEGIN, end))


def test_the_session_tells_of_an_outage() -> None:
    """`session.outage` has its beginning, length and reason, and is None before and after."""

    async def use(session: IottlySession, service: Service) -> None:
        work = asyncio.create_task(pages(session, service, at_once=8, end=70))
        await asyncio.sleep(4)
        assert session.outage is None
        await asyncio.sleep(11)
        outage = session.with_options(timeout=1).outage
        assert outage is not None
        assert outage.seconds == pytest.approx(10.0, abs=0.3)
        assert outage.reason == "ConnectError"
        await work
        assert session.outage is None

    with_service(use, (BEGIN, 60.0))


# --- how long --------------------------------------------------------------------------------


@pytest.mark.parametrize("patience", [1.0, 30.0, 300.0])
@pytest.mark.parametrize("at_once", [1, 20])
def test_patience_ends_with_the_last_error(patience: float, at_once: int) -> None:
    """Each call fails when its patience is used up, with the class of its failures."""

    async def use(session: IottlySession, service: Service) -> None:
        async def fails() -> float:
            with pytest.raises(ServerError) as caught:
                await session.call(page(), patience=patience)
            assert caught.value.status == 503
            return service.now

        ended = await asyncio.gather(*(fails() for _ in range(at_once)))
        assert ended == pytest.approx([patience] * at_once, abs=1e-6)

    with_service(use, (0.0, inf), failure=answers(503))


def test_patience_of_a_call_that_alone_fails_ends_in_time_too() -> None:
    """The last pause is cut, so that the last attempt is at the end of the patience."""

    async def use(session: IottlySession, service: Service) -> None:
        work = asyncio.create_task(pages(session, service, at_once=2, end=110.0))
        with pytest.raises(ServerError):
            await session.call(page("/poison"), patience=100.0)
        assert service.now == pytest.approx(100.0, abs=0.6)
        await work

    with_service(use, poison=("poison", answers(500, OWN_ERROR)))


def test_a_service_that_asks_for_more_than_patience_ends_it_at_once() -> None:
    """A Retry-After that is longer than what is left is not waited for in part."""

    async def use(session: IottlySession, service: Service) -> None:
        with pytest.raises(ServerError):
            await session.call(page(), patience=10.0)
        assert service.now == 0.0

    with_service(use, (0.0, inf), failure=answers(503, retry_after="30"))


def test_a_call_that_was_never_sent_ends_with_the_error_of_the_others() -> None:
    """Its error has the class that others met, and no attempts."""

    async def use(session: IottlySession, service: Service) -> None:
        others = [asyncio.create_task(session.call(page(), patience=inf)) for _ in range(5)]
        await asyncio.sleep(1)
        sent = len(service.sent)
        with pytest.raises(ConnectError) as caught:
            await session.call(page(), patience=0.01)
        assert caught.value.attempts == 0
        assert len(service.sent) == sent
        for other in others:
            other.cancel()
        await asyncio.wait(others)

    with_service(use, (0.0, inf))


def test_waits_for_quota_do_not_count() -> None:
    """A call that waits 15 minutes for quota after each failure keeps its patience."""

    async def use(session: IottlySession, service: Service) -> None:
        await session.call(page(), patience=10.0)
        assert len(service.sent) == 3
        assert service.now > 1700

    spent = answers(
        503,
        OWN_ERROR,
        x_ratelimit_limit="60",
        x_ratelimit_remaining="0",
        x_ratelimit_reset="900",
    )
    with_service(use, (0.0, 1000.0), failure=spent)


def test_the_timeout_and_the_retry_policy_do_not_bound_a_patient_call() -> None:
    """A session whose calls fail after one attempt and 2 s outlives an outage of an hour."""

    async def use(session: IottlySession, service: Service) -> None:
        await session.call(page(), patience=inf)
        assert service.now > 3600

    once = RetryPolicy(max_attempts=1, budget=0)
    with_service(use, (0.0, 3600.0), timeout=2.0, retry=once)


def test_an_attempt_that_hangs_is_bounded_in_any_transport() -> None:
    """A transport without a time limit of its own does not hang a patient call."""

    async def hangs() -> Answer:
        await asyncio.Event().wait()
        raise AssertionError

    async def use(session: IottlySession, service: Service) -> None:
        await session.call(page(), patience=inf)
        assert service.now < 120

    with_service(use, (0.0, 10.0), failure=hangs, timeout=5.0, attempt_timeout=20.0)


def test_patience_of_zero_fails_after_the_ordinary_retries() -> None:
    """`Config.retry` bounds it then, as it does a call that somebody waits for."""

    async def use(session: IottlySession, service: Service) -> None:
        with pytest.raises(ConnectError) as caught:
            await session.call(page(), patience=0)
        assert caught.value.attempts == 4

    with_service(use, (0.0, inf))


@pytest.mark.parametrize(
    ("given", "seconds"), [(inf, inf), (0, 0.0), (2.5, 2.5), (timedelta(minutes=2), 120.0)]
)
def test_patience_is_a_setting(given: float | timedelta, seconds: float) -> None:
    """It is five minutes by default, and takes any time, an endless one too."""
    assert Config().patience == 300.0
    assert Config(patience=cast(float, given)).patience == seconds


@pytest.mark.parametrize("wrong", [-1, -inf, float("nan"), "5", None, True])
def test_a_patience_that_is_no_time_is_refused(wrong: Any) -> None:
    """The error names the setting."""
    with pytest.raises(ConfigurationError, match="patience must be"):
        Config(patience=wrong)


# --- what does not pass ----------------------------------------------------------------------


def fails(error: type[TransportError]) -> Failure:
    """A failure by an error of the transport."""

    async def failure() -> Answer:
        raise error("failed", sent="maybe")

    return failure


@pytest.mark.parametrize(
    ("failure", "error"),
    [
        (answers(401, OWN_ERROR), UnauthorizedError),
        (answers(403, OWN_ERROR), ForbiddenError),
        (answers(403), ForbiddenError),
        (answers(404, OWN_ERROR), NotFoundError),
        (answers(501, OWN_ERROR), ServerError),
        (fails(TLSError), TLSError),
    ],
)
def test_a_failure_that_does_not_pass_ends_it_at_once(
    failure: Failure, error: type[IottlyError]
) -> None:
    """A refused key or device, an unknown address and a wrong certificate are not waited out."""

    async def use(session: IottlySession, service: Service) -> None:
        with pytest.raises(error):
            await session.call(page(), patience=inf)
        assert len(service.sent) == 1
        assert session.outage is None

    with_service(use, (0.0, inf), failure=failure)


def read_json(answer: Answer) -> object:
    """Read a page as the codec does: what is no JSON is not readable as a whole."""
    try:
        return json.loads(answer.body)
    except ValueError:
        pass
    raise DecodeError("expected a value, but this is not valid JSON", path="$")


UNREADABLE = pytest.mark.parametrize(
    ("failure", "error"),
    [
        (answers(200, HTML), DecodeError),
        (answers(200, b'{"messages": [{"fro'), DecodeError),
        (fails(ProtocolError), ProtocolError),
    ],
    ids=["html", "cut", "no http"],
)


@UNREADABLE
def test_three_unreadable_answers_are_waited_out(
    failure: Failure, error: type[IottlyError]
) -> None:
    """The page of a proxy during maintenance does not end a walk."""
    left = [failure] * 3

    async def mended() -> Answer:
        return await (left.pop() if left else answers(200, b"{}"))()

    async def use(session: IottlySession, service: Service) -> None:
        request = Request(PAGE, "/page", read_json)
        assert await session.call(request, patience=inf) == {}
        assert len(service.sent) == 4

    with_service(use, (0.0, inf), failure=mended)


@UNREADABLE
def test_an_answer_that_stays_unreadable_is_an_error(
    failure: Failure, error: type[IottlyError]
) -> None:
    """The fourth in a row is raised, whatever patience is left; no outage is told of."""

    async def use(session: IottlySession, service: Service) -> None:
        with pytest.raises(error):
            await session.call(Request(PAGE, "/page", read_json), patience=inf)
        assert len(service.sent) == 4
        assert session.outage is None

    with_service(use, (0.0, inf), failure=failure)


def test_a_part_that_cannot_be_read_is_an_error_at_once() -> None:
    """A row of an odd form would be as odd the next time."""

    def read(_: Answer) -> None:
        raise DecodeError("expected a text", path="$.messages[0].from")

    async def use(session: IottlySession, service: Service) -> None:
        with pytest.raises(DecodeError):
            await session.call(Request(PAGE, "/page", read), patience=inf)
        assert len(service.sent) == 1

    with_service(use)


def test_a_request_that_always_fails_holds_up_no_other() -> None:
    """While one page is always answered 500, the other pages go on at full speed."""

    async def use(session: IottlySession, service: Service) -> None:
        async def poisoned() -> None:
            with pytest.raises(ServerError):
                await session.call(page("/poison"), patience=300.0)

        poison = asyncio.create_task(poisoned())
        done = await pages(session, service, at_once=4, end=300.0)
        assert done >= 4 * 300 / 0.25 * 0.95
        await poison
        assert service.targets.count("/poison") <= 40

    with_service(use, poison=("poison", answers(500, OWN_ERROR)))


def test_a_request_that_always_fails_does_not_hold_up_rare_ones() -> None:
    """A page that is requested once in 30 s is sent at once, although another always fails."""

    async def use(session: IottlySession, service: Service) -> None:
        poison = asyncio.create_task(session.call(page("/poison"), patience=inf))
        for _ in range(20):
            await asyncio.sleep(30)
            before = service.now
            await session.call(page(), patience=inf)
            assert service.now - before <= 0.6
        poison.cancel()
        await asyncio.wait([poison])

    with_service(use, poison=("poison", answers(500, OWN_ERROR)))


# --- refusals --------------------------------------------------------------------------------


def test_a_service_that_only_refuses_is_given_up_after_patience() -> None:
    """Refusals are the limiter's to wait for; with no end of them, patience ends."""

    async def use(session: IottlySession, service: Service) -> None:
        with pytest.raises(RateLimitedError):
            await session.call(page(), patience=120.0)
        assert service.now >= 120.0
        assert session.outage is None

    with_service(use, (0.0, inf), failure=answers(429, OWN_ERROR, retry_after="5"))


def test_refusals_do_not_end_a_patient_call() -> None:
    """More refusals than `RetryPolicy.max_refusals` are waited out within patience."""

    async def use(session: IottlySession, service: Service) -> None:
        await session.call(page(), patience=inf)
        assert session.stats.refusals > 3

    few = RetryPolicy(max_refusals=3)
    failure = answers(429, OWN_ERROR, retry_after="5")
    with_service(use, (0.0, 100.0), failure=failure, retry=few)


# --- calls that somebody waits for ---------------------------------------------------------------


def test_a_call_that_somebody_waits_for_fails_as_soon_as_without_an_outage() -> None:
    """In an outage of the session, its attempts and its time are those of its own retries."""

    async def use(session: IottlySession, service: Service) -> tuple[int, float]:
        work = asyncio.create_task(pages(session, service, at_once=8, end=70))
        await asyncio.sleep(20)
        assert session.outage is not None
        before = service.now
        with pytest.raises(ConnectError) as caught:
            await GET.make(session)
        took = service.now - before
        await work
        return caught.value.attempts, took

    async def alone(session: IottlySession, service: Service) -> tuple[int, float]:
        with pytest.raises(ConnectError) as caught:
            await GET.make(session)
        return caught.value.attempts, service.now

    attempts, took = with_service(use, (BEGIN, 60.0))
    assert attempts == 4
    assert took <= 0.2 + 0.4 + 0.8
    attempts, took = with_service(alone, (0.0, inf))
    assert attempts == 4
    assert took <= 0.2 + 0.4 + 0.8


def test_its_success_ends_the_outage_for_all() -> None:
    """Patient work goes on as soon as a call that somebody waits for gets through."""

    async def use(session: IottlySession, service: Service) -> None:
        work = asyncio.create_task(pages(session, service, at_once=8, end=70))
        await asyncio.sleep(60.0)
        assert session.outage is not None
        await session.call(page())
        before = service.now
        assert session.outage is None
        await asyncio.sleep(0.3)
        assert service.sent_during(before, before + 0.01) == 8
        await work

    with_service(use, (BEGIN, 59.9))


def test_its_failures_count() -> None:
    """After three of them, patient work waits for a probe instead of finding out by itself."""

    async def use(session: IottlySession, service: Service) -> None:
        with pytest.raises(ConnectError):
            await GET.make(session)
        assert session.outage is not None
        sent = len(service.sent)
        work = [asyncio.create_task(session.call(page(), patience=inf)) for _ in range(50)]
        await asyncio.sleep(3)
        assert len(service.sent) - sent <= 5
        await asyncio.gather(*work)

    with_service(use, (0.0, 10.0))


def test_a_command_that_fails_is_no_outage() -> None:
    """A 500 to commands says nothing of the service: it may be a typing error (D16)."""
    command = Route("commands.send", "POST", "v1.0", "device/{device}/command", command=True)

    async def use(session: IottlySession, service: Service) -> None:
        for _ in range(5):
            with pytest.raises(IottlyError):
                await session.call(Request(command, "/poison", lambda _: None, b"{}"))
        assert session.outage is None

    with_service(use, poison=("poison", answers(500, OWN_ERROR)))


def test_a_patient_command_is_not_sent_twice() -> None:
    """Patience waits for a connection; it repeats nothing that may have been taken (D10)."""
    command = Route("commands.send", "POST", "v1.0", "device/{device}/command", command=True)
    request = Request(command, "/command", lambda _: None, b"{}")

    async def unknown(session: IottlySession, service: Service) -> int:
        with pytest.raises(CommandOutcomeUnknownError):
            await session.call(request, patience=inf)
        return len(service.sent)

    async def sent_at_last(session: IottlySession, service: Service) -> int:
        await session.call(request, patience=inf)
        return len(service.sent)

    assert with_service(unknown, (0.0, 60.0), failure=lost) == 1
    assert with_service(unknown, (0.0, 60.0), failure=answers(503)) == 1
    assert with_service(sent_at_last, (0.0, 60.0), failure=refused) > 5


# --- ending ----------------------------------------------------------------------------------


@pytest.mark.parametrize("grace", [0.0, 2.0])
def test_closing_ends_calls_that_wait_in_an_outage(grace: float) -> None:
    """They end with SessionClosedError, when the grace period is over at the latest."""

    async def use(session: IottlySession, service: Service) -> None:
        calls = [asyncio.create_task(session.call(page(), patience=inf)) for _ in range(10)]
        await asyncio.sleep(30)
        before = service.now
        await session.aclose(grace=grace)
        assert service.now - before <= grace + 0.01
        results = await asyncio.gather(*calls, return_exceptions=True)
        assert {type(result) for result in results} == {SessionClosedError}

    with_service(use, (0.0, inf))


def test_a_cancelled_probe_does_not_hold_up_the_others() -> None:
    """If the call that probes is cancelled while it hangs, the next one probes at once."""

    async def use(session: IottlySession, service: Service) -> None:
        calls = {
            n: asyncio.create_task(session.call(page(f"/{n}"), patience=inf)) for n in range(6)
        }
        await asyncio.sleep(30)  # by now a probe hangs
        probes = len(service.sent)
        probe = int(service.targets[-1][1:])
        calls.pop(probe).cancel()
        await settle()
        assert len(service.sent) == probes + 1
        assert service.targets[-1] != f"/{probe}"
        await asyncio.gather(*calls.values())

    with_service(use, (0.0, 100.0), failure=silent)


def test_permits_that_come_in_an_outage_are_given_back() -> None:
    """Of a hundred calls that wait for the next window, only a few find the service away."""
    end = 120.0

    async def use(session: IottlySession, service: Service) -> None:
        calls = [asyncio.create_task(session.call(page(), patience=inf)) for _ in range(100)]
        await asyncio.sleep(10)
        assert session.quota.waiting == 100
        service.headers = {}
        await asyncio.gather(*calls)
        assert service.sent_during(BEGIN, end) <= 20
        assert session.stats.failures == 0

    spent = {
        "x-ratelimit-limit": "60",
        "x-ratelimit-remaining": "0",
        "x-ratelimit-reset": "60",
    }
    with_service(use, (BEGIN, end), headers=spent)


def test_a_transport_error_keeps_its_class_and_its_attempts() -> None:
    """The error after patience is the last one, and says how often the call was tried."""

    async def use(session: IottlySession, service: Service) -> None:
        with pytest.raises(ConnectError) as caught:
            await session.call(page(), patience=60.0)
        assert caught.value.attempts == len(service.sent)
        assert caught.value.__cause__ is None

    with_service(use, (0.0, inf))


def test_a_transport_is_given_the_request_again_as_it_was() -> None:
    """Each attempt has the same target, method and body."""

    async def use(session: IottlySession, service: Service) -> None:
        seen: list[Outgoing] = []
        send = service.send

        async def noted(outgoing: Outgoing) -> Answer:
            seen.append(outgoing)
            return await send(outgoing)

        service.send = noted  # type: ignore[method-assign]
        await session.call(page("/a?b=c"), patience=inf)
        assert len(seen) > 5
        assert {(each.method, each.target, each.body) for each in seen} == {("GET", "/a?b=c", None)}

    with_service(use, (0.0, 30.0))


async def _no_such_host() -> Answer:
    error = ConnectError("not found", sent="no")
    error.no_such_host = True
    raise error


def test_a_name_that_vanishes_is_waited_out() -> None:
    """If the service has answered before, a name that is not found any more is an outage."""

    async def use(session: IottlySession, service: Service) -> None:
        await session.call(page(), patience=300.0)
        assert service.answered[-1] >= 60.0

    with_service(use, (0.0, 60.0), failure=_no_such_host, warm=True)
