"""The server's present, to the millisecond, out of a `Date` that has whole seconds.

A walk ends at the server's now; by the `Date` alone that is up to a second ago, and a
follower would be as late. Every answer bounds the server's clock over ours, and many
bound it closely.
"""

from __future__ import annotations

from email.utils import formatdate
from typing import Final

from attrs import evolve

from ..clock import Clock
from ..ratelimit.serverclock import ServerClock
from ..walk import Fetch, Fetched, PageRequest

_WHOLE: Final = 1.0


class ServerNow:
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
        self._known.sample(formatdate(date, usegmt=True), sent, self._clock.monotonic())
        lower = self._known.lower
        if lower is None:
            return fetched
        precise = sent + lower
        if not self._strict:
            precise = max(precise, date)
        return evolve(fetched, server_time=min(precise, date + _WHOLE))

    def at(self, monotonic: float) -> float:
        """The server's time at a moment of the monotonic clock, in seconds."""
        if self._known.lower is None:
            return self._clock.time() + monotonic - self._clock.monotonic()
        return monotonic + self._known.lower

    def when(self, server: float) -> float:
        """The moment of the monotonic clock at which the server's is `server`."""
        if self._known.lower is None:
            return self._clock.monotonic() + server - self._clock.time()
        return server - self._known.lower
