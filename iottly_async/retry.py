"""Whether a failed attempt is tried again, and after how many seconds: pure.

The one room that knows `backoff`, of which it uses the wait generator and the
jitter. Its decorators are not used: they look at coroutine functions by a call that
Python is removing, and they retry whatever they decorate, commands too.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from typing import Final

import backoff
from attrs import frozen

from .config import RetryPolicy
from .errors import ApiError, IottlyError, RateLimitedError, Sent, TransportError
from .wire import Route

RETRIED_STATUSES: Final = frozenset({408, 429, 500, 502, 503, 504})

COST: Final = 5
COST_AFTER_TIMEOUT: Final = 10


@frozen(kw_only=True)
class Failure:
    """How an attempt failed.

    Attributes:
        status: of the answer; None where none came.
        sent: whether the request left.
        retry_after: seconds that the service asked for; None where it did not.
        from_api: whether the answer is the API's own, not a proxy's.
        timed_out: whether the attempt's own time ran out.
        lasting: whether another attempt must fail alike: a certificate, broken framing,
            an answer too large.
    """

    status: int | None = None
    sent: Sent
    retry_after: float | None = None
    from_api: bool = False
    timed_out: bool = False
    lasting: bool = False


def decide(
    failure: Failure,
    route: Route,
    attempt: int,
    policy: RetryPolicy,
    random: Callable[[], float],
) -> float | None:
    """Seconds to pause before the next attempt, or None to give up.

    Args:
        failure: of the attempt that just ended.
        route: the call; a command is tried again only where it surely was not taken (D10).
        attempt: how many attempts were made, answers of 429 not counted.
        policy: the bounds.
        random: draws a number in [0, 1), for the jitter.

    After a 429 the pause is 0: the limiter, which was told of the answer, makes the
    call wait its turn, and the policy's attempts do not count it.
    """
    if route.command and not _surely_not_taken(failure):
        return None
    if failure.status == 429:
        return 0.0
    if failure.lasting or attempt >= policy.max_attempts:
        return None
    if failure.status is not None and failure.status not in RETRIED_STATUSES:
        return None
    if failure.retry_after is not None:
        return failure.retry_after
    return retry_delay(attempt, policy, random)


def _surely_not_taken(failure: Failure) -> bool:
    return failure.sent == "no" or (failure.status == 429 and failure.from_api)


def backoff_delay(
    failures: int, *, initial: float, most: float, random: Callable[[], float]
) -> float:
    """Draw the pause before the next attempt: full jitter below an exponential bound.

    Args:
        failures: attempts that failed in a row, 1 or more.
        initial: seconds, the bound after the first failure; it doubles with each further one.
        most: seconds that the bound never exceeds.
        random: draws a number in [0, 1).

    Returns:
        Seconds, from 0 to below the bound.
    """
    bounds = backoff.expo(base=2, factor=initial, max_value=most)
    # The generator's first value is None: it waits there to be started. Beyond 64 failures
    # the bound has long reached `most`.
    bound = next(islice(bounds, min(failures, 64), None))
    return random() * bound


def retry_delay(
    failures: int,
    policy: RetryPolicy,
    random: Callable[[], float],
    *,
    retry_after: float | None = None,
) -> float:
    """Draw the pause before a failed request, connection or poll is tried again.

    Args:
        failures: attempts that failed in a row, 1 or more.
        policy: gives the bounds, `initial_delay` and `max_delay`.
        random: draws a number in [0, 1).
        retry_after: seconds that the service asked for, to which the jitter is added;
            None if it asked for none.

    Returns:
        Seconds.
    """
    drawn = backoff_delay(
        failures, initial=policy.initial_delay, most=policy.max_delay, random=random
    )
    return (retry_after or 0.0) + drawn


class RetryBudget:
    """Tokens that all calls of a session share; a retry costs some, a success earns some.

    While calls succeed in the end, at whichever attempt, it is never noticed. In an outage
    it lets the first calls retry and then makes the others fail at their first attempt, so
    that the clients of a service that comes back do not take it down again.
    """

    __slots__ = ("_most", "_tokens")

    def __init__(self, most: int) -> None:
        self._most = most
        self._tokens = most

    @property
    def tokens(self) -> int:
        """What is left."""
        return self._tokens

    def spend(self, *, timed_out: bool) -> int:
        """Pay for one retry: how many tokens; 0, and nothing is paid, where too few are left."""
        cost = COST_AFTER_TIMEOUT if timed_out else COST
        if cost > self._tokens:
            return 0
        self._tokens -= cost
        return cost

    def earn(self, paid: int = 0) -> None:
        """A call succeeded: what it `paid` for retries comes back, or 1 where it needed none."""
        self._tokens = min(self._tokens + (paid or 1), self._most)


_PASSING: Final = frozenset({408, 425})


def is_passing(error: IottlyError) -> bool:
    """Whether what failed may pass: no answer, no quota, 408, 425, a fault of the service.

    A refusal of the key (401, 403), an address that is not there and a redirect (D12) are final.
    """
    if isinstance(error, TransportError | RateLimitedError):
        return True
    if not isinstance(error, ApiError) or error.status is None:
        return False
    return error.status in _PASSING or error.status >= 500
