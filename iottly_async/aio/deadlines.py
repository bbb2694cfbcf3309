"""The deadlines of the calls under way.

Every call runs in a scope that cancels it at its deadline. Closing a session moves all its
deadlines to now. The scope knows which of the two ended the call.

`asyncio.timeout` makes and cancels a timer, and awaits two coroutines, for each scope: 4 to
5 µs of the 200 µs that a page takes, and a page has two scopes. Here all scopes of a session
share one timer. It fires at the earliest deadline; most scopes have ended long before theirs,
and cost the timer nothing.
"""

from __future__ import annotations

import asyncio
from math import inf
from types import TracebackType


class Deadline:
    """The scope of one call, like `asyncio.timeout`, with a clock that can be suspended.

    Attributes:
        at: when the scope ends, in seconds of the loop's clock; inf if it has no end.
        closed: whether the scope was ended because the session closes.
        lasting: whether the work has no end of its own, so that closing does not wait for it.
    """

    __slots__ = (
        "_cancelling",
        "_expired",
        "_owner",
        "_remaining",
        "_task",
        "at",
        "closed",
        "lasting",
    )

    def __init__(self, owner: Deadlines, seconds: float, *, lasting: bool, suspended: bool) -> None:
        self._owner = owner
        self._remaining = seconds
        self._expired = False
        self.at = inf if suspended else owner.loop.time() + seconds
        self.closed = False
        self.lasting = lasting

    def __enter__(self) -> Deadline:
        task = asyncio.current_task(self._owner.loop)
        if task is None:
            raise RuntimeError("a call is made within a task")
        self._task = task
        self._cancelling = task.cancelling()
        self._owner.enter(self)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._owner.leave(self)
        # As asyncio.timeout does it: our cancellation becomes a TimeoutError, unless the
        # caller cancelled the task as well.
        if (
            self._expired
            and self._task.uncancel() <= self._cancelling
            and kind is asyncio.CancelledError
        ):
            raise TimeoutError from error

    def expired(self) -> bool:
        """Whether the scope ended the call, by time or because the session closes."""
        return self._expired

    def suspend(self) -> None:
        """Stop the clock, if it runs; `resume` continues with the remaining seconds."""
        if self.at != inf and not self.closed and not self._expired:
            self._remaining = self.at - self._owner.loop.time()
            self.at = inf

    def resume(self) -> None:
        """Start a suspended clock again."""
        if self.at == inf and self._remaining != inf and not self.closed:
            self.at = self._owner.loop.time() + self._remaining
            self._owner.fire_by(self.at)

    def close(self) -> None:
        """End the call in the next iteration of the loop, because the session closes."""
        if not self._expired and not self.closed:
            self.closed = True
            self._owner.loop.call_soon(self.expire)

    def expire(self) -> None:
        """Cancel the call now, if it is still under way."""
        if self in self._owner.open and not self._expired:
            self._expired = True
            self._task.cancel()


class Deadlines:
    """The scopes of all calls under way in one session, and the timer that they share.

    All scopes belong to one event loop, that of the first scope.

    Attributes:
        open: the scopes that were entered and not exited.
        closing: whether the session closes; set by `close`.
    """

    __slots__ = ("_empty", "_fires_at", "_loop", "_timer", "closing", "open")

    def __init__(self) -> None:
        self.open: set[Deadline] = set()
        self.closing = False
        self._empty: asyncio.Event | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._fires_at = inf

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The event loop; kept, for each look-up is a system call in Python 3.11."""
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
        return self._loop

    def scope(
        self, seconds: float = inf, *, lasting: bool = False, suspended: bool = False
    ) -> Deadline:
        """Make a scope for one call.

        Args:
            seconds: how long the call may take; inf sets no limit.
            lasting: whether the work has no end of its own, so that closing does not wait
                for it.
            suspended: whether the clock is stopped until `Deadline.resume`.
        """
        return Deadline(self, seconds, lasting=lasting, suspended=suspended)

    def enter(self, deadline: Deadline) -> None:
        """Register a scope that was entered."""
        self.open.add(deadline)
        self.fire_by(deadline.at)

    def leave(self, deadline: Deadline) -> None:
        """Remove a scope that was exited."""
        self.open.discard(deadline)
        if not self.open and self._empty is not None:
            self._empty.set()

    def fire_by(self, at: float) -> None:
        """Let the timer fire at this time at the latest."""
        if at < self._fires_at:
            self._cancel_timer()
            self._fires_at = at
            self._timer = self.loop.call_at(at, self._fire)

    def _fire(self) -> None:
        # The loop may fire a timer early, by less than its clock's resolution.
        now = max(self.loop.time(), self._fires_at)
        self._timer, self._fires_at = None, inf
        for deadline in self.open:
            if deadline.at <= now:
                deadline.expire()
        self.fire_by(min((each.at for each in self.open if each.at > now), default=inf))

    def cancel_idle_timer(self) -> None:
        """Cancel the timer if no scope is open."""
        if not self.open:
            self._cancel_timer()

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer, self._fires_at = None, inf

    async def close(self, grace: float) -> None:
        """End all scopes after `grace` seconds, and wait until their calls have ended."""
        self.closing = True
        try:
            await self._end_all(grace)
        finally:
            self.cancel_idle_timer()

    async def _end_all(self, grace: float) -> None:
        if not self.open:
            return
        # All that close at the same time share one event. If the second made an event of its
        # own, the first would wait for one that is never set.
        if self._empty is None:
            self._empty = asyncio.Event()
        for deadline in tuple(self.open):
            if deadline.lasting:
                deadline.close()
        try:
            async with asyncio.timeout(grace):
                await self._empty.wait()
        except TimeoutError:
            pass
        finally:
            for deadline in tuple(self.open):
                deadline.close()
        await self._empty.wait()
