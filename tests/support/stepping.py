"""Runs a coroutine from one wait to the next and cancels it at the n-th.

```python
for cut in cuts("wait"):
    stepped = Stepped(call(), cut)
    if await stepped.ended_by_itself():
        break  # it waits fewer than n times: every wait was tried
    ...  # assert what must hold after a cancellation there
```
"""

import asyncio
import itertools
from collections.abc import Coroutine, Generator, Iterator
from typing import Any, Generic, Literal, TypeVar

from attrs import frozen

T = TypeVar("T")

Moment = Literal["wait", "wake", "twice"]
"""When the cancellation comes: while the coroutine waits; in the same iteration of the loop in
which the result arrives; or while it waits, and again at its next wait (during the clean-up)."""

MOMENTS: tuple[Moment, ...] = ("wait", "wake", "twice")


@frozen
class Cut:
    """Where to cancel: at the n-th wait, counted from 1, and when within it."""

    wait: int
    moment: Moment = "wait"


def cuts(moment: Moment) -> Iterator[Cut]:
    """A cut at the first wait, at the second, and so on without end."""
    return (Cut(wait, moment) for wait in itertools.count(1))


class Stepped(Generic[T]):
    """A coroutine that runs in its own task and is cancelled at a cut.

    Attributes:
        waits: how often it has waited so far.
        error: the cancellation that it raised.
        result: what it returned, if it was not cancelled.
    """

    def __init__(self, coroutine: Coroutine[Any, Any, T], cut: Cut) -> None:
        self.waits = 0
        self.error: asyncio.CancelledError | None = None
        self.result: T | None = None
        self._coroutine = coroutine
        self._cut = cut

    async def ended_by_itself(self) -> bool:
        """Run it; returns False if it was cancelled.

        Raises:
            AssertionError: it was cancelled and ended as if it had not been.
        """
        task = asyncio.create_task(self._run())
        async with asyncio.timeout(30):
            await asyncio.wait([task])
        if not task.cancelled():
            self.result = task.result()
            assert self.waits < self._cut.wait, "a cancellation was swallowed"
            return True
        try:
            await task
        except asyncio.CancelledError as error:
            self.error = error
        return False

    async def _run(self) -> T:
        return await self

    def __await__(self) -> Generator[Any, Any, T]:
        step, value = self._coroutine.send, None
        while True:
            try:
                future = step(value)
            except StopIteration as end:
                result: T = end.value
                return result
            self.waits += 1
            self._maybe_cancel(future)
            try:
                yield future
            except BaseException as error:  # noqa: BLE001 - passed to the coroutine
                step, value = self._coroutine.throw, error
            else:
                step, value = self._coroutine.send, None

    def _maybe_cancel(self, future: asyncio.Future[Any] | None) -> None:
        task = asyncio.current_task()
        assert task is not None
        wait, moment = self._cut.wait, self._cut.moment
        if self.waits == wait + 1 and moment == "twice":
            task.cancel()
        elif self.waits == wait and moment == "wake" and future is not None:
            # Runs before the task's own wake-up, which is added later.
            future.add_done_callback(lambda _: task.cancel())
        elif self.waits == wait:
            task.cancel()
