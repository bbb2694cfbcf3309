"""Up to which time a stream has delivered everything. Pure.

Two clocks are involved. Messages are stamped by one clock of the service, and `Date` headers
and the times in frames come from a clock that need not be the same one (D11). A single stamp
can be wrong as well: a message stamped an hour ahead says nothing about the hour before it.
So the position is kept as a moment of our own monotonic clock, at which the last message in
order, or a sign of life after it, arrived. It is turned into a time of the service by what
the newest messages and the service's own times say, and by the earliest of them.
"""

from __future__ import annotations

from collections import deque
from datetime import UTC, datetime, timedelta
from typing import Final

_MESSAGES: Final = 9
"""The newest messages whose stamps are compared with the time of their arrival."""

_WILD: Final = timedelta(seconds=60)
"""A stamp so much later than all else says is not believed."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_DATE_STEP: Final = timedelta(seconds=1)


class StreamPosition:
    """Tells where the next gap starts, and how far it has to be read.

    Times of the service are aware datetimes. Moments are seconds of the monotonic clock.

    Args:
        since: where the first gap starts; None if nothing before the first connection counts.
        settle: how long a message may stay invisible after its stamp.

    Attributes:
        has_wild: whether a message was stamped far ahead. Then a gap may have one as well.
        is_guess: whether only the local clock is known, and no time of the service.
    """

    def __init__(self, since: datetime | None, settle: timedelta) -> None:
        self._since = since
        self._settle = settle
        # Offsets: the service's time less the monotonic clock, as times since the epoch.
        self._stamped: deque[timedelta] = deque(maxlen=_MESSAGES)
        self._server: tuple[timedelta, timedelta] | None = None
        self._low = self._high = timedelta()
        self._moment: float | None = None
        self._reached = _EPOCH
        self.has_wild = False
        self.is_guess = True

    # What is observed

    def note_server_time(
        self, at: datetime, moment: float, *, exact: bool = True, guess: bool = False
    ) -> None:
        """Take the service's present time, as a frame or a header says it.

        Args:
            at: the time.
            moment: when it arrived.
            exact: False if it has whole seconds only, as a `Date` header.
            guess: True if it is the local clock's, for want of another.
        """
        if guess and not self.is_guess:
            return
        self.is_guess = guess
        offset = _offset(at, moment)
        self._server = (offset, offset if exact else offset + _DATE_STEP)
        self._set_bounds()

    def note_arrival(self, stamp: datetime, moment: float) -> None:
        """Take the stamp of a message that arrived, in order or not."""
        self.has_wild |= self._server is not None and self.is_wild(stamp, moment)
        self._stamped.append(_offset(stamp, moment))
        self.is_guess = False
        self._set_bounds()

    def _set_bounds(self) -> None:
        self._low, self._high = self._server or (self._stamped[0], self._stamped[0])
        if self._stamped:
            self._low = min(self._low, *self._stamped)
            self._high = max(self._high, *self._stamped)

    def deliver(self, stamp: datetime, moment: float) -> None:
        """A message was delivered, and everything that was sent before it.

        Args:
            stamp: of the message.
            moment: when it arrived, which may be before others that were delivered before it.
        """
        self._moment, self._reached = moment, min(stamp, self.earliest(moment))

    def advance(self, moment: float) -> None:
        """Everything that was sent before this moment was delivered, or is in a gap."""
        self._moment, self._reached = moment, self.earliest(moment)

    # What follows from it

    @property
    def complete_until(self) -> datetime | None:
        """The time up to which everything is delivered; None if nothing before counts.

        It is never later than the last message in order, nor than the service's present less
        the settle time.
        """
        if self._moment is None:
            return self._since
        # What arrived since then may show that the clock that stamps was earlier; never later.
        return min(self._reached, self.earliest(self._moment)) - self._settle

    @property
    def stamp_offset(self) -> timedelta | None:
        """How far the clock that stamps is ahead of the service's other clock.

        None as long as too little is known. Lateness counts as being behind.
        """
        if self._server is None or len(self._stamped) < _MESSAGES:
            return None
        ahead = min(self._stamped) - self._server[1]
        behind = max(self._stamped) - self._server[0]
        return ahead if ahead > timedelta() else min(behind, timedelta())

    def earliest(self, moment: float) -> datetime:
        """The earliest that the stamps' clock can show at a moment."""
        return _time(self._low, moment)

    def latest(self, moment: float) -> datetime:
        """The latest that the stamps' clock can show at a moment."""
        return _time(self._high, moment)

    def is_wild(self, stamp: datetime, moment: float) -> bool:
        """Whether a stamp is far ahead of what other stamps and the service's times say."""
        return stamp > self.earliest(moment) + _WILD


def _offset(at: datetime, moment: float) -> timedelta:
    return at - _EPOCH - round(moment * 1e6) * _MICROSECOND


def _time(offset: timedelta, moment: float) -> datetime:
    return _EPOCH + offset + round(moment * 1e6) * _MICROSECOND
