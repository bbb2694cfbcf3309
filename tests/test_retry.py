"""The retry decision, the back-off and the retry budget."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iottly_async import (
    ConnectError,
    DecodeError,
    ForbiddenError,
    IottlyError,
    RateLimitedError,
    RetryPolicy,
    ServerError,
    UnauthorizedError,
)
from iottly_async.retry import Failure, RetryBudget, backoff_delay, decide, is_passing, retry_delay
from iottly_async.wire import Route

READ = Route("devices.get", "GET", "v1.0")
WRITE = Route("devices.rename", "PUT", "v1.0")
COMMAND = Route("commands.send", "POST", "v1.0", command=True)
POLICY = RetryPolicy()


def decided(failure: Failure, route: Route, attempt: int, policy: RetryPolicy) -> float | None:
    """The decision, with jitter in the middle of its range."""
    return decide(failure, route, attempt, policy, lambda: 0.5)


@pytest.mark.parametrize("route", [READ, WRITE], ids=["GET", "PUT"])
@pytest.mark.parametrize(
    ("failure", "again"),
    [
        (Failure(sent="no"), True),
        (Failure(sent="maybe"), True),
        (Failure(sent="maybe", timed_out=True), True),
        (Failure(sent="maybe", lasting=True), False),
        *((Failure(sent="yes", status=status), True) for status in (408, 500, 502, 503, 504)),
        *(
            (Failure(sent="yes", status=status), False)
            for status in (302, 400, 401, 403, 404, 409, 413, 418, 501)
        ),
    ],
)
def test_reads_and_writes_are_tried_again(route: Route, failure: Failure, again: bool) -> None:
    """A failure that another attempt may avoid is retried, up to the policy's attempts."""
    assert (decided(failure, route, 1, POLICY) is not None) == again
    assert decided(failure, route, POLICY.max_attempts, POLICY) is None


@pytest.mark.parametrize(
    ("failure", "again"),
    [
        (Failure(sent="no"), True),
        (Failure(sent="maybe"), False),
        (Failure(sent="maybe", timed_out=True), False),
        (Failure(sent="yes", status=429, from_api=True), True),
        (Failure(sent="yes", status=429, from_api=False), False),
        *((Failure(sent="yes", status=s, from_api=True), False) for s in (408, 500, 502, 503, 504)),
    ],
)
def test_a_command_is_tried_again_only_if_surely_not_taken(failure: Failure, again: bool) -> None:
    """A command is retried if it was not sent, or after the API's own 429 (D10)."""
    assert (decided(failure, COMMAND, 1, POLICY) is not None) == again


def test_a_429_is_paced_by_the_limiter_and_not_counted() -> None:
    """After a 429 the pause is 0 s, however many attempts there were."""
    assert decided(Failure(sent="yes", status=429), READ, 100, POLICY) == 0.0


def test_what_the_service_asks_for_is_the_pause() -> None:
    """Retry-After replaces the computed pause, however long it is."""
    assert decided(Failure(sent="yes", status=503, retry_after=77.0), READ, 1, POLICY) == 77.0


@given(st.integers(1, 3), st.floats(0, 1, exclude_max=True))
def test_pauses_have_full_jitter_below_an_exponential_bound(attempt: int, drawn: float) -> None:
    """The pause after the n-th attempt lies between 0 and initial times 2 to the n - 1."""
    pause = decide(Failure(sent="maybe"), READ, attempt, POLICY, lambda: drawn)
    assert pause == pytest.approx(drawn * POLICY.initial_delay * 2 ** (attempt - 1))


def test_the_bound_doubles_up_to_the_longest() -> None:
    """The bound starts at `initial`, doubles with each failure and never exceeds `most`."""

    def delay(failures: int, drawn: float = 1.0) -> float:
        return backoff_delay(failures, initial=0.2, most=10, random=lambda: drawn)

    assert [delay(n) for n in range(1, 8)] == [0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10]
    assert delay(5000, 0.5) == 5
    assert delay(1, 0.0) == 0
    assert backoff_delay(3, initial=0, most=10, random=lambda: 1.0) == 0


def test_a_reconnect_waits_for_what_the_service_asks_and_for_jitter() -> None:
    """Jitter is added to Retry-After, so that not all clients come back in the same second."""
    policy = RetryPolicy(initial_delay=0.2, max_delay=10)
    assert retry_delay(1, policy, lambda: 0.5, retry_after=7) == pytest.approx(7.1)
    assert retry_delay(2, policy, lambda: 0.5) == pytest.approx(0.2)


def test_the_budget_stops_a_storm_and_is_earned_back() -> None:
    """A retry costs 5 tokens, after a timeout 10; a success gives back what was paid, or 1."""
    budget = RetryBudget(20)
    assert budget.spend(timed_out=True) == 10
    budget.earn(10)
    assert budget.tokens == 20
    assert budget.spend(timed_out=True)
    assert budget.spend(timed_out=False)
    assert budget.spend(timed_out=False)
    assert not budget.spend(timed_out=False)
    for _ in range(100):
        budget.earn()
    assert budget.tokens == 20


@pytest.mark.parametrize(
    ("error", "passing"),
    [
        (ConnectError(), True),
        (ServerError(status=503), True),
        (RateLimitedError(status=429), True),
        (RateLimitedError(), True),
        (UnauthorizedError(status=401), False),
        (ForbiddenError(status=403), False),
        (DecodeError(), False),
    ],
)
def test_what_may_pass(error: IottlyError, passing: bool) -> None:
    """A failure may pass if it is of the network, the quota or the service."""
    assert is_passing(error) is passing
