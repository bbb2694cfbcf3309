"""A session on an emulator, and percentiles, for the live benchmarks."""

from __future__ import annotations

from collections.abc import Sequence

from iottly_async import Config, IottlySession, RateLimiter, RetryPolicy
from iottly_async.emulator import Emulator

QUICK_RETRY = RetryPolicy(initial_delay=0.01, max_delay=0.05)


def session_on(emulator: Emulator, *, retry: RetryPolicy = QUICK_RETRY) -> IottlySession:
    """A session with a limiter of its own; each benchmark sets `settle`."""
    config = Config(base_url=emulator.base_url, settle=0, retry=retry)
    return IottlySession(emulator.api_key, config=config, limiter=RateLimiter())


def percentile(values: Sequence[float], part: float) -> float:
    """The value below which this part of the values lies."""
    ordered = sorted(values)
    return ordered[min(int(len(ordered) * part), len(ordered) - 1)] if ordered else float("nan")
