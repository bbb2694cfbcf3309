"""The gaps of a stream: what a consumer gets beside messages."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from attrs import evolve, frozen

GapReason = Literal["since", "reconnect", "lost", "overflow"]


@frozen(kw_only=True)
class Gap:
    """An interval of time in which a stream may have missed messages.

    Attributes:
        start: the service's time before which nothing is missing; aware, UTC. None if the
            stream does not know of any earlier time.
        end: the service's time after which messages come by the stream again; aware, UTC.
            None if the protocol does not tell.
        reason: "since" for the time from the argument `since` to the first connection,
            "reconnect" for the time between two connections, "lost" for messages whose
            numbers never came, "overflow" for messages that were dropped because the
            buffer was full.
        missed: the number of missing messages; None if it is not known. Default None.
        filled: True if the missing messages follow directly after the gap, read over
            REST. Default False.
    """

    start: datetime | None
    end: datetime | None
    reason: GapReason
    missed: int | None = None
    filled: bool = False


@frozen
class BufferedGap:
    """A gap that waits for the consumer.

    Attributes:
        gap: the gap.
        reported_at: seconds on the monotonic clock; the gap had ended by then.
    """

    gap: Gap
    reported_at: float

    def join(self, later: BufferedGap) -> BufferedGap:
        """One gap that covers this one and a later one."""
        first, second = self.gap, later.gap
        joined = evolve(
            first,
            start=None
            if first.start is None or second.start is None
            else min(first.start, second.start),
            end=None if first.end is None or second.end is None else max(first.end, second.end),
            missed=None
            if first.missed is None or second.missed is None
            else first.missed + second.missed,
        )
        return BufferedGap(joined, max(self.reported_at, later.reported_at))
