"""A limiter whose quota several processes share through Redis (extra `redis`).

Each process leases its permits by a script that runs in Redis. The same call reports what the
process's answers said, and there is one call at a time at most. If Redis is gone, each process
goes by the server's headers alone, as processes without Redis do, until Redis is back.
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
from ..limiter import Mode, RateLimiter, Tier
from ..permits import Permit
from .connection import RedisConnection
from .lease_client import LeaseClient, LeasedPermit
from .report import Reporter

__all__ = ["RedisLimiter"]

_HASH: Final = "iottly:quota:"


class RedisLimiter:
    """A limiter whose quota is shared by all processes that name the same `key`.

    It works for one running event loop at a time, and is closed in that loop: by `aclose`, or
    by an `async with` block. Several loops may have such a block one after another.

    Args:
        url: of the Redis, such as `redis://localhost:6379/0`.
        key: names the quota: the same in all processes that use one API key, and not the API
            key itself. None (default): the session that uses the limiter names it, by its
            host and a digest of its key.
        mode: "burst" (default) sends as soon as the quota allows; "spread" sends evenly over
            the window.
        reserve: requests of each window that are never used, for others on the same key;
            below 1 a share of the limit. 0 by default.
        tier: the quota of a server that sends no limit headers, as of `RateLimiter`; it is
            used only while Redis is gone. None by default.
        timeout: seconds (or a `timedelta`) that a call to Redis may take before Redis counts
            as gone; 0.5 by default.
        clock: the time; the real clock by default.

    Attributes:
        name: names the limiter in error texts.

    Raises:
        ConfigurationError: an argument is not one of these.
        ImportError: the package `redis` is not installed.

    Example:
        ```python
        async with RedisLimiter("redis://localhost:6379/0") as limiter:
            async with IottlySession(key, limiter=limiter) as session:
                ...
        ```
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
        self._connection = RedisConnection(
            url,
            _HASH + (key or ""),
            limit,
            monotonic=self._monotonic,
            random=clock.random,
        )
        self._reporter = Reporter(clock.random)
        self._leases = LeaseClient(
            self._connection,
            self._reporter,
            self._monotonic,
            spread=mode == "spread",
            reserve=reserve,
            name=self.name,
        )

    def serve(self, quota: str) -> None:
        """Name the quota if no `key` was given. A session does this.

        Args:
            quota: a name that says nothing of the API key itself.

        Raises:
            ConfigurationError: it serves another quota already.
        """
        if self._named is None:
            self._named = quota
            self.name = self._alone.name = self._leases.name = f"key {quota}"
            self._serving, self._connection.name = quota, _HASH + quota
        elif self._serving not in (None, quota):
            raise ConfigurationError(
                "this RedisLimiter serves another API key or host; make one for each, or name "
                "the quota that they share by key=..."
            )

    @property
    def calls(self) -> int:
        """How many calls to Redis were made."""
        return self._connection.calls

    # -- before a request -------------------------------------------------------

    async def acquire(
        self, *, priority: int = 0, deadline: float | None = None, refused: bool = False
    ) -> Permit:
        """Wait for permission to send one request.

        Args:
            priority: higher goes first; every fourth permit goes to the longest wait of all.
                0 by default.
            deadline: monotonic time of the clock by which the permit must have come; None
                (default) waits as long as it takes.
            refused: whether this request was refused by a 429 before; it goes ahead of all
                others then.

        Returns:
            A permit, to be given to exactly one of `answered`, `lost` and `unused`. Further
                calls with it do nothing.

        Raises:
            RateLimitedError: the permit cannot come before the deadline.
            SessionClosedError: the limiter is closed.
            ConfigurationError: the quota has no name, or another event loop, which is
                running, uses this limiter.
        """
        leases = self._leases
        leases.move_to(asyncio.get_running_loop())
        if leases.closed:
            raise SessionClosedError(f"the limiter {self.name} is closed", sent="no")
        if self._named is None:
            raise ConfigurationError("key must name the quota if no session does: key=...")
        if self._connection.gone:
            leases.try_again()  # in the background; this request goes on without Redis
        else:
            permit = await leases.acquire(priority, deadline, refused)
            if permit is not None:
                return permit
        return await self._alone.acquire(priority=priority, deadline=deadline, refused=refused)

    # -- after a request --------------------------------------------------------

    def answered(self, permit: Permit, status: int, headers: Mapping[str, str]) -> None:
        """The request was answered just now.

        Args:
            permit: from `acquire`; nothing happens if it is over already.
            status: the HTTP status.
            headers: the answer's header fields by lower-case name.
        """
        if not permit.number:
            return
        now, wall = self._monotonic(), self._wall()
        self._leases.answered(permit, status, headers, now, wall)
        if not isinstance(permit, LeasedPermit):
            self._alone.answered(permit, status, headers)

    def lost(self, permit: Permit) -> None:
        """The request may have been sent, and no answer came.

        The server may have counted it, so its permit counts until the window has ended.

        Args:
            permit: from `acquire`; nothing happens if it is over already.
        """
        if isinstance(permit, LeasedPermit):
            self._leases.lost(permit)
        else:
            self._alone.lost(permit)

    def unused(self, permit: Permit) -> None:
        """The request was not sent: its permit goes to the next.

        Args:
            permit: from `acquire`; nothing happens if it is over already.
        """
        if isinstance(permit, LeasedPermit):
            self._leases.unused(permit)
        else:
            self._alone.unused(permit)

    def quota(self) -> Quota:
        """The quota as known at this moment.

        Returns:
            A snapshot; its times are of the local wall clock. Its `source` is "redis" while
                the quota is shared.
        """
        alone, leases = self._alone.quota(), self._leases
        waiting, in_flight = leases.waiting + alone.waiting, leases.in_flight + alone.in_flight
        refusals = self._reporter.cooldown.refusals
        if self._connection.gone:
            return evolve(alone, waiting=waiting, in_flight=in_flight, refusals=refusals)
        last = leases.last
        remaining = resets_at = None
        if last is not None and last.ends_in is not None:
            ends_in = leases.last_at + last.ends_in - self._monotonic()
            if ends_in > 0:
                remaining = last.left
                resets_at = datetime.fromtimestamp(self._wall() + ends_in, UTC)
        return Quota(
            limit=None if last is None else last.limit,
            remaining=remaining,
            resets_at=resets_at,
            window=None if last is None else last.window,
            waiting=waiting,
            in_flight=in_flight,
            refusals=refusals,
            source="redis",
        )

    async def __aenter__(self) -> Self:
        """Open the limiter, also after it was closed in an event loop that has ended."""
        self._leases.closed = False
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Report what is over, end all waits with an error, and close the connections."""
        try:
            await self._leases.close()
        finally:
            await self._connection.aclose()
