"""Deadlines: many scopes and one timer, on a loop whose time jumps."""

from __future__ import annotations

import asyncio
import gc

import pytest

from iottly_async.aio.deadlines import Deadlines
from tests.support.virtual_time import virtual


async def lasts(deadlines: Deadlines, seconds: float) -> float:
    """How many seconds work without an end runs in a scope of `seconds`."""
    loop = asyncio.get_running_loop()
    begun = loop.time()
    with pytest.raises(TimeoutError), deadlines.scope(seconds):
        await asyncio.Event().wait()
    return loop.time() - begun


@virtual
async def test_each_scope_ends_at_its_own_time() -> None:
    """The timer fires at each deadline, in whatever order the scopes were entered."""
    deadlines = Deadlines()
    seconds = [3.0, 1.0, 2.0, 1.0]
    assert await asyncio.gather(*(lasts(deadlines, each) for each in seconds)) == seconds
    assert await lasts(deadlines, 0.5) == 0.5


@virtual
async def test_a_scope_that_was_exited_does_not_expire() -> None:
    """A scope that was exited in time does not expire later; the next one has its own time."""
    deadlines = Deadlines()
    with deadlines.scope(5.0) as scope:
        await asyncio.sleep(4.0)
    assert await lasts(deadlines, 3.0) == 3.0
    assert not scope.expired()


@virtual
async def test_a_suspended_clock_stands_still() -> None:
    """Time that passes while a scope is suspended does not count."""

    async def work() -> None:
        with Deadlines().scope(2.0, suspended=True) as scope:
            await asyncio.sleep(10.0)
            scope.resume()
            await asyncio.sleep(1.5)
            scope.suspend()
            await asyncio.sleep(10.0)
            scope.resume()
            await asyncio.Event().wait()

    begun = asyncio.get_running_loop().time()
    with pytest.raises(TimeoutError):
        await work()
    assert asyncio.get_running_loop().time() - begun == 22.0


@virtual
async def test_the_callers_cancellation_stays_a_cancellation() -> None:
    """If the caller cancels in the iteration of the deadline, CancelledError is raised."""
    deadlines, loop = Deadlines(), asyncio.get_running_loop()
    task = asyncio.create_task(lasts(deadlines, 1.0))
    loop.call_at(loop.time() + 1.0, lambda: loop.call_soon(task.cancel))
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not deadlines.open


@virtual
async def test_an_outer_scope_ends_work_in_an_inner_one() -> None:
    """Of nested scopes, only the one whose time has passed has expired."""
    outer, inner = Deadlines().scope(1.0), Deadlines().scope(2.0)
    with pytest.raises(TimeoutError), outer, inner:
        await asyncio.Event().wait()
    assert outer.expired()
    assert not inner.expired()


@virtual
async def test_closing_leaves_no_timer() -> None:
    """After closing, nothing refers to the scopes, and the loop does not either."""

    def held(number: int) -> bool:
        return any(id(each) == number and type(each) is Deadlines for each in gc.get_objects())

    deadlines = Deadlines()
    number = id(deadlines)
    with deadlines.scope(1000.0) as scope:
        pass
    await deadlines.close(0.0)
    assert held(number)
    del deadlines, scope
    assert not held(number)
