"""What a stream hands out beside messages: the gaps in it."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from attrs import frozen

GapReason = Literal["since", "reconnect", "lost", "overflow"]


@frozen(kw_only=True)
class Gap:
    """A stretch of time of which a stream may have missed messages.

    Attributes:
        start: what was sent before it came, or was reported missing; aware, UTC, by the
            server's clock. None where nothing is known of the time before.
        end: what is sent from then on comes; None where the protocol does not tell.
        reason: "since" for the time from `since` to the first connection, "reconnect" for
            the time between two connections, "lost" for frames whose numbers never came,
            "overflow" for messages dropped because the consumer was slow.
        missed: how many messages, where that is known; None otherwise.
        filled: whether the missing messages follow at once, read by a walk.
    """

    start: datetime | None
    end: datetime | None
    reason: GapReason
    missed: int | None = None
    filled: bool = False
