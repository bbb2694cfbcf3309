"""The gaps of a stream: what a consumer gets beside messages."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from operator import add
from typing import Literal, TypeVar

from attrs import evolve, frozen

from ..models._model import Model
from ..models._pydantic import teach_pydantic

T = TypeVar("T")

GapReason = Literal["since", "reconnect", "lost", "overflow"]


@frozen(kw_only=True)
class Gap(Model):
    """An interval of time in which a stream may have missed messages.

    Attributes:
        start: the service's time before which nothing is missing; aware, UTC. With reason
            "overflow" it is that of the first dropped message, with "since" the argument; else
            it is `settle` seconds before the newest message before the gap, or earlier. None
            if the stream does not know of any earlier time.
        end: the service's time after which messages come by the stream again; aware, UTC.
            None if the protocol does not tell.
        reason: "since" for the time from the argument `since` to the first connection,
            "reconnect" for the time between two connections, "lost" for messages whose
            numbers never came or which could not be read, "overflow" for messages that were
            dropped because the buffer was full.
        missed: the number of missing messages; None if it is not known. Default None.
        filled: True if the missing messages follow directly after the gap, read over
            REST. Default False.
    """

    start: datetime | None
    end: datetime | None
    reason: GapReason
    missed: int | None = None
    filled: bool = False


teach_pydantic(Gap)


@frozen
class BufferedGap:
    """A gap that waits for the consumer.

    Attributes:
        gap: the gap.
        reported_at: seconds on the monotonic clock; the gap had ended by then.
        read_until: the time up to which a backfill must read; it may be later than the gap's
            end, where the service's clocks differ. None, the default, is the gap's end; if
            that is not known either, the service is asked.
        open_ended: whether a backfill must read whatever is stamped later, too, because
            stamps far ahead were seen. Default False.
        overlap_from: the stream brings no message after this gap that is stamped earlier,
            except for late ones. None, the default, is the gap's end.
    """

    gap: Gap
    reported_at: float
    read_until: datetime | None = None
    overlap_from: datetime | None = None
    open_ended: bool = False

    def join(self, later: BufferedGap) -> BufferedGap:
        """One gap that covers this one and a later one."""
        first, second = self.gap, later.gap
        joined = evolve(
            first,
            start=_combined(min, first.start, second.start),
            end=_combined(max, first.end, second.end),
            missed=_combined(add, first.missed, second.missed),
        )
        return BufferedGap(
            joined,
            max(self.reported_at, later.reported_at),
            _latest(self.read_until, later.read_until),
            _combined(min, self.overlap_from, later.overlap_from),
            self.open_ended or later.open_ended,
        )


def _combined(combine: Callable[[T, T], T], first: T | None, second: T | None) -> T | None:
    return None if first is None or second is None else combine(first, second)


def _latest(first: datetime | None, second: datetime | None) -> datetime | None:
    if first is None or second is None:
        return first or second
    return max(first, second)
