"""Decides whether a failed attempt is tried again, and after how many seconds. Pure.

This is the only file that imports `backoff`. It uses the library's wait generator and not
its decorators: those call `asyncio.iscoroutinefunction`, which Python is removing, and retry
whatever they decorate, commands too (seen in 2.2.1).
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from typing import Final

import backoff
from attrs import frozen

from .config import RetryPolicy
from .errors import (
    ApiError,
    DecodeError,
    IottlyError,
    ProtocolError,
    ProxyError,
    RateLimitedError,
    ResponseTooLargeError,
    Sent,
    TLSError,
    TransportError,
)
from .wire import Route

RETRIED_STATUSES: Final = frozenset({408, 429, 500, 502, 503, 504})

COST: Final = 5
COST_AFTER_TIMEOUT: Final = 10
"""Tokens of the retry budget that one retry costs."""


@frozen(kw_only=True)
class Failure:
    """How an attempt failed.

    Attributes:
        status: of the answer; None if no answer arrived.
        sent: whether the request was sent.
        retry_after: seconds that the service asked for; None if it asked for none.
        from_api: whether the answer is the API's own, not a proxy's.
        timed_out: whether the attempt exceeded its time limit.
        lasting: whether another attempt would fail in the same way: a certificate, broken
            framing, an answer that is too large.
        stray: whether a read met bytes that are no HTTP on a kept connection: the rest of an
            earlier answer. The read is sent again at once, on a new connection.
    """

    status: int | None = None
    sent: Sent
    retry_after: float | None = None
    from_api: bool = False
    timed_out: bool = False
    lasting: bool = False
    stray: bool = False


def decide(
    failure: Failure,
    route: Route,
    attempt: int,
    policy: RetryPolicy,
    random: Callable[[], float],
) -> float | None:
    """Decide whether to make another attempt.

    After a 429 the pause is 0: the limiter has seen the answer and makes the call wait for a
    permit. The policy's attempts count neither a 429 nor stray bytes.

    Args:
        failure: of the attempt that just ended.
        route: of the call; a command is tried again only if it surely was not taken (D10).
        attempt: how many attempts were made, without those answered by 429 or by stray bytes.
        policy: the limits.
        random: draws a number in [0, 1), for the jitter.

    Returns:
        Seconds to pause before the next attempt; None to give up.
    """
    if route.command and not surely_not_taken(failure):
        return None
    if failure.status == 429 or failure.stray:
        return 0.0
    if failure.lasting or attempt >= policy.max_attempts:
        return None
    if failure.status is not None and failure.status not in RETRIED_STATUSES:
        return None
    if failure.retry_after is not None:
        return failure.retry_after
    return retry_delay(attempt, policy, random)


def surely_not_taken(failure: Failure) -> bool:
    """Say whether a command may be sent again: it was not sent, or the API refused it (D10)."""
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
    """A budget of retries that all calls of a session share.

    A retry costs tokens, and a call that succeeds earns some. As long as calls succeed in the
    end, the budget has no effect. In an outage the first calls retry, and the others fail at
    their first attempt. So the clients of a service that comes back do not overload it again.

    Args:
        most: tokens at the start, which are also the most it ever holds.
    """

    __slots__ = ("_most", "_tokens")

    def __init__(self, most: int) -> None:
        self._most = most
        self._tokens = most

    @property
    def tokens(self) -> int:
        """Tokens that remain."""
        return self._tokens

    def spend(self, *, timed_out: bool) -> int:
        """Pay for one retry.

        Args:
            timed_out: whether the attempt timed out; such a retry costs twice as much.

        Returns:
            The tokens paid; 0 if too few remain, and then nothing is paid.
        """
        cost = COST_AFTER_TIMEOUT if timed_out else COST
        if cost > self._tokens:
            return 0
        self._tokens -= cost
        return cost

    def earn(self, paid: int = 0) -> None:
        """Add the tokens of a call that succeeded.

        Args:
            paid: what the call paid for its retries, which it gets back; after 0, it adds 1.
        """
        self._tokens = min(self._tokens + (paid or 1), self._most)


_REFUSED_BY_PROXY: Final = frozenset({404, 408, 425, 429})
"""Statuses below 500 that pass if the answer is a proxy's. 400, 401, 403 and 407 do not."""

_WILL_NOT_PASS: Final = (TLSError, ResponseTooLargeError)


def is_passing(error: IottlyError) -> bool:
    """Say whether a failure may pass, so that work that goes by itself waits it out (D18).

    What may pass: no connection, a lost one, no quota, an attempt's timeout, 408, 425, 429,
    500, 502, 503, 504, and 404 or any 5xx of a proxy. What does not pass: a refused key (401,
    403), an address that the API does not know, a redirect (D12), TLS, a proxy's 403 or 407, an
    answer that is too large, an error that is not of a call.
    """
    if isinstance(error, ProxyError):
        return not error.lasting
    if isinstance(error, TransportError):
        return not isinstance(error, _WILL_NOT_PASS)
    if isinstance(error, RateLimitedError):
        return True
    if not isinstance(error, ApiError) or error.status is None:
        return False
    if error.from_api:
        return error.status in RETRIED_STATUSES or error.status == 425
    return error.status in _REFUSED_BY_PROXY or error.status >= 500


def is_unreadable(error: IottlyError) -> bool:
    """Say whether a whole answer could not be read: HTML, cut JSON, bytes that are no HTTP.

    A few such answers in a row may pass, as those of a proxy during maintenance do.
    """
    if isinstance(error, DecodeError):
        return error.path == "$"
    return isinstance(error, ProtocolError)
