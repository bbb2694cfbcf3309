"""The quota of a key, as the limiter knows it."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from attrs import frozen

QuotaSource = Literal["server", "configured", "redis", "unknown"]


@frozen(kw_only=True)
class Quota:
    """A snapshot of the quota and of who waits for it.

    Attributes:
        limit: requests a window; None when unlimited or not yet known.
        remaining: requests still free in this window; None when unlimited or not yet known.
        resets_at: when the window ends; aware, UTC; None when not known.
        waiting: calls that wait for a turn.
        in_flight: calls that have a turn and no answer yet.
        refusals: answers of 429 so far.
        source: who says so: the server's headers, a configured tier, Redis, or nobody yet.
    """

    limit: int | None
    remaining: int | None
    resets_at: datetime | None
    waiting: int
    in_flight: int
    refusals: int
    source: QuotaSource
