"""The limiter: the bucket's arithmetic with people waiting at it.

No task and no lock: one timer handle, and queues of futures. Whatever may free a turn is a
plain synchronous call that hands the turn on before it returns, so a waiter can be
forgotten by nobody, and nobody overtakes a waiting queue.

A limiter works for one running event loop at a time; it may be used by one after another.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from math import inf, isfinite
from threading import get_ident
from typing import Literal, Protocol, runtime_checkable

from ..clock import SYSTEM_CLOCK, Clock
from ..errors import ConfigurationError, RateLimitedError
from ..models.quota import Quota
from .bucket import Bucket, Permit
from .waiters import PriorityClass, WaiterQueue

__all__ = ["Limiter", "Mode", "Permit", "RateLimiter", "Tier", "too_late"]

Mode = Literal["burst", "spread"]
Tier = Literal["starter", "pro", "enterprise", "unlimited"]

_TIERS: dict[str, int] = {"starter": 60, "pro": 600, "enterprise": 0, "unlimited": 0}

_SOONEST = 0.0005
"""A timer never rings sooner than this: one that rings early would ring again at once."""


@runtime_checkable
class Limiter(Protocol):
    """What a call asks of a limiter: a ticket before it sends, and one end call after."""

    async def acquire(
        self, *, priority: int = 0, deadline: float | None = None, refused: bool = False
    ) -> Permit:
        """Wait for a turn; see `RateLimiter.acquire`."""

    def answered(self, ticket: Permit, status: int, headers: Mapping[str, str]) -> None:
        """The request was answered just now."""

    def lost(self, ticket: Permit) -> None:
        """The request was sent perhaps, and no answer came."""

    def unused(self, ticket: Permit) -> None:
        """The request surely never left."""

    def quota(self) -> Quota:
        """What is known of the quota at this moment."""


class RateLimiter:
    """Uses a key's quota to the last request without being told 429.

    It learns the quota from the headers of every answer, so nothing needs to be set.

    Args:
        mode: "burst" (default) sends as soon as the quota allows, which is fastest and
            leaves others on the same key nothing while it lasts; "spread" sends evenly
            over the window and leaves them their share.
        reserve: requests of each window never used, for others on the same key; below
            1 a share of the limit. 0 by default.
        tier: what holds where no header comes: "starter" (60 a minute), "pro" (600),
            "enterprise" or "unlimited", or requests a minute. None (default): without
            headers only 429s hold us back.
        clock: the time; the real one by default.
        name: how the limiter is named in error texts.

    Raises:
        ConfigurationError: an argument is not one of these.
    """

    __slots__ = (
        "__weakref__", "_bucket", "_loop", "_monotonic", "_queue", "_thread", "_timer",
        "_timer_at", "_wall", "name",
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
        self._bucket = Bucket(
            spread=mode == "spread",
            reserve=reserve,
            tier=_per_minute(tier),
            random=clock.random,
        )
        self._queue: WaiterQueue[Permit] = WaiterQueue()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = get_ident()
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0
        self.name = name

    # -- a call's way in --------------------------------------------------------

    async def acquire(
        self, *, priority: int = 0, deadline: float | None = None, refused: bool = False
    ) -> Permit:
        """Wait for a turn to send one request.

        Args:
            priority: higher goes first; every fourth turn goes to the longest wait of all.
            deadline: monotonic time of the clock by which the turn must have come; None
                waits as long as it takes.
            refused: this request was told 429 before; it goes ahead of everybody.

        Returns:
            A ticket, to be given to exactly one of `answered`, `lost` and `unused`
            (more calls do nothing).

        Raises:
            RateLimitedError: the turn cannot come before the deadline; at once, with
                `retry_after` the seconds until there can be one. Where that hangs on an
                answer, at the deadline, with None.
            ConfigurationError: another event loop, running now, uses this limiter.
        """
        bucket = self._bucket
        number = bucket.granted + 1
        # As `Bucket.take_at_once`, without its calls: this is what most requests pay.
        if number <= bucket.allowed:  # nobody waits, for whoever could go has gone
            bucket.granted = number
            ticket = Permit()
            ticket.number = number
            ticket.sent = bucket.seen
            ticket.ended = bucket.ended
            return ticket
        place = self._stand_in_line(priority, deadline, refused)
        if isinstance(place, Permit):
            return place
        future, lane = place
        try:
            return await future
        except BaseException:
            self._leave(future, lane)
            raise

    def _stand_in_line(
        self, priority: int, deadline: float | None, refused: bool
    ) -> Permit | tuple[asyncio.Future[Permit], PriorityClass[Permit]]:
        """A ticket, if there is one now; else a place in the queue."""
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            self._move_to(loop)
        queue = self._queue
        first = not queue.live
        if first or deadline is not None:
            now, wall = self._monotonic(), self._wall()
            if first:
                ticket = self._bucket.take(now, wall, 1)
                if ticket is not None:
                    return ticket
            if deadline is not None:
                ahead = queue.ahead(priority, refused=refused)
                turn = self._bucket.earliest(ahead + 1, now, wall)
                if turn > deadline:
                    raise too_late(self.name, turn - now)
        future: asyncio.Future[Permit] = loop.create_future()
        lane = queue.add(future, priority, refused, deadline)
        if first:
            self._arm(now, wall)
        elif deadline is not None and deadline <= queue.next_deadline():
            self._drain()  # who gives up sooner than all others may change whose turn it is
        return future, lane

    def _leave(self, future: asyncio.Future[Permit], lane: PriorityClass[Permit]) -> None:
        """The waiter was cancelled, or is thrown away with its loop."""
        if not future.done() or future.cancelled():
            self._queue.forget(lane)
            if self._loop is None or self._loop.is_closed():
                return
            future.cancel()
            if 0 < self._queue.live <= self._bucket.view.kept:
                self._drain()  # what is kept back while more wait is enough for the others
        elif future.exception() is None:
            # Granted, and cancelled before it woke up: the turn goes to the next.
            self.unused(future.result())

    # -- a call's way out -------------------------------------------------------

    def answered(self, ticket: Permit, status: int, headers: Mapping[str, str]) -> None:
        """The request was answered just now.

        Args:
            ticket: from `acquire`; nothing happens where it is over already.
            status: the HTTP status.
            headers: the answer's header fields by lower-case name.
        """
        bucket = self._bucket
        if not ticket.number:
            return
        now = self._monotonic()
        bucket.answered(ticket, status, headers, now, self._wall())
        if get_ident() != self._thread:
            bucket.allowed = 0  # the next to acquire here is told that it may not
        if self._queue.live:
            self._drain()

    def lost(self, ticket: Permit) -> None:
        """The request with this `ticket` was sent perhaps, and no answer came.

        The server may have counted it.
        """
        if ticket.number:
            self._bucket.lost(ticket, self._monotonic())
            if self._queue.live:
                self._drain()

    def unused(self, ticket: Permit) -> None:
        """The request with this `ticket` surely never left: its turn goes to the next."""
        if ticket.number:
            self._bucket.unused(ticket)
            if self._queue.live:
                self._drain()

    def quota(self) -> Quota:
        """What is known of the quota at this moment; times by the local wall clock."""
        now, wall = self._monotonic(), self._wall()
        outlook = self._bucket.outlook(now, wall)
        resets_at = None
        if outlook.resets_in is not None:
            resets_at = datetime.fromtimestamp(wall + outlook.resets_in, UTC)
        return Quota(
            limit=outlook.limit,
            remaining=outlook.remaining,
            resets_at=resets_at,
            waiting=self._queue.live,
            in_flight=self._bucket.granted - self._bucket.ended,
            refusals=self._bucket.gate.refusals,
            source=outlook.source,
        )

    # -- waking up --------------------------------------------------------------

    def _drain(self) -> None:
        """Hand out what turns there are, in order."""
        loop = self._loop
        if loop is None or loop.is_closed():
            return
        now, wall = self._monotonic(), self._wall()
        bucket, queue = self._bucket, self._queue
        while queue.live:
            ticket = bucket.take_at_once() or bucket.take(
                now, wall, queue.live, queue.next_deadline()
            )
            if ticket is None:
                break
            future = queue.pop()
            if future is None:
                bucket.unused(ticket)
                return
            future.set_result(ticket)
        if queue.live:
            self._arm(now, wall)

    def _arm(self, now: float, wall: float) -> None:
        """Let the timer ring when there can be a turn, or somebody's time is up."""
        queue = self._queue
        next_turn = self._bucket.next_turn(now, wall, queue.live, queue.next_deadline())
        for future in queue.expired(now if next_turn is None else next_turn):
            wait = None if next_turn is None else next_turn - now
            future.set_exception(too_late(self.name, wait))
        turn = min(inf if next_turn is None else next_turn, queue.next_deadline())
        if turn == inf or self._loop is None:
            return
        if self._timer is not None:
            if self._timer_at <= turn:
                return  # it rings sooner and sets itself again
            self._timer.cancel()
        self._timer_at = turn
        self._timer = self._loop.call_later(max(turn - now, _SOONEST), self._ring)

    def _ring(self) -> None:
        self._timer = None
        if self._queue.live:
            self._drain()

    def _move_to(self, loop: asyncio.AbstractEventLoop) -> None:
        """Work for `loop` from now on; whoever waited on one that has ended is let go."""
        old = self._loop
        if old is not None:
            if old.is_running() and not old.is_closed():
                raise self._moved()
            if self._timer is not None:
                self._timer.cancel()
            self._bucket.lose_probe(self._monotonic())
            left_behind = self._queue.clear()
            if not old.is_closed():
                for future in left_behind:
                    future.set_exception(self._moved())
        self._timer = None
        self._loop = loop
        self._thread = get_ident()

    def _moved(self) -> ConfigurationError:
        return ConfigurationError(
            f"the limiter {self.name} works for another event loop that is running; "
            "give each thread its own RateLimiter, or share a RedisLimiter"
        )


def too_late(name: str, wait: float | None) -> RateLimitedError:
    """The error of a turn that cannot come in time.

    Args:
        name: the limiter's.
        wait: seconds until the soonest; None where that hangs on an answer.
    """
    when = "when there is one hangs on an answer that is awaited"
    if wait is not None:
        wait = max(wait, 0.0)
        when = f"the soonest is in {wait:.1f} s"
    return RateLimitedError(
        f"no turn within the quota of {name} before the deadline: {when}",
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
