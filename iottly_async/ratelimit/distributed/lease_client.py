"""Leases permits from Redis for the callers of one process, who wait for them here.

While there is something to ask or to report, one task runs. It makes one call at a time,
which asks for as many permits as are wanted and reports what is over.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Final

from ...errors import SessionClosedError, SetupError
from ..limiter import too_late
from ..permits import Permit
from ..waiters import WaiterQueue
from .connection import RedisConnection
from .report import Report, Reporter
from .script import Lease

__all__ = ["LeaseClient", "LeasedPermit"]

_IDLE: Final = 0.02
"""Seconds after which a report is sent although nothing here waits for a permit."""


class LeasedPermit(Permit):
    """A permit leased from Redis.

    Attributes:
        generation: in which it was leased.
        probe: whether its request is a probe.
    """

    __slots__ = ("generation", "probe")

    generation: int
    probe: bool


class LeaseClient:
    """Leases the permits of one quota, for one running event loop at a time.

    Args:
        connection: to Redis.
        reporter: reads this process's answers.
        monotonic: tells the time.
        spread: as of the script.
        reserve: as of the script.
        name: of the limiter, in error texts.

    Attributes:
        closed: whether it was closed.
        last: what the script replied last; None before the first call.
        last_at: monotonic time of that reply.
    """

    def __init__(
        self,
        connection: RedisConnection,
        reporter: Reporter,
        monotonic: Callable[[], float],
        *,
        spread: bool,
        reserve: float,
        name: str,
    ) -> None:
        self.name = name
        self.closed = False
        self.last: Lease | None = None
        self.last_at = 0.0
        self._connection, self._reporter, self._monotonic = connection, reporter, monotonic
        self._spread, self._reserve = spread, reserve
        self._queue: WaiterQueue[LeasedPermit | None] = WaiterQueue()
        self._granted = self._ended = 0
        self._ask_at = self._next_at = 0.0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[None] | None = None
        self._wake = asyncio.Event()
        self._idle: asyncio.TimerHandle | None = None

    @property
    def waiting(self) -> int:
        """How many wait for a permit."""
        return len(self._queue)

    @property
    def in_flight(self) -> int:
        """Permits that were leased and are not over."""
        return self._granted - self._ended

    # -- permits ----------------------------------------------------------------

    async def acquire(
        self, priority: int, deadline: float | None, refused: bool
    ) -> LeasedPermit | None:
        """Wait for a permit leased from Redis; None if Redis is gone.

        Raises:
            RateLimitedError: the permit cannot come before the deadline.
        """
        if deadline is not None:
            soonest = self._earliest(self._queue.ahead(priority, refused=refused))
            if soonest > deadline:
                raise too_late(self.name, soonest - self._monotonic())
        future: asyncio.Future[LeasedPermit | None] = asyncio.get_running_loop().create_future()
        self._queue.add(future, priority, refused, deadline)
        self._start()
        try:
            return await future
        except BaseException:
            self._leave(future)
            raise

    def _leave(self, future: asyncio.Future[LeasedPermit | None]) -> None:
        """The waiter was cancelled, or is thrown away with its event loop."""
        if self._queue.remove(future):
            if self._loop is not None and not self._loop.is_closed():
                future.cancel()
        elif future.done() and not future.cancelled() and future.exception() is None:
            permit = future.result()
            if permit is not None:
                self.unused(permit)

    def _earliest(self, ahead: int) -> float:
        """The soonest that a waiter with `ahead` others before it can have a permit."""
        now = self._monotonic()
        if self.last is None or now >= self._next_at:
            return now
        windows = ahead // self.last.limit if self.last.limit else 0
        return self._next_at + windows * self._reporter.observer.window.shortest

    def answered(
        self, permit: Permit, status: int, headers: Mapping[str, str], now: float, wall: float
    ) -> None:
        """Report an answer to the others, also if its permit was not leased from Redis."""
        number, sent, probe = 0, permit.sent, False
        if isinstance(permit, LeasedPermit):
            number, probe = permit.number, permit.probe
            self._end(permit)
            self._reporter.report.end(permit.generation)
        self._reporter.observe(
            status,
            headers,
            sent=sent,
            now=now,
            wall=wall,
            number=number,
            granted=self._granted,
            probe=probe,
        )
        self._report()

    def lost(self, permit: LeasedPermit) -> None:
        """The request may have been counted: its permit counts until its generation ends."""
        if permit.number:
            self._end(permit)
            self._reporter.report.probe_lost |= permit.probe
            self._report()

    def unused(self, permit: LeasedPermit) -> None:
        """The request was not sent: the permit goes to the next."""
        if permit.number:
            self._end(permit)
            self._give_back(permit.generation, 1, probe=permit.probe)
            self._report()

    def _end(self, permit: LeasedPermit) -> None:
        permit.number = 0
        self._ended += 1

    def _give_back(self, generation: int, count: int, *, probe: bool) -> None:
        report = self._reporter.report
        for _ in range(count):
            report.end(generation)
        report.probe_lost |= probe
        report.freed = True

    # -- calls to Redis ---------------------------------------------------------

    def try_again(self) -> None:
        """See whether a Redis that was gone is back, if it is time."""
        if self._connection.due:
            self._start()

    def _report(self) -> None:
        """Report what happened: at once if the others should know, else when idle."""
        if self._loop is None or self._loop.is_closed() or self.closed:
            return
        urgent = self._reporter.report.urgent
        if urgent or self._queue:
            self._start(urgent=urgent)
        else:
            self._report_when_idle()

    def _report_when_idle(self) -> None:
        if self._reporter.report and self._idle is None and self._loop and not self.closed:
            self._idle = self._loop.call_later(_IDLE, self._report_idle)

    def _report_idle(self) -> None:
        self._idle = None
        if self._reporter.report:
            self._start()

    def _start(self, *, urgent: bool = False) -> None:
        if urgent:
            self._wake.set()
        if self._task is None and self._loop is not None:
            self._task = self._loop.create_task(self._run(), name="iottly-redis-limiter")
            self._task.add_done_callback(self._ended_with)

    def _ended_with(self, task: asyncio.Task[None]) -> None:
        """Pass the error of a task that failed to all who wait."""
        error = None if task.cancelled() else task.exception()
        if error is not None:
            for future in self._queue.clear():
                future.set_exception(error)

    async def _run(self) -> None:
        """Call the script as long as callers wait or there is something to report."""
        try:
            while await self._call():
                await self._pause()
            if not self._connection.gone:
                self._report_when_idle()
        finally:
            self._task = None

    async def _call(self) -> bool:
        """Call the script once; True if another call has to follow."""
        if self._connection.gone and not self._connection.due:
            return False
        self._wake.clear()
        queue = self._queue
        report = self._reporter.take()
        lease = await self._connection.lease(self._arguments(report))
        now = self._monotonic()
        if lease is None:
            self._reporter.restore(report)
            for future in queue.clear():
                future.set_result(None)
            return False
        self.last, self.last_at = lease, now
        self._ask_at, self._next_at = now + lease.wait, now + lease.next_in
        self._grant(lease, now)
        for future in queue.expired(self._next_at):
            future.set_exception(too_late(self.name, lease.next_in or None))
        return bool(queue) or self._reporter.report.urgent

    def _arguments(self, report: Report) -> list[str]:
        return report.arguments(
            len(self._queue), self._monotonic(), reserve=self._reserve, spread=self._spread
        )

    def _grant(self, lease: Lease, now: float) -> None:
        """Give the leased permits to those who wait; the rest goes back."""
        for given in range(lease.permits):
            future = self._queue.pop()
            if future is None:
                self._give_back(lease.generation, lease.permits - given, probe=lease.probe)
                self._report()
                return
            permit = LeasedPermit()
            self._granted = permit.number = self._granted + 1
            permit.sent, permit.ended = now, self._ended
            permit.generation, permit.probe = lease.generation, lease.probe
            future.set_result(permit)

    async def _pause(self) -> None:
        """Wait until it makes sense to ask again."""
        now = self._monotonic()
        until = min(self._ask_at, self._queue.next_deadline())
        with suppress(TimeoutError):
            async with asyncio.timeout(max(until - now, 0.0)):
                await self._wake.wait()

    # -- event loops ------------------------------------------------------------

    def move_to(self, loop: asyncio.AbstractEventLoop) -> None:
        """Work for `loop` from now on.

        Raises:
            SetupError: it works for another loop, which is running.
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
        self._connection.forget()
        self._task = self._idle = None
        self._wake = asyncio.Event()
        self._loop = loop

    def _moved(self) -> SetupError:
        return SetupError(
            f"the limiter {self.name} works for another event loop that is running; "
            "make one in each"
        )

    async def close(self) -> None:
        """End all waits with an error, and report what is over."""
        self.closed = True
        if self._idle is not None:
            self._idle.cancel()
        for future in self._queue.clear():
            future.set_exception(
                SessionClosedError(f"the limiter {self.name} is closed", sent="no")
            )
        if self._task is not None:
            self._wake.set()  # its last call gives back what was leased for those who waited
            await asyncio.wait([self._task])
        if self._reporter.report and not self._connection.gone:
            await self._connection.lease(self._arguments(self._reporter.take()))
