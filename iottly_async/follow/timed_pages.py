"""Pages with the server's time to the millisecond, although `Date` has whole seconds.

A walk ends at the server's present. By `Date` alone that is up to a second in the past, and
a follower would be late by as much.
"""

from __future__ import annotations

from typing import Final

from attrs import evolve

from ..clock import Clock
from ..server_clock import ServerClock
from ..walk import Fetch, Fetched, PageRequest

_DATE_STEP: Final = 1.0
"""Seconds; the resolution of `Date`."""


class TimedPages:
    """Fetches pages, and gives each the server's time as precisely as it is known.

    Args:
        fetch: fetches a page.
        clock: tells the monotonic and the wall time.
        settle: seconds. From one second on, the `Date` of the answer is used where it is
            later than the estimate. Below that, only a moment before the request was sent
            is safe: a message that arrives between the query and the answer must not be
            skipped.
    """

    def __init__(self, fetch: Fetch, clock: Clock, *, settle: float) -> None:
        self._fetch = fetch
        self._clock = clock
        self._strict = settle < _DATE_STEP
        self._server = ServerClock()

    async def fetch(self, request: PageRequest) -> Fetched:
        """Fetch a page; its `server_time` is never later than the truth."""
        sent = self._clock.monotonic()
        fetched = await self._fetch(request)
        date = fetched.server_time
        if date is None:
            return fetched
        received = self._clock.monotonic()
        self._server.observe_date(date, sent, received)
        if messages := fetched.messages:
            newest = max(messages[0].timestamp, messages[-1].timestamp)
            self._server.observe_message(newest.timestamp(), received)
        precise = self.server_time(sent)
        if not self._strict:
            precise = max(precise, date)
        return evolve(fetched, server_time=min(precise, date + _DATE_STEP))

    @property
    def doubt(self) -> float:
        """Seconds by which the server's time may be later than `server_time` says."""
        if self._server.lower is None:
            return _DATE_STEP
        now, wall = self._clock.monotonic(), self._clock.time()
        return max(self._server.latest(now, wall) - self._server.earliest(now, wall), 0.0)

    def server_time(self, monotonic: float) -> float:
        """The server's time at a moment of the monotonic clock; never later than the truth."""
        wall = monotonic + self._clock.time() - self._clock.monotonic()
        return self._server.earliest(monotonic, wall)

    def monotonic(self, server_time: float) -> float:
        """The moment of the monotonic clock at which the server's time is `server_time`."""
        return server_time - self.server_time(0.0)
