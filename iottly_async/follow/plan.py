"""What is to be followed, and how: checked here, carried out a floor above."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from typing import Any

from attrs import frozen

from ..models import Cursor, MessageBatch
from ..walk import Fetch, History, WalkQuery, WalkSettings


@frozen(kw_only=True)
class FollowPlan:
    """Devices to follow.

    Attributes:
        query: of a device, from the beginning on.
        devices: which ones, as of now.
        fixed: whether `devices` will always give the same.
        fetch, history: where pages and ids come from.
        settings: of the walks.
        start: milliseconds since the epoch from which on messages are wanted, of devices
            without a cursor; None is the server's present.
        cursors: where to go on, by device id.
        doorbell: what makes it look at once; None for nothing.
        goal: seconds that a device's oldest unseen message may be old, on average.
        fastest, slowest: seconds between two looks at one device.
        share: of the quota that may be used.
        concurrency: looks at once.
        empty: whether a look that found nothing is handed out too, for its cursor.
    """

    query: Callable[[str], WalkQuery]
    devices: Callable[[], Awaitable[list[str]]]
    fixed: bool
    fetch: Fetch
    history: History
    settings: WalkSettings
    start: int | None
    cursors: Mapping[str, Cursor]
    doorbell: Any
    goal: float
    fastest: float
    slowest: float
    share: float
    concurrency: int
    empty: bool = False


Follower = Callable[[FollowPlan], AsyncGenerator[MessageBatch, None]]
"""Carries a plan out."""
