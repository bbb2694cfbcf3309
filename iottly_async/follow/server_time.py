"""The server's present, to the millisecond, out of a `Date` that has whole seconds.

A walk ends at the server's now; by the `Date` alone that is up to a second ago, and a
follower would be as late. Every answer bounds the server's clock over ours, and many
bound it closely; closest of all do messages, which carry the server's time (D11): when
one is here, its time is past.
"""

from __future__ import annotations

from collections.abc import Sequence
from email.utils import formatdate
from math import inf
from typing import Final

from attrs import evolve

from ..clock import Clock
from ..models import Message
from ..server_clock import ServerClock
from ..walk import Fetch, Fetched, PageRequest

_WHOLE: Final = 1.0
_DRIFT: Final = 2e-4
"""As in the limiter's clock: more than two crystals drift apart."""


class ServerTime:
    """Fetches pages, and gives each the server's time as precisely as it is known.

    Args:
        fetch: the pages' source.
        clock: monotonic and wall.
        settle: seconds; from one second on, a moment that the answer's own `Date` vouches
            for is used where it is later. Below, only a moment before the request left is
            safe: what arrives between the look-up and the answer must not be passed over.
    """

    def __init__(self, fetch: Fetch, clock: Clock, *, settle: float) -> None:
        self._ask = fetch
        self._clock = clock
        self._strict = settle < _WHOLE
        self._known = ServerClock()
        self._lower = -inf
        self._at = 0.0

    async def fetch(self, request: PageRequest) -> Fetched:
        """One page, with a `server_time` that is never later than the truth."""
        sent = self._clock.monotonic()
        fetched = await self._ask(request)
        date = fetched.server_time
        if date is None:
            return fetched
        received = self._clock.monotonic()
        self._known.sample(formatdate(date, usegmt=True), sent, received)
        self._learn(fetched.messages, date, received)
        precise = sent + self._offset
        if not self._strict:
            precise = max(precise, date)
        return evolve(fetched, server_time=min(precise, date + _WHOLE))

    def _learn(self, messages: Sequence[Message], date: float, received: float) -> None:
        """The newest message's time was past when it was read."""
        self._lower -= (received - self._at) * _DRIFT
        self._at = received
        if messages:
            newest = max(messages[0].timestamp, messages[-1].timestamp).timestamp()
            if newest < date + _WHOLE:  # else its time is not the server's
                self._lower = max(self._lower, newest - received)

    @property
    def _offset(self) -> float:
        """The server's clock over the monotonic one, never more than it is."""
        if self._known.lower is None:
            return self._clock.time() - self._clock.monotonic()
        return max(self._known.lower, min(self._lower, self._known.upper))

    @property
    def doubt(self) -> float:
        """Seconds by which the truth may be later than what is told."""
        if self._known.lower is None:
            return _WHOLE
        return max(self._known.upper - self._offset, 0.0)

    def at(self, monotonic: float) -> float:
        """The server's time at a moment of the monotonic clock, in seconds."""
        return monotonic + self._offset

    def when(self, server: float) -> float:
        """The moment of the monotonic clock at which the server's is `server`."""
        return server - self._offset
