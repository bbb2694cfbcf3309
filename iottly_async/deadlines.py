"""The deadlines of the calls under way, and how closing a session ends them all.

Every call runs in a scope that ends it by cancellation at its deadline. Closing moves
all deadlines to now; which of the two it was, the scope knows.
"""

from __future__ import annotations

import asyncio


class Deadline:
    """The scope of one call: an `asyncio.timeout` that can be moved, and is registered."""

    __slots__ = ("_left", "_owner", "_scope", "closed", "lasting")

    def __init__(
        self, owner: Deadlines, seconds: float | None, *, lasting: bool, suspended: bool
    ) -> None:
        self._owner = owner
        self._left = seconds if suspended else None
        self._scope = asyncio.timeout(None if suspended else seconds)
        self.lasting = lasting
        self.closed = False

    async def __aenter__(self) -> Deadline:
        await self._scope.__aenter__()
        self._owner.open.add(self)
        return self

    async def __aexit__(self, kind: object, error: object, traceback: object) -> None:
        self._owner.leave(self)
        await self._scope.__aexit__(kind, error, traceback)  # type: ignore[arg-type]

    @property
    def at(self) -> float | None:
        """When it ends, on the loop's clock; None where it has no end."""
        return self._scope.when()

    def expired(self) -> bool:
        """Whether it ended the call, by time or by closing."""
        return self._scope.expired()

    def suspend(self) -> None:
        """Stop the clock, if it runs; `resume` goes on with the seconds that were left."""
        at = self._scope.when()
        if at is not None and not self.closed and not self._scope.expired():
            self._left = at - asyncio.get_running_loop().time()
            self._scope.reschedule(None)

    def resume(self) -> None:
        """Let a suspended clock run."""
        left, self._left = self._left, None
        if left is not None and not self.closed:
            self._scope.reschedule(asyncio.get_running_loop().time() + left)

    def close(self) -> None:
        """End the call at once, because the session closes."""
        if not self._scope.expired():
            self.closed = True
            self._scope.reschedule(asyncio.get_running_loop().time())


class Deadlines:
    """The scopes of all calls under way in one session."""

    __slots__ = ("_empty", "closing", "open")

    def __init__(self) -> None:
        self.open: set[Deadline] = set()
        self.closing = False
        self._empty: asyncio.Event | None = None

    def scope(
        self, seconds: float | None, *, lasting: bool = False, suspended: bool = False
    ) -> Deadline:
        """A scope that ends after so many seconds; None never does by itself.

        A `lasting` one is of work that has no end, for which closing does not wait; the
        clock of a `suspended` one stands still until it is resumed.
        """
        return Deadline(self, seconds, lasting=lasting, suspended=suspended)

    def leave(self, deadline: Deadline) -> None:
        """A call ended."""
        self.open.discard(deadline)
        if not self.open and self._empty is not None:
            self._empty.set()

    async def close(self, grace: float) -> None:
        """Let calls go on for `grace` seconds, then end those that are left, and wait for them."""
        self.closing = True
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
