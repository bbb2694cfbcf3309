"""The quota of a key, as the limiter knows it."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from attrs import frozen

from ._model import Model

QuotaSource = Literal["server", "configured", "redis", "learned", "unknown"]


@frozen(kw_only=True)
class Quota(Model):
    """A snapshot of the quota, and of the calls that wait for it.

    Attributes:
        limit: requests a window; None if unlimited or not yet known.
        remaining: requests left in this window; None if unlimited or not yet known.
        resets_at: when the window ends; aware, UTC; None if not known.
        window: the window's length in seconds, as learned from the answers; None until one
            window was seen whole, and if unlimited.
        waiting: calls that wait for a permit.
        in_flight: calls that have a permit and no answer yet.
        refusals: answers of 429 so far.
        source: where this comes from: "server" (its headers), "configured" (a tier), "redis"
            (shared with other processes), "learned" (from what passed, after refusals without
            limit headers; `rate` says how much), or "unknown".
        rate: requests a second, as learned from what passed; None unless refusals came without
            limit headers.
    """

    limit: int | None
    remaining: int | None
    resets_at: datetime | None
    window: float | None = None
    waiting: int
    in_flight: int
    refusals: int
    source: QuotaSource
    rate: float | None = None
