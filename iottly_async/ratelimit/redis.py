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
from contextlib import suppress
from datetime import UTC, datetime
from typing import Final, Self

from ..clock import SYSTEM_CLOCK, Clock
from ..config import Seconds, seconds
from ..errors import ConfigurationError, SessionClosedError
from ..models.quota import Quota
from .bucket import Ticket
from .lease import Lease, Report
from .limiter import Mode, RateLimiter, Tier, too_late
from .queue import Lane, WaitQueue
from .redis_link import RedisLink
from .witness import Witness

__all__ = ["RedisLimiter"]

_HASH: Final = "iottly:quota:"
_IDLE: Final = 0.02
"""Seconds after which what is over is reported although nobody here wants a turn."""


class _Leased(Ticket):
    """A turn leased from Redis."""

    __slots__ = ("generation", "probe")

    generation: int
    probe: bool


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
        self._spread, self._reserve = mode == "spread", reserve
        real = clock is SYSTEM_CLOCK
        self._monotonic = time.monotonic if real else clock.monotonic
        self._wall = time.time if real else clock.time
        limit = seconds(timeout, name="timeout")
        self._link = RedisLink(url, _HASH + (key or ""), limit, self._monotonic)
        self._witness = Witness(clock.random)
        self._queue: WaitQueue[_Leased | None] = WaitQueue()
        self._granted = self._ended = 0
        self._last: Lease | None = None
        self._last_at = self._ask_at = self._turn_at = 0.0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[None] | None = None
        self._wake = asyncio.Event()
        self._idle: asyncio.TimerHandle | None = None
        self._closed = False

    def serve(self, quota: str) -> None:
        """Name the quota, where no `key` was given; a session does this.

        Raises:
            ConfigurationError: it serves another quota already.
        """
        if self._named is None:
            self._named = quota
            self.name = self._alone.name = f"key {quota}"
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
    ) -> Ticket:
        """Wait for a turn; `priority`, `deadline` and `refused` as in `RateLimiter.acquire`.

        Raises:
            RateLimitedError: the turn cannot come before the deadline.
            SessionClosedError: the limiter is closed.
            ConfigurationError: nobody named the quota, or another event loop, running
                now, uses this limiter.
        """
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            self._move_to(loop)
        if self._closed:
            raise SessionClosedError(f"the limiter {self.name} is closed", sent="no")
        if self._named is None:
            raise ConfigurationError("key must name the quota where no session does: key=...")
        if not self._link.gone:
            ticket = await self._stand_in_line(loop, priority, deadline, refused)
            if ticket is not None:
                return ticket
        elif self._link.due:
            self._kick()  # whether it is back, while we go on without it
        return await self._alone.acquire(priority=priority, deadline=deadline, refused=refused)

    async def _stand_in_line(
        self,
        loop: asyncio.AbstractEventLoop,
        priority: int,
        deadline: float | None,
        refused: bool,
    ) -> _Leased | None:
        """A turn leased from Redis; None where Redis is gone."""
        if deadline is not None:
            soonest = self._soonest(self._queue.ahead(priority, refused=refused))
            if soonest > deadline:
                raise too_late(self.name, soonest - self._monotonic())
        future: asyncio.Future[_Leased | None] = loop.create_future()
        lane = self._queue.add(future, priority, refused, deadline)
        self._kick()
        try:
            return await future
        except BaseException:
            self._leave(future, lane)
            raise

    def _leave(self, future: asyncio.Future[_Leased | None], lane: Lane[_Leased | None]) -> None:
        if not future.done() or future.cancelled():
            self._queue.forget(lane)
            if not future.done() and self._loop is not None and not self._loop.is_closed():
                future.cancel()
        elif future.exception() is None:
            ticket = future.result()
            if ticket is not None:
                self.unused(ticket)

    def _soonest(self, ahead: int) -> float:
        """The soonest that somebody with so many ahead can have a turn."""
        now = self._monotonic()
        if self._last is None or now >= self._turn_at:
            return now
        windows = ahead // self._last.limit if self._last.limit else 0
        return self._turn_at + windows * self._witness.window.least

    # -- a call's way out -------------------------------------------------------

    def answered(self, ticket: Ticket, status: int, headers: Mapping[str, str]) -> None:
        """The request was answered just now; `ticket`, `status`, `headers` as of `RateLimiter`."""
        number = ticket.number
        if not number:
            return
        now, wall = self._monotonic(), self._wall()
        sent, probe = ticket.sent, False
        if isinstance(ticket, _Leased):
            probe = ticket.probe
            self._end(ticket)
            self._witness.report.end(ticket.generation)
        else:
            number = 0
            self._alone.answered(ticket, status, headers)
        self._witness.heard(
            status, headers, sent, now, wall, number=number, granted=self._granted, probe=probe
        )
        self._tell()

    def lost(self, ticket: Ticket) -> None:
        """The request with this `ticket` was sent perhaps, and no answer came.

        Its turn is not reported over: it counts until its generation ends.
        """
        if not isinstance(ticket, _Leased):
            self._alone.lost(ticket)
        elif ticket.number:
            self._end(ticket)
            self._witness.report.probe_back |= ticket.probe
            self._tell()

    def unused(self, ticket: Ticket) -> None:
        """The request with this `ticket` surely never left: its turn goes to the next."""
        if not isinstance(ticket, _Leased):
            self._alone.unused(ticket)
        elif ticket.number:
            self._end(ticket)
            self._give_back(ticket.generation, 1, probe=ticket.probe)
            self._tell()

    def _end(self, ticket: _Leased) -> None:
        ticket.number = 0
        self._ended += 1

    def _give_back(self, generation: int, count: int, *, probe: bool) -> None:
        report = self._witness.report
        for _ in range(count):
            report.end(generation)
        report.probe_back |= probe
        report.freed = True

    def quota(self) -> Quota:
        """What is known of the quota at this moment; times by the local wall clock."""
        alone, last = self._alone.quota(), self._last
        now = self._monotonic()
        limit = remaining = resets_at = None
        if last is not None:
            limit, ends = last.limit, None
            if last.ends_in is not None:
                ends = self._last_at + last.ends_in
            if ends is not None and ends > now:
                remaining = last.left
                resets_at = datetime.fromtimestamp(self._wall() + ends - now, UTC)
        gone = self._link.gone
        return Quota(
            limit=alone.limit if gone else limit,
            remaining=alone.remaining if gone else remaining,
            resets_at=alone.resets_at if gone else resets_at,
            waiting=self._queue.live + alone.waiting,
            in_flight=self._granted - self._ended + alone.in_flight,
            refusals=self._witness.gate.refusals,
            source=alone.source if gone else "redis",
        )

    # -- Redis ------------------------------------------------------------------

    def _tell(self) -> None:
        """Report what happened: at once if others should know, else when idle or asked."""
        if self._loop is None or self._loop.is_closed() or self._closed:
            return
        report = self._witness.report
        if self._queue.live or report.urgent:
            self._kick(urgent=report.urgent)
        else:
            self._report_when_idle()

    def _report_when_idle(self) -> None:
        if self._witness.report and self._idle is None and self._loop and not self._closed:
            self._idle = self._loop.call_later(_IDLE, self._report_idle)

    def _report_idle(self) -> None:
        self._idle = None
        if self._witness.report:
            self._kick()

    def _kick(self, *, urgent: bool = False) -> None:
        if urgent:
            self._wake.set()
        if self._task is None and self._loop is not None:
            self._task = self._loop.create_task(self._pump(), name="iottly-redis-limiter")
            self._task.add_done_callback(self._pumped)

    def _pumped(self, task: asyncio.Task[None]) -> None:
        """Nobody waits for a pump that failed: who waits is told why."""
        error = None if task.cancelled() else task.exception()
        if error is not None:
            for future in self._queue.clear():
                future.set_exception(error)

    async def _pump(self) -> None:
        """Call the script as long as somebody waits or there is something to report."""
        try:
            while await self._call():
                await self._pause()
            if not self._link.gone:
                self._report_when_idle()
        finally:
            self._task = None

    async def _call(self) -> bool:
        """One call of the script; True where there is to be another."""
        if self._link.gone and not self._link.due:
            return False
        self._wake.clear()
        queue = self._queue
        report = self._witness.take_report()
        lease = await self._link.lease(self._arguments(report))
        now = self._monotonic()
        if lease is None:
            self._witness.keep(report)
            for future in queue.clear():
                future.set_result(None)
            return False
        self._last, self._last_at = lease, now
        self._ask_at, self._turn_at = now + lease.wait, now + lease.turn
        self._hand_out(lease, now)
        for future in queue.expired(self._turn_at):
            future.set_exception(too_late(self.name, lease.turn or None))
        return bool(queue.live or self._witness.report.urgent)

    def _arguments(self, report: Report) -> list[str]:
        return report.arguments(
            self._queue.live, self._monotonic(), reserve=self._reserve, spread=self._spread
        )

    def _hand_out(self, lease: Lease, now: float) -> None:
        for given in range(lease.turns):
            future = self._queue.pop()
            if future is None:
                self._give_back(lease.generation, lease.turns - given, probe=lease.probe)
                self._tell()
                return
            ticket = _Leased()
            self._granted = ticket.number = self._granted + 1
            ticket.sent, ticket.ended = now, self._ended
            ticket.generation, ticket.probe = lease.generation, lease.probe
            future.set_result(ticket)

    async def _pause(self) -> None:
        """Wait until it makes sense to ask again."""
        now = self._monotonic()
        until = min(self._ask_at, self._queue.next_deadline())
        with suppress(TimeoutError):
            async with asyncio.timeout(max(until - now, 0.0)):
                await self._wake.wait()

    def _move_to(self, loop: asyncio.AbstractEventLoop) -> None:
        """Work for `loop` from now on."""
        old = self._loop
        if old is not None and old.is_running() and not old.is_closed():
            raise self._moved()
        left_behind = self._queue.clear()
        if old is not None and not old.is_closed():
            for future in left_behind:
                future.set_exception(self._moved())
        self._link.forget()
        self._task = self._idle = None
        self._wake = asyncio.Event()
        self._loop = loop

    def _moved(self) -> ConfigurationError:
        return ConfigurationError(
            f"the limiter {self.name} works for another event loop that is running; "
            "make one in each"
        )

    async def __aenter__(self) -> Self:
        """The limiter, open, also after it was closed in an event loop that has ended."""
        self._closed = False
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Report what is over, and close the connections; who waits is told."""
        self._closed = True
        if self._idle is not None:
            self._idle.cancel()
        for future in self._queue.clear():
            future.set_exception(
                SessionClosedError(f"the limiter {self.name} is closed", sent="no")
            )
        try:
            if self._task is not None:
                self._wake.set()  # its last call gives back what was leased for those who left
                await asyncio.wait([self._task])
            if self._witness.report and not self._link.gone:
                await self._link.lease(self._arguments(self._witness.take_report()))
        finally:
            await self._link.aclose()
