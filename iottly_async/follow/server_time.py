"""Pages with the server's time to the millisecond, where `Date` has whole seconds.

A walk ends at the server's present. By `Date` alone that is up to a second ago, and a
follower would be as late.
"""

from __future__ import annotations

from typing import Final

from attrs import evolve

from ..clock import Clock
from ..server_clock import ServerClock
from ..walk import Fetch, Fetched, PageRequest

_WHOLE: Final = 1.0


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

    async def fetch(self, request: PageRequest) -> Fetched:
        """One page, with a `server_time` that is never later than the truth."""
        sent = self._clock.monotonic()
        fetched = await self._ask(request)
        date = fetched.server_time
        if date is None:
            return fetched
        received = self._clock.monotonic()
        self._known.observe_date(date, sent, received)
        if messages := fetched.messages:
            newest = max(messages[0].timestamp, messages[-1].timestamp)
            self._known.observe_message(newest.timestamp(), received)
        precise = self.at(sent)
        if not self._strict:
            precise = max(precise, date)
        return evolve(fetched, server_time=min(precise, date + _WHOLE))

    @property
    def doubt(self) -> float:
        """Seconds by which the truth may be later than what is told."""
        if self._known.lower is None:
            return _WHOLE
        now, wall = self._clock.monotonic(), self._clock.time()
        return max(self._known.latest(now, wall) - self._known.earliest(now, wall), 0.0)

    def at(self, monotonic: float) -> float:
        """The server's time at a moment of the monotonic clock, in seconds."""
        return self._known.earliest(monotonic, monotonic + self._wall_offset)

    def when(self, server: float) -> float:
        """The moment of the monotonic clock at which the server's is `server`."""
        return server - self.at(0.0)

    @property
    def _wall_offset(self) -> float:
        return self._clock.time() - self._clock.monotonic()
