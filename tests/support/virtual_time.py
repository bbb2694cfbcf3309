"""An event loop whose time jumps instead of passing, and a clock that follows it.

A test decorated with `@virtual` runs on a `VirtualLoop`. As soon as no callback is ready, the
loop's time jumps to the next timer. So an hour of sleep takes microseconds, and every run sees the
same times. A loop with nothing ready and no timer raises `DeadlockError` and names the tasks that
wait; a real loop would hang.

```python
@virtual
async def test_it_waits_a_minute() -> None:
    clock = VirtualClock()
    before = clock.monotonic()
    await clock.sleep(60)
    assert clock.monotonic() - before == 60
```

Work in threads (`asyncio.to_thread`) is awaited in real time. Sockets are polled, but time does not
wait for them, so a test with a server elsewhere needs a real loop. For a server in the same loop,
`run_virtual(..., listens=True)` lets time jump only after the sockets were silent for 3 ms. What a
call takes is then waiting alone, without computing, and can be bounded on any machine.
"""

import asyncio
import functools
import random
import selectors
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor
from contextlib import nullcontext
from typing import Any, ParamSpec, TypeVar, TypeVarTuple
from unittest.mock import patch

__all__ = ["DeadlockError", "VirtualClock", "VirtualLoop", "run_virtual", "settle", "virtual"]

_P = ParamSpec("_P")
_T = TypeVar("_T")
_Ts = TypeVarTuple("_Ts")

START = 1000.0
"""`loop.time()` at the start; not 0, so that no code may rely on 0."""

WALL_START = 1_767_225_600.0
"""The wall clock at the start: 2026-01-01T00:00:00Z."""

_SILENCE = 0.003
"""For how many real seconds sockets must be silent before time jumps. On loopback, within one
process, what was sent arrives at once."""

HORIZON = 366 * 86_400.0
"""After how many virtual seconds a loop that still runs is considered endless."""


class DeadlockError(AssertionError):
    """Nothing is ready and nothing is scheduled: the tasks that wait would wait for ever."""


class _JumpingSelector(selectors.SelectSelector):
    """Reports what is ready, and advances the loop's time instead of waiting."""

    loop: "VirtualLoop"

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        # A loop without sockets and threads has nothing to ask the system for. Its one file is
        # the pipe by which other threads and signals wake it; that is read before it waits.
        alone = len(self.get_map()) == 1 and not self.loop.has_threads
        ready = [] if alone and timeout is not None else super().select(0)
        if ready or timeout == 0:
            return ready
        if self.loop.has_threads:
            return super().select(0.001 if timeout is not None else 1.0)
        if self.loop.listens and (ready := super().select(_SILENCE)):
            return ready
        if timeout is None:
            raise DeadlockError(self.loop.describe_waiting())
        self.loop.jump(timeout)
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """A selector loop in virtual time; `time()` starts at `START`.

    Attributes:
        listens: whether time jumps only after the sockets were silent.
    """

    def __init__(self, *, listens: bool = False) -> None:
        self.listens = listens
        self._virtual_now = START
        self._threads = 0
        selector = _JumpingSelector()
        selector.loop = self
        super().__init__(selector)

    def time(self) -> float:
        return self._virtual_now

    def jump(self, seconds: float) -> None:
        """Advance the time by `seconds`."""
        self._virtual_now += seconds
        if self._virtual_now - START > HORIZON:
            raise DeadlockError(f"still running after a virtual year: {self.describe_waiting()}")

    @property
    def has_threads(self) -> bool:
        """True while a thread works for the loop; time stands still then."""
        return self._threads > 0

    def run_in_executor(
        self, executor: Executor | None, func: Callable[[*_Ts], _T], *args: *_Ts
    ) -> asyncio.Future[_T]:
        self._threads += 1
        future = super().run_in_executor(executor, func, *args)
        future.add_done_callback(self._thread_done)
        return future

    async def shutdown_default_executor(self, timeout: float | None = None) -> None:
        self._threads += 1
        try:
            await super().shutdown_default_executor()
        finally:
            self._threads -= 1

    def _thread_done(self, _: asyncio.Future[Any]) -> None:
        self._threads -= 1

    def describe_waiting(self) -> str:
        """The names of the unfinished tasks and the line at which each waits."""
        lines = ["nothing is ready and nothing is scheduled"]
        for task in sorted(asyncio.all_tasks(self), key=lambda task: task.get_name()):
            frames = task.get_stack(limit=1)
            at = f"{frames[-1].f_code.co_qualname}:{frames[-1].f_lineno}" if frames else "start"
            lines.append(f"  {task.get_name()} waits in {at}")
        return "\n".join(lines)


class VirtualClock:
    """A clock over the running virtual loop, with the methods of `iottly_async.clock.Clock`.

    `offset` is how many seconds the wall clock is ahead of the right time (negative: behind); it
    may be changed at any time. `random()` is seeded, so a run repeats. With `loop` the clock
    follows that loop, also while it is not running.
    """

    def __init__(
        self,
        *,
        offset: float = 0.0,
        seed: int = 0,
        loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        self.offset = offset
        self._loop = loop
        self._random = random.Random(seed)

    def monotonic(self) -> float:
        return (self._loop or asyncio.get_running_loop()).time()

    def time(self) -> float:
        return WALL_START + (self.monotonic() - START) + self.offset

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    def random(self) -> float:
        return self._random.random()


def run_virtual(main: Callable[[], Coroutine[Any, Any, _T]], *, listens: bool = False) -> _T:
    """Run `main()` to its end on a new virtual loop and return its result.

    With `listens`, `time.monotonic` shows the loop's time too, as it does on a real loop, so code
    that uses the real clock can be tested.
    """
    with asyncio.Runner(loop_factory=lambda: VirtualLoop(listens=listens)) as runner:
        patched = patch("time.monotonic", runner.get_loop().time) if listens else nullcontext()
        with patched:
            return runner.run(main())


def virtual(test: Callable[_P, Coroutine[Any, Any, _T]]) -> Callable[_P, _T]:
    """Turn a coroutine test into a function that runs it in virtual time.

    Arguments (fixtures, parameters, hypothesis values) are passed on. Put the decorator below
    `@given` and `@pytest.mark.parametrize`. An async fixture would run on another loop, so make
    such objects in the test.
    """

    @functools.wraps(test)
    def run(*args: _P.args, **kwargs: _P.kwargs) -> _T:
        return run_virtual(lambda: test(*args, **kwargs))

    return run


async def settle(turns: int = 10) -> None:
    """Run the loop until what is ready has run, without any time passing."""
    for _ in range(turns):
        await asyncio.sleep(0)
