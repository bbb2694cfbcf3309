"""The limiter: callers wait here until the quota has a permit for them.

There is no task and no lock: one timer, and a queue of futures. Whatever may free a permit is
a plain synchronous call that grants it to the next waiter before it returns. So no waiter is
forgotten, and none overtakes the queue.

A limiter works for one running event loop at a time. Several loops may use it one after
another.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from math import inf, isfinite
from typing import Final, Literal, Protocol, runtime_checkable

from ..clock import SYSTEM_CLOCK, Clock
from ..errors import ConfigurationError, RateLimitedError, SetupError
from ..models.quota import Quota
from .permits import Permit, PermitIssuer
from .waiters import WaiterQueue

__all__ = ["Limiter", "Mode", "Permit", "RateLimiter", "Tier", "too_late"]

Mode = Literal["burst", "spread"]
Tier = Literal["starter", "pro", "enterprise", "unlimited"]

_TIERS: Final[Mapping[str, int]] = {"starter": 60, "pro": 600, "enterprise": 0, "unlimited": 0}

_SOONEST: Final = 0.0005
"""Seconds until the timer rings, at least: one that rings early would ring again at once."""


@runtime_checkable
class Limiter(Protocol):
    """What a call needs of a limiter: a permit before it sends, and one end call after."""

    async def acquire(
        self, *, priority: int = 0, deadline: float | None = None, refused: bool = False
    ) -> Permit:
        """Wait for permission to send one request; see `RateLimiter.acquire`."""

    def answered(self, permit: Permit, status: int, headers: Mapping[str, str]) -> None:
        """The request was answered just now."""

    def lost(self, permit: Permit) -> None:
        """The request may have been sent, and no answer came."""

    def unused(self, permit: Permit) -> None:
        """The request was not sent."""

    def quota(self) -> Quota:
        """The quota as known at this moment."""


class RateLimiter:
    """Uses a key's whole quota without being refused by a 429.

    It learns the quota from the headers of every answer, so nothing needs to be set. A session
    makes one by itself; make one to set its options, or to share it among sessions.

    Args:
        mode: "burst" (default) sends as soon as the quota allows, which is fastest and
            leaves others on the same key nothing meanwhile; "spread" sends evenly over the
            window and leaves others their share.
        reserve: requests of each window that are never used, for others on the same key;
            below 1 a share of the limit. 0 by default.
        tier: the quota of a server that sends no limit headers: "starter" (60 requests a
            minute), "pro" (600), "enterprise" or "unlimited", or a number of requests a
            minute. None (default): without headers only a 429 holds requests back.
        clock: the time; the real clock by default.
        name: names the limiter in error texts.

    Raises:
        ConfigurationError: an argument is not one of these.

    Example:
        ```python
        limiter = RateLimiter(mode="spread", reserve=0.2)
        async with IottlySession(key, limiter=limiter) as session:
            ...
        ```
    """

    __slots__ = (
        "__weakref__", "_issuer", "_loop", "_monotonic", "_queue", "_timer", "_timer_at", "_wall",
        "name",
    )  # fmt: skip

    def __init__(
        self,
        *,
        mode: Mode = "burst",
        reserve: float = 0,
        tier: Tier | int | None = None,
        clock: Clock = SYSTEM_CLOCK,
        name: str = "iottly",
    ) -> None:
        if mode not in ("burst", "spread"):
            raise ConfigurationError(f"mode must be 'burst' or 'spread', not {mode!r}")
        if isinstance(reserve, bool) or not isinstance(reserve, int | float):
            raise ConfigurationError(f"reserve must be a number, not {reserve!r}")
        if not isfinite(reserve) or reserve < 0:
            raise ConfigurationError(f"reserve must be 0 or more requests, not {reserve!r}")
        real = clock is SYSTEM_CLOCK
        self._monotonic = time.monotonic if real else clock.monotonic
        self._wall = time.time if real else clock.time
        self._issuer = PermitIssuer(
            spread=mode == "spread",
            reserve=reserve,
            tier=_per_minute(tier),
            random=clock.random,
        )
        self._queue: WaiterQueue[Permit] = WaiterQueue()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0
        self.name = name

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
            RateLimitedError: the permit cannot come before the deadline. It is raised at
                once, with `retry_after` the seconds until there can be one; if that depends
                on an answer, it is raised at the deadline, with None.
            SetupError: another event loop, which is running, uses this limiter.
        """
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            self._move_to(loop)
        queue, issuer = self._queue, self._issuer
        first = not queue.classes
        if first or deadline is not None:
            now, wall = self._monotonic(), self._wall()
            if first:
                permit = issuer.take(now, wall, 1)
                if permit is not None:
                    return permit
            if deadline is not None:
                ahead = queue.ahead(priority, refused=refused)
                soonest = issuer.earliest(ahead + 1, now, wall)
                if soonest > deadline:
                    raise too_late(self.name, soonest - now)
        future: asyncio.Future[Permit] = loop.create_future()
        queue.add(future, priority, refused, deadline)
        if first:
            self._set_timer(now, wall)
        elif deadline is not None and deadline <= queue.next_deadline():
            self._grant()  # a waiter that gives up sooner than all others may change which is next
        try:
            return await future
        except BaseException:
            self._leave(future)
            raise

    def _leave(self, future: asyncio.Future[Permit]) -> None:
        """The waiter was cancelled, or is thrown away with its event loop."""
        if self._queue.remove(future):
            if self._loop is None or self._loop.is_closed():
                return
            future.cancel()
            if self._issuer.state.kept:
                self._grant()  # what is kept back while more wait may be enough for the others
        elif future.done() and not future.cancelled() and future.exception() is None:
            # Granted, and cancelled before it woke up: the permit goes to the next.
            self.unused(future.result())

    # -- after a request --------------------------------------------------------

    def answered(self, permit: Permit, status: int, headers: Mapping[str, str]) -> None:
        """The request was answered just now.

        Args:
            permit: from `acquire`; nothing happens if it is over already.
            status: the HTTP status.
            headers: the answer's header fields by lower-case name.
        """
        if permit.number:
            self._issuer.answered(permit, status, headers, self._monotonic(), self._wall())
            if self._queue.classes:
                self._grant()

    def lost(self, permit: Permit) -> None:
        """The request may have been sent, and no answer came: the server may have counted it.

        Args:
            permit: from `acquire`; nothing happens if it is over already.
        """
        if permit.number:
            self._issuer.lost(permit, self._monotonic())
            if self._queue.classes:
                self._grant()

    def unused(self, permit: Permit) -> None:
        """The request was not sent: its permit goes to the next.

        Args:
            permit: from `acquire`; nothing happens if it is over already.
        """
        if permit.number:
            self._issuer.unused(permit)
            if self._queue.classes:
                self._grant()

    def quota(self) -> Quota:
        """The quota as known at this moment.

        Returns:
            A snapshot; its times are of the local wall clock.
        """
        now, wall = self._monotonic(), self._wall()
        issuer = self._issuer
        known = issuer.snapshot(now, wall)
        resets_at = None
        if known.resets_in is not None:
            resets_at = datetime.fromtimestamp(wall + known.resets_in, UTC)
        return Quota(
            limit=known.limit,
            remaining=known.remaining,
            resets_at=resets_at,
            window=known.window,
            waiting=len(self._queue),
            in_flight=issuer.in_flight,
            refusals=issuer.cooldown.refusals,
            source=known.source,
            rate=known.rate,
        )

    # -- granting ---------------------------------------------------------------

    def _grant(self) -> None:
        """Grant what permits there are to those who wait, in order."""
        queue, loop = self._queue, self._loop
        if not queue.classes or loop is None or loop.is_closed():
            return
        now, wall = self._monotonic(), self._wall()
        issuer = self._issuer
        while waiting := len(queue):
            permit = issuer.take(now, wall, waiting, queue.next_deadline())
            if permit is None:
                self._set_timer(now, wall)
                return
            future = queue.pop()
            if future is None:
                issuer.unused(permit)
                return
            future.set_result(permit)

    def _set_timer(self, now: float, wall: float) -> None:
        """Let the timer ring when there can be a permit, or when a waiter's time is up."""
        queue = self._queue
        next_at = self._issuer.next_at(now, wall, len(queue), queue.next_deadline())
        for future in queue.expired(now if next_at is None else next_at):
            wait = None if next_at is None else next_at - now
            future.set_exception(too_late(self.name, wait))
        at = min(inf if next_at is None else next_at, queue.next_deadline())
        if at == inf or self._loop is None:
            return
        if self._timer is not None:
            if self._timer_at <= at:
                return  # it rings sooner, and is set again then
            self._timer.cancel()
        self._timer_at = at
        self._timer = self._loop.call_later(max(at - now, _SOONEST), self._ring)

    def _ring(self) -> None:
        self._timer = None
        self._grant()

    def _move_to(self, loop: asyncio.AbstractEventLoop) -> None:
        """Work for `loop` from now on. Those who waited on a loop that has ended are dropped."""
        old = self._loop
        if old is not None:
            if old.is_running() and not old.is_closed():
                raise self._moved()
            if self._timer is not None:
                self._timer.cancel()
            self._issuer.lose_probe(self._monotonic())
            left_behind = self._queue.clear()
            if not old.is_closed():
                for future in left_behind:
                    future.set_exception(self._moved())
        self._timer = None
        self._loop = loop

    def _moved(self) -> SetupError:
        return SetupError(
            f"the limiter {self.name} works for another event loop that is running; "
            "give each thread its own RateLimiter, or share a RedisLimiter"
        )


def too_late(name: str, wait: float | None) -> RateLimitedError:
    """The error of a permit that cannot come before its deadline.

    Args:
        name: of the limiter.
        wait: seconds until the soonest; None if that depends on an answer.
    """
    when = "when there is one depends on an answer that has not come"
    if wait is not None:
        wait = max(wait, 0.0)
        when = f"the soonest is in {wait:.1f} s"
    return RateLimitedError(
        f"the quota of {name} has no permit before the deadline: {when}",
        retry_after=wait,
        sent="no",
    )


def _per_minute(tier: Tier | int | None) -> int | None:
    if tier is None:
        return None
    if isinstance(tier, str) and tier in _TIERS:
        return _TIERS[tier]
    if isinstance(tier, int) and not isinstance(tier, bool) and tier > 0:
        return tier
    raise ConfigurationError(
        f"tier must be one of {', '.join(_TIERS)}, or a number of requests a minute, not {tier!r}"
    )
