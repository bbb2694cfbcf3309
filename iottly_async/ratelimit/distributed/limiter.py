"""One quota for several processes, through Redis (extra ``redis``).

Each process leases its turns by a script that runs in Redis, reports what its answers
said with the same call, and has one call on the way at most. Where Redis is gone, each
process goes by the server's headers alone, as processes without Redis do, and returns to
Redis when it is back.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final, Self

from attrs import evolve

from ...clock import SYSTEM_CLOCK, Clock
from ...config import Seconds, seconds
from ...errors import ConfigurationError, SessionClosedError
from ...models.quota import Quota
from ..bucket import Permit
from ..limiter import Mode, RateLimiter, Tier
from .connection import RedisConnection
from .lease_client import LeaseClient, LeasedPermit
from .report import ReportBuilder

__all__ = ["RedisLimiter"]

_HASH: Final = "iottly:quota:"


class RedisLimiter:
    """A limiter whose quota all processes that name the same `key` share.

    It works for one running event loop at a time, and is closed in it: by `aclose`, or as
    an ``async with`` block, of which there may be one in each of several loops.

    Args:
        url: of the Redis, such as ``redis://localhost:6379/0``.
        key: names the quota: the same in all processes that use one API key, and not
            the API key itself. None (default): the session that is given the limiter
            names it, by its host and a digest of its key.
        mode: as of `RateLimiter`.
        reserve: as of `RateLimiter`.
        tier: as of `RateLimiter`; it holds only while Redis is gone.
        timeout: how long a call to Redis may take before it counts as gone; 0.5 s.
        clock: the time; the real one by default.

    Raises:
        ConfigurationError: an argument is not one of these.
        ImportError: the package ``redis`` is not installed.
    """

    def __init__(
        self,
        url: str,
        *,
        key: str | None = None,
        mode: Mode = "burst",
        reserve: float = 0,
        tier: Tier | int | None = None,
        timeout: Seconds = 0.5,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        if key is not None and (not isinstance(key, str) or not key):
            raise ConfigurationError(f"key must be a text that names the quota, not {key!r}")
        self._named = key
        self._serving: str | None = None
        self.name = f"key {key}"
        self._alone = RateLimiter(
            mode=mode, reserve=reserve, tier=tier, clock=clock, name=self.name
        )
        real = clock is SYSTEM_CLOCK
        self._monotonic = time.monotonic if real else clock.monotonic
        self._wall = time.time if real else clock.time
        limit = seconds(timeout, name="timeout")
        self._link = RedisConnection(url, _HASH + (key or ""), limit, self._monotonic)
        self._witness = ReportBuilder(clock.random)
        self._desk = LeaseClient(
            self._link,
            self._witness,
            self._monotonic,
            spread=mode == "spread",
            reserve=reserve,
            name=self.name,
        )

    def serve(self, quota: str) -> None:
        """Name the quota, where no `key` was given; a session does this.

        Raises:
            ConfigurationError: it serves another quota already.
        """
        if self._named is None:
            self._named = quota
            self.name = self._alone.name = self._desk.name = f"key {quota}"
            self._serving, self._link.name = quota, _HASH + quota
        elif self._serving not in (None, quota):
            raise ConfigurationError(
                "this RedisLimiter serves another API key or host; make one for each, or name "
                "the quota that they share by key=..."
            )

    @property
    def calls(self) -> int:
        """How many calls were made to Redis."""
        return self._link.calls

    # -- a call's way in --------------------------------------------------------

    async def acquire(
        self, *, priority: int = 0, deadline: float | None = None, refused: bool = False
    ) -> Permit:
        """Wait for a turn; `priority`, `deadline` and `refused` as in `RateLimiter.acquire`.

        Raises:
            RateLimitedError: the turn cannot come before the deadline.
            SessionClosedError: the limiter is closed.
            ConfigurationError: nobody named the quota, or another event loop, running
                now, uses this limiter.
        """
        desk = self._desk
        desk.move_to(asyncio.get_running_loop())
        if desk.closed:
            raise SessionClosedError(f"the limiter {self.name} is closed", sent="no")
        if self._named is None:
            raise ConfigurationError("key must name the quota where no session does: key=...")
        if self._link.gone:
            desk.look()  # whether it is back, while we go on without it
        else:
            ticket = await desk.turn(priority, deadline, refused)
            if ticket is not None:
                return ticket
        return await self._alone.acquire(priority=priority, deadline=deadline, refused=refused)

    # -- a call's way out -------------------------------------------------------

    def answered(self, ticket: Permit, status: int, headers: Mapping[str, str]) -> None:
        """The request was answered just now; `ticket`, `status`, `headers` as of `RateLimiter`."""
        if not ticket.number:
            return
        now, wall = self._monotonic(), self._wall()
        self._desk.answered(ticket, status, headers, now, wall)
        if not isinstance(ticket, LeasedPermit):
            self._alone.answered(ticket, status, headers)

    def lost(self, ticket: Permit) -> None:
        """The request with this `ticket` was sent perhaps, and no answer came.

        Its turn is not reported over: it counts until its generation ends.
        """
        if isinstance(ticket, LeasedPermit):
            self._desk.lost(ticket)
        else:
            self._alone.lost(ticket)

    def unused(self, ticket: Permit) -> None:
        """The request with this `ticket` surely never left: its turn goes to the next."""
        if isinstance(ticket, LeasedPermit):
            self._desk.unused(ticket)
        else:
            self._alone.unused(ticket)

    def quota(self) -> Quota:
        """What is known of the quota at this moment; times by the local wall clock."""
        alone, desk = self._alone.quota(), self._desk
        waiting, in_flight = desk.waiting + alone.waiting, desk.in_flight + alone.in_flight
        refusals = self._witness.gate.refusals
        if self._link.gone:
            return evolve(alone, waiting=waiting, in_flight=in_flight, refusals=refusals)
        last = desk.last
        remaining = resets_at = None
        if last is not None and last.ends_in is not None:
            ends_in = desk.last_at + last.ends_in - self._monotonic()
            if ends_in > 0:
                remaining = last.left
                resets_at = datetime.fromtimestamp(self._wall() + ends_in, UTC)
        return Quota(
            limit=None if last is None else last.limit,
            remaining=remaining,
            resets_at=resets_at,
            waiting=waiting,
            in_flight=in_flight,
            refusals=refusals,
            source="redis",
        )

    async def __aenter__(self) -> Self:
        """The limiter, open, also after it was closed in an event loop that has ended."""
        self._desk.closed = False
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Report what is over, and close the connections; who waits is told."""
        try:
            await self._desk.close()
        finally:
            await self._link.aclose()
