"""Turns leased from Redis, and who waits for them.

One task, while there is something to ask or to tell: it has one call on the way at most,
asks for as many turns as are wanted, and tells with the same call what is over.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Final

from ...errors import ConfigurationError, SessionClosedError
from ..bucket import Permit
from ..limiter import too_late
from ..waiters import PriorityClass, WaiterQueue
from .connection import RedisConnection
from .report import ReportBuilder
from .script import Lease, Report

__all__ = ["LeaseClient", "LeasedPermit"]

_IDLE: Final = 0.02
"""Seconds after which what is over is reported although nobody here wants a turn."""


class LeasedPermit(Permit):
    """A turn leased from Redis."""

    __slots__ = ("generation", "probe")

    generation: int
    probe: bool


class LeaseClient:
    """Where turns of one quota are leased, for one running event loop at a time.

    Args:
        link: the way to Redis.
        witness: what this process's answers say.
        monotonic: the time.
        spread: as of the script.
        reserve: as of the script.
        name: of the limiter, in error texts.
    """

    def __init__(
        self,
        link: RedisConnection,
        witness: ReportBuilder,
        monotonic: Callable[[], float],
        *,
        spread: bool,
        reserve: float,
        name: str,
    ) -> None:
        self.name = name
        self.closed = False
        self.last: Lease | None = None
        """What the script said last; None before the first call."""
        self.last_at = 0.0
        """Monotonic time of it."""
        self._link, self._witness, self._monotonic = link, witness, monotonic
        self._spread, self._reserve = spread, reserve
        self._queue: WaiterQueue[LeasedPermit | None] = WaiterQueue()
        self._granted = self._ended = 0
        self._ask_at = self._turn_at = 0.0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[None] | None = None
        self._wake = asyncio.Event()
        self._idle: asyncio.TimerHandle | None = None

    @property
    def waiting(self) -> int:
        """How many wait for a turn."""
        return self._queue.live

    @property
    def in_flight(self) -> int:
        """Turns that are out and not over."""
        return self._granted - self._ended

    # -- turns ------------------------------------------------------------------

    async def turn(
        self, priority: int, deadline: float | None, refused: bool
    ) -> LeasedPermit | None:
        """A turn leased from Redis; None where Redis is gone."""
        if deadline is not None:
            soonest = self._soonest(self._queue.ahead(priority, refused=refused))
            if soonest > deadline:
                raise too_late(self.name, soonest - self._monotonic())
        future: asyncio.Future[LeasedPermit | None] = asyncio.get_running_loop().create_future()
        lane = self._queue.add(future, priority, refused, deadline)
        self._kick()
        try:
            return await future
        except BaseException:
            self._leave(future, lane)
            raise

    def _leave(
        self, future: asyncio.Future[LeasedPermit | None], lane: PriorityClass[LeasedPermit | None]
    ) -> None:
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
        if self.last is None or now >= self._turn_at:
            return now
        windows = ahead // self.last.limit if self.last.limit else 0
        return self._turn_at + windows * self._witness.window.least

    def lost(self, ticket: LeasedPermit) -> None:
        """Nothing is known of it: it is not reported over, and counts until its generation ends."""
        if ticket.number:
            self._end(ticket)
            self._witness.report.probe_back |= ticket.probe
            self._tell()

    def unused(self, ticket: LeasedPermit) -> None:
        """Its turn goes to the next."""
        if ticket.number:
            self._end(ticket)
            self._give_back(ticket.generation, 1, probe=ticket.probe)
            self._tell()

    def answered(
        self, ticket: Permit, status: int, headers: Mapping[str, str], now: float, wall: float
    ) -> None:
        """Tell the others of an answer, also where its turn was not leased here."""
        number, sent, probe = 0, ticket.sent, False
        if isinstance(ticket, LeasedPermit):
            number, probe = ticket.number, ticket.probe
            self._end(ticket)
            self._witness.report.end(ticket.generation)
        self._witness.heard(
            status, headers, sent, now, wall, number=number, granted=self._granted, probe=probe
        )
        self._tell()

    def _end(self, ticket: LeasedPermit) -> None:
        ticket.number = 0
        self._ended += 1

    def _give_back(self, generation: int, count: int, *, probe: bool) -> None:
        report = self._witness.report
        for _ in range(count):
            report.end(generation)
        report.probe_back |= probe
        report.freed = True

    # -- Redis ------------------------------------------------------------------

    def look(self) -> None:
        """See whether a Redis that was gone is back, if it is time."""
        if self._link.due:
            self._kick()

    def _tell(self) -> None:
        """Report what happened: at once if others should know, else when idle or asked."""
        if self._loop is None or self._loop.is_closed() or self.closed:
            return
        report = self._witness.report
        if self._queue.live or report.urgent:
            self._kick(urgent=report.urgent)
        else:
            self._report_when_idle()

    def _report_when_idle(self) -> None:
        if self._witness.report and self._idle is None and self._loop and not self.closed:
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
        self.last, self.last_at = lease, now
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
            ticket = LeasedPermit()
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

    def move_to(self, loop: asyncio.AbstractEventLoop) -> None:
        """Work for `loop` from now on.

        Raises:
            ConfigurationError: another one, running now, is worked for.
        """
        old = self._loop
        if loop is old:
            return
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

    async def close(self) -> None:
        """Tell who waits, and report what is over."""
        self.closed = True
        if self._idle is not None:
            self._idle.cancel()
        for future in self._queue.clear():
            future.set_exception(
                SessionClosedError(f"the limiter {self.name} is closed", sent="no")
            )
        if self._task is not None:
            self._wake.set()  # its last call gives back what was leased for those who left
            await asyncio.wait([self._task])
        if self._witness.report and not self._link.gone:
            await self._link.lease(self._arguments(self._witness.take_report()))
