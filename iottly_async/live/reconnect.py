"""When to try a connection again, and when it is of no use. Pure."""

from __future__ import annotations

from typing import Final

from ..config import RetryPolicy
from ..errors import ApiError, IottlyError, RateLimitedError, TransportError

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


def delay(
    failures: int, policy: RetryPolicy, chance: float, *, retry_after: float | None = None
) -> float:
    """Seconds before the next connection: full jitter below a bound that doubles.

    Args:
        failures: in a row, 0 after a connection that worked.
        policy: `initial_delay` and `max_delay` are used.
        chance: in [0, 1).
        retry_after: what the service asked for; waited for, and jitter on top.
    """
    bound = min(policy.max_delay, policy.initial_delay * 2.0 ** min(failures, 30))
    return (retry_after or 0.0) + chance * bound
