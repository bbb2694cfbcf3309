"""The deadlines of the calls under way, and how closing a session ends them all.

Every call runs in a scope that ends it by cancellation at its deadline. Closing moves
all deadlines to now; which of the two it was, the scope knows.

`asyncio.timeout` would do, were it not for its price: a timer made and cancelled a call,
and two coroutines, are 4 to 5 µs of the 200 that a page takes, and there are two scopes
to a page. Here all scopes of a session share one timer, which rings for the earliest
of them that there was; most have ended long before, and cost it nothing.
"""

from __future__ import annotations

import asyncio
from math import inf
from types import TracebackType


class Deadline:
    """The scope of one call: as `asyncio.timeout`, and it can be moved, and is registered.

    Attributes:
        at: when it ends, on the loop's clock; inf where it has no end.
        closed: whether it was ended because the session closes.
        lasting: whether it has no end of its own, so that closing does not wait for it.
    """

    __slots__ = ("_cancelling", "_left", "_owner", "_struck", "_task", "at", "closed", "lasting")

    def __init__(self, owner: Deadlines, seconds: float, *, lasting: bool, suspended: bool) -> None:
        self._owner = owner
        self._left = seconds
        self._struck = False
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
        # As asyncio.timeout does it: a cancellation of ours is a timeout, unless somebody
        # else's came as well.
        if (
            self._struck
            and self._task.uncancel() <= self._cancelling
            and kind is asyncio.CancelledError
        ):
            raise TimeoutError from error

    def expired(self) -> bool:
        """Whether it ended the call, by time or by closing."""
        return self._struck

    def suspend(self) -> None:
        """Stop the clock, if it runs; `resume` goes on with the seconds that were left."""
        if self.at != inf and not self.closed and not self._struck:
            self._left = self.at - self._owner.loop.time()
            self.at = inf

    def resume(self) -> None:
        """Let a suspended clock run."""
        if self.at == inf and self._left != inf and not self.closed:
            self.at = self._owner.loop.time() + self._left
            self._owner.ring_by(self.at)

    def close(self) -> None:
        """End the call in the loop's next turn, because the session closes."""
        if not self._struck and not self.closed:
            self.closed = True
            self._owner.loop.call_soon(self.strike)

    def strike(self) -> None:
        """End the call now, if it is still under way."""
        if self in self._owner.open and not self._struck:
            self._struck = True
            self._task.cancel()


class Deadlines:
    """The scopes of all calls under way in one session, and the timer that they share.

    They are all of one event loop, that of the first of them.
    """

    __slots__ = ("_empty", "_loop", "_rings_at", "_timer", "closing", "open")

    def __init__(self) -> None:
        self.open: set[Deadline] = set()
        self.closing = False
        self._empty: asyncio.Event | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._rings_at = inf

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The loop, asked for once: each answer is a system call in Python 3.11."""
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
        return self._loop

    def scope(
        self, seconds: float = inf, *, lasting: bool = False, suspended: bool = False
    ) -> Deadline:
        """A scope that ends after so many seconds, by default never by itself.

        A `lasting` one is of work that has no end, for which closing does not wait; the
        clock of a `suspended` one stands still until it is resumed.
        """
        return Deadline(self, seconds, lasting=lasting, suspended=suspended)

    def enter(self, deadline: Deadline) -> None:
        """A call begins."""
        self.open.add(deadline)
        self.ring_by(deadline.at)

    def leave(self, deadline: Deadline) -> None:
        """A call ended."""
        self.open.discard(deadline)
        if not self.open and self._empty is not None:
            self._empty.set()

    def ring_by(self, at: float) -> None:
        """Let the timer ring at this time at the latest."""
        if at < self._rings_at:
            self._ring_no_more()
            self._rings_at = at
            self._timer = self.loop.call_at(at, self._ring)

    def _ring(self) -> None:
        # The loop may ring a timer early by as much as its clock cannot tell.
        now = max(self.loop.time(), self._rings_at)
        self._timer, self._rings_at = None, inf
        for deadline in self.open:
            if deadline.at <= now:
                deadline.strike()
        self.ring_by(min((each.at for each in self.open if each.at > now), default=inf))

    def rest(self) -> None:
        """Let the timer not ring where nothing is under way."""
        if not self.open:
            self._ring_no_more()

    def _ring_no_more(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer, self._rings_at = None, inf

    async def close(self, grace: float) -> None:
        """Let calls go on for `grace` seconds, then end those that are left, and wait for them."""
        self.closing = True
        try:
            await self._end_all(grace)
        finally:
            self.rest()

    async def _end_all(self, grace: float) -> None:
        if not self.open:
            return
        # One event for all who close: the second one, perhaps less patient, must not
        # leave the first waiting for an event that is never set.
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
