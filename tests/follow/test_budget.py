"""How the remaining quota is spread over the window."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from iottly_async import Quota
from iottly_async.follow.budget import PollBudget

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def quota(remaining: int, resets_in: float, limit: int = 600) -> Quota:
    """A quota at noon."""
    return Quota(
        limit=limit,
        remaining=remaining,
        resets_at=NOON + timedelta(seconds=resets_in),
        window=30.0,
        waiting=0,
        in_flight=0,
        refusals=0,
        source="server",
    )


def test_the_remaining_quota_is_spread_over_the_window() -> None:
    """A tenth of the quota is reserved, and the rest lasts until the window ends."""
    budget = PollBudget(0.9)
    budget.spend(100.0)
    assert budget.next_at(quota(360, 30.0), 100.0, NOON.timestamp()) == pytest.approx(100.1)
    assert budget.next_at(quota(60, 30.0), 100.0, NOON.timestamp()) == pytest.approx(130.0)
    assert budget.round_time(quota(0, 60.0), 2000) == pytest.approx(2000 * 30 / 540)


def test_without_a_limit_there_is_no_pace() -> None:
    """While no quota is known, polls are sent at once."""
    unknown = Quota(
        limit=None,
        remaining=None,
        resets_at=None,
        waiting=0,
        in_flight=0,
        refusals=0,
        source="unknown",
    )
    budget = PollBudget(0.5)
    budget.spend(5.0)
    assert budget.next_at(unknown, 5.0, 0.0) == 5.0
    assert budget.round_time(unknown, 100) == 0.0
