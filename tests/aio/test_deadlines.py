"""Deadlines: many scopes and one timer, on a loop whose time jumps."""

from __future__ import annotations

import asyncio
import gc

import pytest

from iottly_async.aio.deadlines import Deadlines
from tests.support.virtual_time import virtual


async def lasts(deadlines: Deadlines, seconds: float) -> float:
    """How long what has no end of its own goes on in a scope of so many seconds."""
    loop = asyncio.get_running_loop()
    begun = loop.time()
    with pytest.raises(TimeoutError), deadlines.scope(seconds):
        await asyncio.Event().wait()
    return loop.time() - begun


@virtual
async def test_each_scope_ends_at_its_own_time() -> None:
    """The timer rings for the earliest, whenever that came, and again for each that is left."""
    deadlines = Deadlines()
    seconds = [3.0, 1.0, 2.0, 1.0]
    assert await asyncio.gather(*(lasts(deadlines, each) for each in seconds)) == seconds
    assert await lasts(deadlines, 0.5) == 0.5


@virtual
async def test_a_scope_that_has_ended_is_rung_for_in_vain() -> None:
    """What ended in time is not struck later, and the next one is in its own time."""
    deadlines = Deadlines()
    with deadlines.scope(5.0) as scope:
        await asyncio.sleep(4.0)
    assert await lasts(deadlines, 3.0) == 3.0
    assert not scope.expired()


@virtual
async def test_a_suspended_clock_stands_still() -> None:
    """Time that passes while it is suspended does not count."""

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
async def test_a_cancellation_from_without_is_none_of_ours() -> None:
    """Where the caller's cancellation comes with the deadline, it is a cancellation."""
    deadlines, loop = Deadlines(), asyncio.get_running_loop()
    task = asyncio.create_task(lasts(deadlines, 1.0))
    loop.call_at(loop.time() + 1.0, lambda: loop.call_soon(task.cancel))
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not deadlines.open


@virtual
async def test_an_outer_scope_ends_what_is_in_an_inner_one() -> None:
    """Scopes lie within each other; the one whose time is up is the one that says so."""
    outer, inner = Deadlines().scope(1.0), Deadlines().scope(2.0)
    with pytest.raises(TimeoutError), outer, inner:
        await asyncio.Event().wait()
    assert outer.expired()
    assert not inner.expired()


@virtual
async def test_closing_leaves_no_timer() -> None:
    """What nothing is under way in is held by nobody once it is closed, not by the loop either."""

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
