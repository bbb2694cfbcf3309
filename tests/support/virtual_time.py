"""An event loop whose time jumps instead of passing, and the clock that follows it.

A test decorated with `@virtual` runs on a `VirtualLoop`: as soon as no callback is
ready, the loop's time leaps to the next timer, so an hour of sleeping costs microseconds
and every run sees the same times. A loop that has nothing ready and no timer raises
`DeadlockError` with the tasks that wait, where a real loop would hang for ever.

    @virtual
    async def test_it_waits_a_minute() -> None:
        clock = VirtualClock()
        before = clock.monotonic()
        await clock.sleep(60)
        assert clock.monotonic() - before == 60

Work in threads (`asyncio.to_thread`) is waited for in real time. Sockets are polled, but
time does not wait for them: use a real loop for tests that talk to a server elsewhere. With
one in the same loop, `run_virtual(..., listens=True)` lets time jump only once the sockets
have been silent for a moment: what a call takes is then all waiting and no computing, and can
be held to a bound on any machine.
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
"""What `loop.time()` says at the start: not 0, so that nobody may take 0 for granted."""

WALL_START = 1_767_225_600.0
"""What a wall clock says at the start: 2026-01-01T00:00:00Z."""

_SILENCE = 0.003
"""Real seconds for which sockets are listened to before time jumps; on loopback, within one
process, what was sent is there at once."""

HORIZON = 366 * 86_400.0
"""Virtual seconds after which a loop that still turns is taken to turn for ever."""


class DeadlockError(AssertionError):
    """Nothing is ready and nothing is scheduled: what still waits would wait for ever."""


class _JumpingSelector(selectors.SelectSelector):
    """Reports what is ready, and moves the loop's time on instead of waiting."""

    loop: "VirtualLoop"

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
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
        listens: whether time jumps only when the sockets are silent.
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
        """Move the time on by `seconds`, as if they had been waited for."""
        self._virtual_now += seconds
        if self._virtual_now - START > HORIZON:
            raise DeadlockError(f"still turning after a virtual year: {self.describe_waiting()}")

    @property
    def has_threads(self) -> bool:
        """True while a thread works for the loop; time then stands still."""
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
        """The names of the unfinished tasks and where each of them stands."""
        lines = ["nothing is ready and nothing is scheduled"]
        for task in sorted(asyncio.all_tasks(self), key=lambda task: task.get_name()):
            frames = task.get_stack(limit=1)
            at = f"{frames[-1].f_code.co_qualname}:{frames[-1].f_lineno}" if frames else "start"
            lines.append(f"  {task.get_name()} waits in {at}")
        return "\n".join(lines)


class VirtualClock:
    """A clock over the running virtual loop; has the methods of `iottly_async.clock.Clock`.

    `offset` is how many seconds the wall clock is ahead of the right time (negative:
    behind); it may be changed at any moment. `random()` is seeded, so a run repeats.
    With `loop` it follows that one, also while it does not run.
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
    """Run `main()` to its end on a fresh virtual loop and return its result.

    With `listens` the loop's time is also what `time.monotonic` tells meanwhile, as it is
    for a real loop; so what takes the real clock can be run without a clock of its own.
    """
    with asyncio.Runner(loop_factory=lambda: VirtualLoop(listens=listens)) as runner:
        told = patch("time.monotonic", runner.get_loop().time) if listens else nullcontext()
        with told:
            return runner.run(main())


def virtual(test: Callable[_P, Coroutine[Any, Any, _T]]) -> Callable[_P, _T]:
    """Turn a coroutine test into a plain one that runs in virtual time.

    Arguments (fixtures, parameters, hypothesis values) are passed on. Put it below
    `@given` and `@pytest.mark.parametrize`. An async fixture would run on another loop:
    make such objects inside the test.
    """

    @functools.wraps(test)
    def run(*args: _P.args, **kwargs: _P.kwargs) -> _T:
        return run_virtual(lambda: test(*args, **kwargs))

    return run


async def settle(turns: int = 10) -> None:
    """Let the loop turn until what is ready has run, without any time passing."""
    for _ in range(turns):
        await asyncio.sleep(0)
